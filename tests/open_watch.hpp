// Whether a file is opened by anybody, even for a moment.
#pragma once

#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <system_error>

namespace sslmeme::test {

/// Watches a file, pipe or device. To look at it alone, by stat or O_PATH, is not to open it.
class OpenWatch {
 public:
  explicit OpenWatch(const std::filesystem::path& path) : fd_{::inotify_init1(IN_NONBLOCK | IN_CLOEXEC)} {
    if (fd_ < 0 || ::inotify_add_watch(fd_, path.c_str(), IN_OPEN) < 0)
      throw std::system_error{errno, std::generic_category(), path.string()};
  }
  OpenWatch(const OpenWatch&) = delete;
  OpenWatch& operator=(const OpenWatch&) = delete;
  ~OpenWatch() { ::close(fd_); }

  /// Whether it was opened since the last call.
  bool opened() const {
    std::array<char, 4096> events{};
    return ::read(fd_, events.data(), events.size()) > 0;
  }

 private:
  int fd_;
};

}  // namespace sslmeme::test
