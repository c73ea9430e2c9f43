// Files from strangers: opened without leaving a folder and read with a cap.
#pragma once

#include <sslmeme/core/image.hpp>
#include <sslmeme/data/image_io.hpp>

#include "core/shown.hpp"

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <string_view>
#include <unordered_set>
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
  /// Gives the number away: whoever takes it closes it.
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_ = -1;
};

/// How the names of pictures end, after the dot.
inline constexpr std::array<std::string_view, 6> picture_extensions{"jpg", "jpeg", "png", "webp", "gif", "bmp"};

/// A folder whose files can be opened without ever leaving it, through `..`, absolute paths or links. A link is
/// followed if it is relative and what it leads to lies within: data sets are often put together of such links.
class Folder {
 public:
  /// What lies in a folder. A link counts as what it leads to; `other` is a pipe, a socket or a device, and `astray` a
  /// link that leads out of the folder, nowhere or in a circle.
  enum class Kind { file, folder, other, astray };
  struct Entry {
    std::string name;
    Kind kind = Kind::file;
  };
  /// What calls of files_below share: how many entries there may still be, and the folders that were met.
  struct Search {
    std::size_t left = 0;
    std::set<std::pair<dev_t, ino_t>> met = {};
  };

  /// Throws IoError if `root` is no folder that can be read, naming the folders beside it.
  explicit Folder(std::filesystem::path root);

  const std::filesystem::path& root() const { return root_; }
  /// The path of a file within, for messages.
  std::string path_of(const std::string& relative) const { return (root_ / relative).string(); }
  /// Opens a regular file for reading; an invalid descriptor, with errno set, if it is not there, lies outside (EXDEV)
  /// or is no regular file (EINVAL). Pipes and devices are not opened even for a moment.
  FileDescriptor open(const std::string& relative) const;
  /// Whether a regular file is there, within, by looking alone; else errno is as `open` sets it.
  bool has_file(const std::string& relative) const;
  /// Whether a folder is there, within.
  bool has_folder(const std::string& relative) const;
  /// What lies in the folder `relative`, sorted by name, without names that begin with a dot. Throws IoError if it
  /// cannot be listed and DataError if it holds more than `max_entries`.
  std::vector<Entry> entries(const std::string& relative, std::size_t max_entries) const;
  /// The names in the root, sorted, for hints: some of them if there are more than `max_names`, none if it cannot be
  /// listed.
  std::vector<std::string> names(std::size_t max_names) const;
  /// The regular files below the folder `relative`, as paths within the root, in sorted order. `search` becomes less by
  /// the entries that there are. Throws as `entries` does, and DataError for a link that goes astray, a folder that two
  /// ways lead to, in this call or an earlier one with the same `search`, and one more than 32 deep.
  std::vector<std::string> files_below(const std::string& relative, Search& search) const;
  /// Throws the DataError for an entry that is `astray`.
  [[noreturn]] void refuse_link(const std::string& relative) const;

 private:
  std::filesystem::path root_;
  FileDescriptor fd_;
};

/// openat(2) that cannot leave `folder`: EXDEV for an absolute path or link, and for a `..` out of it. The kernel does
/// it (openat2, RESOLVE_BENEATH) where it can, else `open_beneath_by_steps`.
FileDescriptor open_beneath(const FileDescriptor& folder, const std::string& relative, int flags);

/// The same, one component at a time, each opened with O_NOFOLLOW and each link read and walked in its turn.
FileDescriptor open_beneath_by_steps(const FileDescriptor& folder, const std::string& relative, int flags);

/// Opens a regular file for reading, one that the caller names: links are followed wherever they lead. Pipes and
/// devices are not opened even for a moment. Throws IoError.
FileDescriptor open_file(const std::filesystem::path& path);

/// Whether the descriptor is that of a regular file, not of a folder, pipe or device.
bool is_regular(const FileDescriptor& file);

/// Why Folder::open failed, from errno: "it leads out of the folder", "it is no regular file" or the system's words.
std::string why_not_opened(int code);

/// All bytes of a regular file. Throws IoError if it cannot be read, PictureError if it is longer than `max_bytes`;
/// both name `path`.
std::vector<std::byte> read_bytes(const FileDescriptor& file, std::int64_t max_bytes,
                                  const std::filesystem::path& path);

/// The bytes of a picture within `folder`. Throws PictureError if it is not there, and as read_bytes does.
std::vector<std::byte> read_picture_bytes(const Folder& folder, const std::string& relative,
                                          const DecodeLimits& limits);

/// The picture. Throws as read_picture_bytes and decode_image do, naming the file.
Image read_picture(const Folder& folder, const std::string& relative, const DecodeLimits& limits);

/// Whether the name of a file within `folder` ends as that of a JPEG, PNG, GIF, WebP or BMP picture does, or the file
/// begins as one does.
bool is_picture(const Folder& folder, const std::string& relative);

/// A file read from its beginning to its end, byte by byte or line by line, through a small buffer.
class ByteReader {
 public:
  /// `path` is for messages, and so is `option`, which sets `max_bytes`; empty if none does. Throws DataError if the
  /// file is longer, IoError if it is not regular.
  ByteReader(FileDescriptor file, std::string path, std::int64_t max_bytes,
             std::string_view option = ".max_file_bytes");

  const std::string& path() const { return path_; }
  /// The next byte, 0 … 255, or −1 at the end. Throws IoError, and DataError for a file that grew beyond the cap.
  int get() { return at_ < end_ || fill() ? static_cast<unsigned char>(buffer_[at_++]) : -1; }
  /// The next byte, which stays there.
  int peek() { return at_ < end_ || fill() ? static_cast<unsigned char>(buffer_[at_]) : -1; }
  /// Reads up to the next '\n', which is left out; false at the end. Throws DataError for a longer line.
  bool line(std::string& line, std::size_t max_bytes);
  /// The bytes at hand, at least one of them, which are then behind us; empty at the end.
  std::string_view block();
  /// All that is left.
  std::string rest();

 private:
  bool fill();

  FileDescriptor file_;
  std::string path_;
  std::string_view option_;
  std::int64_t left_ = 0;
  std::size_t at_ = 0, end_ = 0;
  std::array<char, 1 << 16> buffer_;
};

/// The stable ids of paths, no two of them alike.
class PathIds {
 public:
  /// Throws DataError if an earlier path has the same.
  std::int64_t add(const std::string& path);

 private:
  std::unordered_set<std::int64_t> ids_;
};

}  // namespace sslmeme::detail
