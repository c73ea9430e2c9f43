// The headers of a tar archive from strangers: ustar, pax and GNU long names. Contents are skipped, never read.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "data/files.hpp"

namespace sslmeme::detail {

/// A regular file within an archive.
struct TarMember {
  std::string name;         ///< any bytes but NUL, at most 4096 of them
  std::int64_t offset = 0;  ///< of its content, from the start of the archive
  std::int64_t size = 0;    ///< bytes; all of them lie within the archive
};

/// Walks through the members of an archive.
///
/// Folders and volume labels are passed over. Links, devices, pipes, sparse files, parts of multi-volume archives and
/// unknown kinds are refused: a reader that left them out would lose samples without a word. So is whatever follows the
/// end, since of two archives written one after the other only the first would be read.
class TarReader {
 public:
  /// file: opened for reading, `bytes` long; must outlive the reader. max_headers: how many there may be, those of pax
  /// and long names counted too.
  TarReader(const FileDescriptor& file, std::int64_t bytes, std::int64_t max_headers);

  /// The next regular file, or none at the end. Throws DataError, naming the member but not the archive, for what is
  /// no tar archive, damaged, truncated, refused or beyond a limit, and IoError if the system refuses.
  std::optional<TarMember> next();

 private:
  static constexpr std::size_t block = 512;
  using Header = std::array<char, block>;
  struct Override {  // what pax and GNU headers say of the member that follows
    std::string name;
    std::optional<std::int64_t> size;
    bool any = false;
  };

  Header header_at_position();
  std::string content(std::string_view name, std::int64_t size, std::int64_t most);
  void read_pax(std::string_view records, bool global, Override& override) const;
  void check_end();

  const FileDescriptor& file_;
  std::int64_t bytes_, max_headers_, headers_ = 0, position_ = 0;
  std::array<std::byte, 8 * block> ahead_{};  // small members lie side by side: one read serves several headers
  std::int64_t ahead_at_ = 0, ahead_size_ = 0;
};

/// Reads at `offset`, without moving anything that threads share; fewer bytes than asked only at the end of the file.
/// Throws IoError.
std::size_t read_at(const FileDescriptor& file, std::int64_t offset, std::span<std::byte> out);

}  // namespace sslmeme::detail
