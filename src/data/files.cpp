#include "data/files.hpp"

#include <sslmeme/core/error.hpp>

#include "data/decoders.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#if __has_include(<linux/openat2.h>)
#include <linux/openat2.h>
#include <sys/syscall.h>
#endif

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <memory>
#include <string>
#include <system_error>
#include <utility>

namespace sslmeme::detail {

namespace fs = std::filesystem;

namespace {

// O_NONBLOCK: opening a pipe must not wait for its other end.
constexpr int read_flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
// Only names the file: nothing is opened, so that no device notices.
constexpr int look_flags = O_PATH | O_CLOEXEC;
constexpr int folder_flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;

constexpr std::size_t max_depth = 32;

std::string reason(int code) {
  return std::generic_category().message(code);
}

FileDescriptor failed(int code) {
  errno = code;
  return {};
}

bool status_of(const FileDescriptor& file, struct stat& status) {
  return file.valid() && ::fstat(file.get(), &status) == 0;
}

/// A name in a folder and its readdir(3) type: DT_REG, DT_DIR, … or DT_UNKNOWN.
struct Name {
  std::string text;
  unsigned char type = DT_UNKNOWN;
};

/// The names in an open folder but those that begin with a dot, sorted; false, with errno set, if there are more or the
/// system refuses. An invalid folder leaves errno as opening it did.
bool read_names(FileDescriptor folder, std::size_t max_names, std::vector<Name>& names) {
  if (!folder.valid()) return false;
  const auto close = [](DIR* stream) { ::closedir(stream); };
  const std::unique_ptr<DIR, decltype(close)> stream{::fdopendir(folder.get()), close};
  if (!stream) return false;
  folder.release();
  int code = 0;
  for (errno = 0; const auto* entry = ::readdir(stream.get()); errno = 0) {
    const std::string_view name{static_cast<const char*>(entry->d_name)};
    if (name.starts_with('.')) continue;
    if (names.size() == max_names) {
      code = EOVERFLOW;
      break;
    }
    names.push_back({std::string{name}, entry->d_type});
  }
  if (code == 0) code = errno;
  std::ranges::sort(names, {}, &Name::text);
  errno = code;
  return code == 0;
}

/// The folders beside one that is not there, for the message.
std::string folders_beside(const fs::path& root) {
  std::error_code error;
  const auto parent = fs::absolute(root, error).lexically_normal().parent_path();
  std::vector<Name> names;
  std::vector<std::string> folders;
  constexpr std::size_t max_names = 1000;  // enough for a hint
  read_names(FileDescriptor{::open(parent.c_str(), folder_flags)}, max_names, names);
  for (auto& name : names) {
    if (fs::is_directory(parent / name.text, error)) folders.push_back(std::move(name.text));
  }
  return fmt::format("folders in {}: {}", shown_path(parent), listed(folders));
}

/// A path that is walked one component at a time, as open_beneath_by_steps says.
class Walk {
 public:
  Walk(const FileDescriptor& folder, const std::string& relative) : root_{folder} { push(relative); }

  FileDescriptor open(int flags) {
    while (!todo_.empty()) {
      const auto name = std::move(todo_.back());
      todo_.pop_back();
      if (name == "..") {
        if (folders_.empty()) return failed(EXDEV);
        folders_.pop_back();
        continue;
      }
      FileDescriptor next{::openat(here(), name.c_str(), look_flags | O_NOFOLLOW)};
      struct stat status{};
      if (!status_of(next, status)) return failed(errno);
      if (S_ISLNK(status.st_mode)) {
        if (!follow(next)) return {};
      } else if (S_ISDIR(status.st_mode)) {
        if (folders_.size() == max_depth) return failed(ENAMETOOLONG);
        folders_.push_back(std::move(next));
      } else {
        return todo_.empty() ? reopened(name, flags) : failed(ENOTDIR);
      }
    }
    return reopened(".", flags);
  }

 private:
  int here() const { return folders_.empty() ? root_.get() : folders_.back().get(); }

  FileDescriptor reopened(const std::string& name, int flags) const {
    return FileDescriptor{::openat(here(), name.c_str(), flags | O_NOFOLLOW)};
  }

