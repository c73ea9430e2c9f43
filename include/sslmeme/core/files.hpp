// Files that nothing is lost with: a new file appears whole under its name, or the old one stays.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

namespace sslmeme {

/// Appends bytes to the file that is being written; throws IoError when the system refuses (no space left).
using ByteSink = std::function<void(std::span<const std::byte>)>;

/// What tells whether a file still holds what was written: its length and CRC-32 (ISO 3309, as in zlib and PNG).
struct FileDigest {
  std::uint64_t bytes = 0;
  std::uint32_t crc32 = 0;
  bool operator==(const FileDigest&) const = default;
};
FileDigest digest_of(std::span<const std::byte> content);
/// Of a file, read in blocks. Throws IoError when it cannot be read.
FileDigest digest_of(const std::filesystem::path& path);

/// Writes `path` through a temporary in the same directory: full writes, fsync, close, rename, fsync of the directory.
/// On any exception, the body's own included, the temporary is removed and a former file stays as it was. Returns
/// the digest of what was handed over, not of what the disk made of it. Throws IoError naming the path.
FileDigest write_atomically(const std::filesystem::path& path, const std::function<void(const ByteSink&)>& body);
FileDigest write_atomically(const std::filesystem::path& path, std::string_view content);

/// Removes what write_atomically(path) left under its temporary names when its process died. Nobody may be writing it.
void remove_unfinished(const std::filesystem::path& path);

/// The whole file. Throws IoError when it cannot be read, DataError when it is larger than `max_bytes`.
std::string read_file(const std::filesystem::path& path, std::uintmax_t max_bytes = std::uintmax_t{1} << 30U);

/// Makes a directory, and those above it, where there is none. Throws IoError naming it.
void make_directory(const std::filesystem::path& directory);

/// Removes a file, or a directory with all that is in it; of links themselves, not what they lead to. Where there is
/// nothing, nothing happens. The first throws IoError naming the path. In place of std::filesystem::remove_all, of
/// which libtorch.so of the wheel of LibTorch 2.11 for CUDA exports a copy that calls a null pointer, ahead of
/// libstdc++'s.
void remove_tree(const std::filesystem::path& path);
void remove_tree(const std::filesystem::path& path, std::error_code& error);

/// fsync of a directory, so that names made in it last. Throws IoError.
void sync_directory(const std::filesystem::path& directory);

}  // namespace sslmeme
