#include "data/files.hpp"

#include <sslmeme/core/error.hpp>

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
#include <string>
#include <system_error>
#include <utility>

namespace sslmeme::detail {

namespace fs = std::filesystem;

namespace {

// O_NONBLOCK: opening a pipe must not wait for its other end.
constexpr int read_flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;

std::string reason(int code) {
  return std::generic_category().message(code);
}

bool stays_inside(const fs::path& root, const fs::path& path) {
  std::error_code error;
  const auto real_root = fs::canonical(root, error), real_path = fs::canonical(path, error);
  if (error) return false;
  return std::mismatch(real_root.begin(), real_root.end(), real_path.begin(), real_path.end()).first == real_root.end();
}

}  // namespace

FileDescriptor::~FileDescriptor() {
  if (valid()) ::close(fd_);
}

Folder::Folder(fs::path root) : root_{std::move(root)}, fd_{::open(root_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)} {
  if (!fd_.valid()) {
    throw IoError(fmt::format("cannot open the folder {}: {}", root_.string(), reason(errno)));
  }
}

FileDescriptor Folder::open(const std::string& relative) const {
#ifdef SYS_openat2
  open_how how{};
  how.flags = read_flags;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  const auto fd = ::syscall(SYS_openat2, fd_.get(), relative.c_str(), &how, sizeof how);
  // An old kernel, or a container that forbids the call, gets the check below instead.
  if (fd >= 0 || (errno != ENOSYS && errno != EPERM)) return FileDescriptor{static_cast<int>(fd)};
#endif
  if (fs::path{relative}.is_absolute() || !stays_inside(root_, root_ / relative)) {
    errno = fs::exists(root_ / relative) ? EXDEV : ENOENT;
    return {};
  }
  return FileDescriptor{::openat(fd_.get(), relative.c_str(), read_flags)};
}

FileDescriptor open_file(const fs::path& path) {
  FileDescriptor file{::open(path.c_str(), read_flags)};
  if (!file.valid()) throw IoError(fmt::format("cannot open {}: {}", path.string(), reason(errno)));
  return file;
}

bool is_regular(const FileDescriptor& file) {
  struct stat status{};
  return ::fstat(file.get(), &status) == 0 && S_ISREG(status.st_mode);
}

std::vector<std::byte> read_bytes(const FileDescriptor& file, std::int64_t max_bytes, const fs::path& path) {
  struct stat status{};
  if (::fstat(file.get(), &status) != 0) throw IoError(fmt::format("cannot read {}: {}", path.string(), reason(errno)));
  if (!S_ISREG(status.st_mode)) throw IoError(fmt::format("cannot read {}: it is no regular file", path.string()));
  if (status.st_size > max_bytes) {
    throw DataError(
        fmt::format("{} has {} bytes, more than the limit of {}: make it smaller or raise .limits.max_bytes",
                    path.string(), status.st_size, max_bytes));
  }
  std::vector<std::byte> bytes(static_cast<std::size_t>(status.st_size));
  std::size_t filled = 0;
  while (filled < bytes.size()) {
    const auto count = ::read(file.get(), bytes.data() + filled, bytes.size() - filled);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw IoError(fmt::format("cannot read {}: {}", path.string(), reason(errno)));
    if (count == 0) break;  // it became shorter since fstat
    filled += static_cast<std::size_t>(count);
  }
  bytes.resize(filled);
  return bytes;
}

}  // namespace sslmeme::detail