  // The components go onto the stack of what is still to be walked, first on top.
  bool push(std::string_view path) {
    if (path.empty() || path.starts_with('/') || path.find('\0') != std::string_view::npos) {
      errno = path.starts_with('/') ? EXDEV : ENOENT;
      return false;
    }
    while (!path.empty()) {
      const auto slash = path.rfind('/');
      const auto name = slash == std::string_view::npos ? path : path.substr(slash + 1);
      if (!name.empty() && name != ".") todo_.emplace_back(name);
      path = slash == std::string_view::npos ? std::string_view{} : path.substr(0, slash);
    }
    return true;
  }

  bool follow(const FileDescriptor& link) {
    constexpr int max_links = 40;  // as Linux has it
    std::array<char, PATH_MAX> target{};
    const auto length = ++links_ > max_links ? -1 : ::readlinkat(link.get(), "", target.data(), target.size());
    if (links_ > max_links) errno = ELOOP;
    return length >= 0 && push({target.data(), static_cast<std::size_t>(length)});
  }

  const FileDescriptor& root_;
  std::vector<FileDescriptor> folders_;  // from the root to here
  std::vector<std::string> todo_;
  int links_ = 0;
};

bool is_named_as_picture(std::string_view path) {
  const auto dot = path.rfind('.');
  if (dot == std::string_view::npos) return false;
  return std::ranges::find(picture_extensions, ascii_lower(path.substr(dot + 1))) != picture_extensions.end();
}

bool begins_as_picture(std::string_view bytes) {
  using namespace std::string_view_literals;
  const auto format = format_of(bytes);
  if (format != PictureFormat::bmp) return format != PictureFormat::unknown;
  // "BM" alone begins texts too: the size of the header that follows, one of a few, must be there as well.
  return bytes.size() >= 18 && bytes.substr(15, 3) == "\0\0\0"sv &&
         "\x0C\x28\x34\x38\x40\x6C\x7C"sv.find(bytes[14]) != std::string_view::npos;
}

}  // namespace

FileDescriptor::~FileDescriptor() {
  if (valid()) ::close(fd_);
}

Folder::Folder(fs::path root) : root_{std::move(root)}, fd_{::open(root_.c_str(), folder_flags)} {
  if (fd_.valid()) return;
  const int code = errno;
  if (code == ENOENT || code == ENOTDIR)
    throw IoError(fmt::format("no folder {}; {}", shown_path(root_), folders_beside(root_)));
  throw IoError(fmt::format("cannot open the folder {}: {}", shown_path(root_), reason(code)));
}

bool Folder::has_file(const std::string& relative) const {
  struct stat status{};
  if (!status_of(open_beneath(fd_, relative, look_flags), status)) return false;
  if (!S_ISREG(status.st_mode)) errno = S_ISDIR(status.st_mode) ? EISDIR : EINVAL;
  return S_ISREG(status.st_mode);
}

FileDescriptor Folder::open(const std::string& relative) const {
  if (!has_file(relative)) return {};
  auto file = open_beneath(fd_, relative, read_flags);
  if (file.valid() && !is_regular(file)) return failed(EINVAL);  // it changed in between
  return file;
}

bool Folder::has_folder(const std::string& relative) const {
  return open_beneath(fd_, relative, look_flags | O_DIRECTORY).valid();
}

std::vector<Folder::Entry> Folder::entries(const std::string& relative, std::size_t max_entries) const {
  std::vector<Name> names;
  if (!read_names(open_beneath(fd_, relative, folder_flags), max_entries, names)) {
    const int code = errno;
    if (code == EOVERFLOW) {
      throw DataError(fmt::format("{} holds more files than are allowed, {} of them: raise .max_files or divide it",
                                  shown_path(path_of(relative)), max_entries));
    }
    throw IoError(fmt::format("cannot list {}: {}", shown_path(path_of(relative)), why_not_opened(code)));
  }
  std::vector<Entry> entries;
  entries.reserve(names.size());
  for (auto& [name, type] : names) {
    bool known = true;
    if (type == DT_LNK || type == DT_UNKNOWN) {
      struct stat status{};
      known = status_of(open_beneath(fd_, relative + "/" + name, look_flags), status);
      type = S_ISREG(status.st_mode) ? DT_REG : S_ISDIR(status.st_mode) ? DT_DIR : DT_UNKNOWN;
    }
    const auto kind = !known ? Kind::astray : type == DT_REG ? Kind::file : type == DT_DIR ? Kind::folder : Kind::other;
    entries.push_back({std::move(name), kind});
  }
  return entries;
}

std::vector<std::string> Folder::names(std::size_t max_names) const {
  std::vector<Name> found;
  read_names(open_beneath(fd_, ".", folder_flags), max_names, found);
  std::vector<std::string> names;
  names.reserve(found.size());
  for (auto& name : found) names.push_back(std::move(name.text));
  return names;
}

std::vector<std::string> Folder::files_below(const std::string& relative, Search& search) const {
  std::vector<std::string> files;
  std::vector<std::pair<std::string, std::size_t>> todo{{relative, 0}};  // folders and their depth
  while (!todo.empty()) {
    const auto [folder, depth] = std::move(todo.back());
    todo.pop_back();
    struct stat status{};
    if (status_of(open_beneath(fd_, folder, look_flags), status) &&
        !search.met.emplace(status.st_dev, status.st_ino).second) {
      throw DataError(fmt::format("links lead to the folder {} by two ways or in a circle: remove one of them",
                                  shown_path(path_of(folder))));
    }
    if (depth > max_depth)
      throw DataError(fmt::format("{} lies more than {} folders deep", shown_path(path_of(folder)), max_depth));
    auto found = entries(folder, search.left);
    search.left -= found.size();
    for (auto& [name, kind] : found) {
      auto path = folder == "." ? std::move(name) : folder + "/" + name;
      if (kind == Kind::astray) refuse_link(path);
      if (kind == Kind::file) files.push_back(std::move(path));
      if (kind == Kind::folder) todo.emplace_back(std::move(path), depth + 1);
    }
  }
  std::ranges::sort(files);
  return files;
}

void Folder::refuse_link(const std::string& relative) const {
  throw DataError(
      fmt::format("{} is a link that leads out of {}, nowhere or in a circle: put what it leads to in its place",
                  shown_path(path_of(relative)), shown_path(root_)));
}

FileDescriptor open_beneath(const FileDescriptor& folder, const std::string& relative, int flags) {
  if (relative.find('\0') != std::string::npos) return failed(ENOENT);
#ifdef SYS_openat2
  open_how how{};
  how.flags = static_cast<decltype(how.flags)>(flags);
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  constexpr int max_tries = 16;  // EAGAIN: something was renamed while the kernel followed a `..`
  for (int tries = 0; tries < max_tries; ++tries) {
    const auto fd = ::syscall(SYS_openat2, folder.get(), relative.c_str(), &how, sizeof how);
    if (fd >= 0) return FileDescriptor{static_cast<int>(fd)};
    // An old kernel, or a container that forbids the call, gets the walk below instead.
    if (errno == ENOSYS || errno == EPERM) break;
    if (errno != EAGAIN && errno != EINTR) return {};
  }
#endif
  return open_beneath_by_steps(folder, relative, flags);
}

FileDescriptor open_beneath_by_steps(const FileDescriptor& folder, const std::string& relative, int flags) {
  if (relative.empty() || relative.find('\0') != std::string::npos) return failed(ENOENT);
  if (relative.starts_with('/')) return failed(EXDEV);
  if (relative.size() >= PATH_MAX) return failed(ENAMETOOLONG);
  return Walk{folder, relative}.open(flags);
}

FileDescriptor open_file(const fs::path& path) {
  // Looked at first: a pipe's other end and a device notice even the shortest opening.
  const FileDescriptor found{::open(path.c_str(), look_flags)};
  if (found.valid() && !is_regular(found))
    throw IoError(fmt::format("cannot open {}: it is no regular file", shown_path(path)));
  FileDescriptor file{found.valid() ? ::open(path.c_str(), read_flags) : -1};
  if (!file.valid()) throw IoError(fmt::format("cannot open {}: {}", shown_path(path), reason(errno)));
  return file;
}

bool is_regular(const FileDescriptor& file) {
  struct stat status{};
  return status_of(file, status) && S_ISREG(status.st_mode);
}

std::string why_not_opened(int code) {
  if (code == EXDEV) return "it leads out of the folder";
  if (code == EISDIR) return "it is a folder";
  if (code == EINVAL) return "it is no regular file";
  return reason(code);
}

std::vector<std::byte> read_bytes(const FileDescriptor& file, std::int64_t max_bytes, const fs::path& path) {
  struct stat status{};
  if (!status_of(file, status)) throw IoError(fmt::format("cannot read {}: {}", shown_path(path), reason(errno)));
  if (!S_ISREG(status.st_mode)) throw IoError(fmt::format("cannot read {}: it is no regular file", shown_path(path)));
  if (status.st_size > max_bytes) {
    throw PictureError(
        PictureFault::too_large,
        fmt::format("{} has {} bytes, more than the limit of {}: make it smaller or raise .limits.max_bytes",
                    shown_path(path), status.st_size, max_bytes));
  }
  std::vector<std::byte> bytes(static_cast<std::size_t>(status.st_size));
  std::size_t filled = 0;
  while (filled < bytes.size()) {
    const auto count = ::read(file.get(), bytes.data() + filled, bytes.size() - filled);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw IoError(fmt::format("cannot read {}: {}", shown_path(path), reason(errno)));
    if (count == 0) break;  // it became shorter since fstat
    filled += static_cast<std::size_t>(count);
  }
  bytes.resize(filled);
  return bytes;
}

std::vector<std::byte> read_picture_bytes(const Folder& folder, const std::string& relative,
                                          const DecodeLimits& limits) {
  const auto file = folder.open(relative);
  if (!file.valid()) {
    throw PictureError(PictureFault::missing, fmt::format("cannot open the picture {}: {}",
                                                          shown_path(folder.path_of(relative)), why_not_opened(errno)));
  }
  return read_bytes(file, limits.max_bytes, folder.path_of(relative));
}

Image read_picture(const Folder& folder, const std::string& relative, const DecodeLimits& limits) {
  return decode_named(read_picture_bytes(folder, relative, limits), limits, folder.root() / relative);
}

bool is_picture(const Folder& folder, const std::string& relative) {
  if (is_named_as_picture(relative)) return true;
  const auto file = folder.open(relative);
  std::array<char, 18> bytes{};
  const auto count = file.valid() ? ::pread(file.get(), bytes.data(), bytes.size(), 0) : 0;
  return begins_as_picture(std::string_view{bytes.data(), static_cast<std::size_t>(std::max<ssize_t>(count, 0))});
}

ByteReader::ByteReader(FileDescriptor file, std::string path, std::int64_t max_bytes, std::string_view option)
    : file_{std::move(file)}, path_{std::move(path)}, option_{option}, left_{max_bytes} {
  struct stat status{};
  if (!status_of(file_, status) || !S_ISREG(status.st_mode))
    throw IoError(fmt::format("cannot read {}: it is no regular file", shown_path(path_)));
  if (status.st_size > max_bytes) {
    throw DataError(fmt::format("{} has {} bytes, more than the limit of {}: shorten it{}{}", shown_path(path_),
                                status.st_size, max_bytes, option_.empty() ? "" : " or raise ", option_));
  }
}

bool ByteReader::fill() {
  for (;;) {
    const auto count = ::read(file_.get(), buffer_.data(), buffer_.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw IoError(fmt::format("cannot read {}: {}", shown_path(path_), reason(errno)));
    left_ -= count;
    if (left_ < 0) {
      throw DataError(fmt::format("{} grew beyond {} while it was read", shown_path(path_),
                                  option_.empty() ? "its limit" : option_));
    }
    at_ = 0;
    end_ = static_cast<std::size_t>(count);
    return count > 0;
  }
}

bool ByteReader::line(std::string& line, std::size_t max_bytes) {
  line.clear();
  if (peek() < 0) return false;
  while (peek() >= 0) {
    const auto* begin = buffer_.data() + at_;
    const auto* newline = static_cast<const char*>(std::memchr(begin, '\n', end_ - at_));
    const auto length = newline == nullptr ? end_ - at_ : static_cast<std::size_t>(newline - begin);
    if (line.size() + length > max_bytes) throw DataError(fmt::format("longer than {} bytes", max_bytes));
    line.append(begin, length);
    at_ += length;
    if (newline != nullptr) {
      ++at_;
      break;
    }
  }
  return true;
}

std::string_view ByteReader::block() {
  if (peek() < 0) return {};
  const std::string_view bytes{buffer_.data() + at_, end_ - at_};
  at_ = end_;
  return bytes;
}

std::string ByteReader::rest() {
  std::string rest;
  for (auto bytes = block(); !bytes.empty(); bytes = block()) rest += bytes;
  return rest;
}

std::int64_t PathIds::add(const std::string& path) {
  const auto id = stable_id(path);
  if (!ids_.insert(id).second)
    throw DataError(fmt::format("{} has the same 63-bit hash as another file: rename it", shown_path(path)));
  return id;
}

}  // namespace sslmeme::detail
