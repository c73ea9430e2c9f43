// Files from strangers: opened without leaving a folder, read with a cap, written whole or not at all.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace sslmeme::detail {

/// An open file that closes itself; −1 for none.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) : fd_{fd} {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_{std::exchange(other.fd_, -1)} {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~FileDescriptor();
  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

/// A folder whose files can be opened without ever leaving it, through `..`, absolute paths or links.
class Folder {
 public:
  /// Throws IoError if `root` is no folder that can be read.
  explicit Folder(std::filesystem::path root);

  const std::filesystem::path& root() const { return root_; }
  /// Opens a file for reading; an invalid descriptor, with errno set, if it is not there or lies outside.
  FileDescriptor open(const std::string& relative) const;

 private:
  std::filesystem::path root_;
  FileDescriptor fd_;
};

/// Opens a file for reading. Throws IoError.
FileDescriptor open_file(const std::filesystem::path& path);

/// Whether the descriptor is that of a regular file, not of a folder, pipe or device.
bool is_regular(const FileDescriptor& file);

/// All bytes of a regular file. Throws IoError if it cannot be read, DataError if it is longer than `max_bytes`; both
/// name `path`.
std::vector<std::byte> read_bytes(const FileDescriptor& file, std::int64_t max_bytes,
                                  const std::filesystem::path& path);

}  // namespace sslmeme::detail
