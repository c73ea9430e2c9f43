#include <sslmeme/core/files.hpp>

#include <sslmeme/core/error.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <ftw.h>
#include <unistd.h>
#include <zlib.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <utility>
#include <vector>

namespace sslmeme {
namespace {

[[noreturn]] void refuse(const char* doing, const std::filesystem::path& path) {
  throw IoError(fmt::format("cannot {} {}: {}", doing, path.string(), std::strerror(errno)));
}

/// What a temporary name adds to that of the file, before the number of the process that writes it.
constexpr const char* temporary_suffix = ".tmp";

class File {
 public:
  File(const std::filesystem::path& path, int flags, const char* doing)
      : fd_{::open(path.c_str(), flags | O_CLOEXEC, 0644)} {
    if (fd_ < 0) refuse(doing, path);
  }
  ~File() {
    if (fd_ >= 0) ::close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  int get() const { return fd_; }
  int close() { return ::close(std::exchange(fd_, -1)); }

 private:
  int fd_;
};

std::filesystem::path folder_of(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : ".";
}

void add(FileDigest& digest, std::span<const std::byte> bytes) {
  digest.crc32 = static_cast<std::uint32_t>(
      crc32_z(digest.crc32, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));  // zlib's own byte type
  digest.bytes += bytes.size();
}

}  // namespace

FileDigest digest_of(std::span<const std::byte> content) {
  FileDigest digest;
  add(digest, content);
  return digest;
}

FileDigest digest_of(const std::filesystem::path& path) {
  const File file{path, O_RDONLY, "read"};
  std::vector<std::byte> block(std::size_t{1} << 20U);
  FileDigest digest;
  while (true) {
    const auto got = ::read(file.get(), block.data(), block.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) refuse("read", path);
    if (got == 0) return digest;
    add(digest, std::span{block}.first(static_cast<std::size_t>(got)));
  }
}

FileDigest write_atomically(const std::filesystem::path& path, const std::function<void(const ByteSink&)>& body) {
  FileDigest digest;
  const auto temporary = std::filesystem::path{path.string() + fmt::format("{}{}", temporary_suffix, ::getpid())};
  try {
    File file{temporary, O_WRONLY | O_CREAT | O_TRUNC, "create"};
    body([&](std::span<const std::byte> bytes) {
      add(digest, bytes);
      while (!bytes.empty()) {
        const auto written = ::write(file.get(), bytes.data(), bytes.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) refuse("write", path);
        bytes = bytes.subspan(static_cast<std::size_t>(written));
      }
    });
    if (::fsync(file.get()) != 0) refuse("write", path);
    if (file.close() != 0) refuse("write", path);
    if (::rename(temporary.c_str(), path.c_str()) != 0) refuse("write", path);
  } catch (...) {
    std::error_code ignored;
    std::filesystem::remove(temporary, ignored);
    throw;
  }
  sync_directory(folder_of(path));
  return digest;
}

FileDigest write_atomically(const std::filesystem::path& path, std::string_view content) {
  return write_atomically(path, [&](const ByteSink& sink) { sink(std::as_bytes(std::span{content})); });
}

void remove_unfinished(const std::filesystem::path& path) {
  const auto prefix = path.filename().string() + temporary_suffix;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator{folder_of(path), ignored}) {
    const auto name = entry.path().filename().string();
    const bool numbered = name.size() > prefix.size() && name.starts_with(prefix) &&
                          name.find_first_not_of("0123456789", prefix.size()) == std::string::npos;
    if (numbered && entry.is_regular_file(ignored)) std::filesystem::remove(entry.path(), ignored);
  }
}

std::string read_file(const std::filesystem::path& path, std::uintmax_t max_bytes) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) {
    throw IoError(fmt::format("cannot read {}: {}", path.string(), error ? error.message() : "no such file"));
  }
  const auto size = std::filesystem::file_size(path);
  if (size > max_bytes)
    throw DataError(fmt::format("{} holds {} bytes; at most {} are read", path.string(), size, max_bytes));
  std::ifstream in{path, std::ios::binary};
  std::string content(size, '\0');
  if (!in.read(content.data(), static_cast<std::streamsize>(size))) {
    throw IoError(fmt::format("cannot read {}: {} of {} bytes came", path.string(), in.gcount(), size));
  }
  return content;
}

void make_directory(const std::filesystem::path& directory) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) throw IoError(fmt::format("cannot make the directory {}: {}", directory.string(), error.message()));
}

void remove_tree(const std::filesystem::path& path, std::error_code& error) {
  error.clear();
  const auto remove = [](const char* entry, const struct stat* /*status*/, int /*kind*/, FTW* /*where*/) {
    return ::remove(entry) == 0 || errno == ENOENT ? 0 : -1;
  };
  constexpr int open_at_most = 16;
  if (::nftw(path.c_str(), remove, open_at_most, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT)
    error = {errno, std::generic_category()};
}

void remove_tree(const std::filesystem::path& path) {
  std::error_code error;
  remove_tree(path, error);
  if (error) throw IoError(fmt::format("cannot remove {}: {}", path.string(), error.message()));
}

void sync_directory(const std::filesystem::path& directory) {
  const File file{directory, O_RDONLY | O_DIRECTORY, "open"};
  if (::fsync(file.get()) != 0 && errno != EINVAL) refuse("sync", directory);
}

}  // namespace sslmeme
