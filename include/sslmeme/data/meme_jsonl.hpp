// Memes in the layout of the Hateful Memes data set: a folder of pictures and one JSONL file a split.
#pragma once

#include <sslmeme/core/batch.hpp>
#include <sslmeme/data/image_io.hpp>
#include <sslmeme/data/manifest.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace sslmeme {

struct MemeJsonlOptions {
  DecodeLimits limits = {};  ///< what a picture may cost
  DuplicateIds duplicates = DuplicateIds::refuse;
  std::int64_t max_file_bytes = std::int64_t{1} << 30;  ///< length of the split's file
  std::int64_t max_records = 4'000'000;                 ///< lines, those left out included
  bool check_pictures = true;  ///< a picture that is missing is an error at once; else one of get()
};

/// A dataset in the Hateful Memes layout (Kiela et al. 2020, arXiv:2005.04790): ROOT/SPLIT.jsonl holds lines like
/// `{"id": 42953, "img": "img/42953.png", "label": 0, "text": "..."}`, without "label", or with null, in blind splits.
///
/// Both namings of the splits are understood: "dev" is read from dev_seen.jsonl where there is no dev.jsonl and the
/// other way round, "test" likewise. Pictures may lie at "img" as given, and those given flat or in img/ also in the
/// other of these places; a Manifest has only the first. Neither they nor the split's file may lie outside the root:
/// relative links that stay inside are followed, others are not. Other keys are ignored. Copies are cheap and share the
/// records; reading is thread-safe.
class MemeJsonl {
 public:
  /// Reads the split's lines and looks for every picture, without decoding.
  /// Throws IoError for a missing root or split, naming what is there instead; PictureError, naming file and line, for
  /// a missing picture; and DataError, naming file and line, for what is not JSON, a missing, repeated or wrongly typed
  /// key, a repeated id, a line over 1 MiB and an object of over 256 keys.
  MemeJsonl(const std::filesystem::path& root, const std::string& split, const MemeJsonlOptions& options = {});

  std::size_t size() const { return manifest_.size(); }
  /// Decodes the picture. Throws PictureError, naming the file, for one that is damaged or went away.
  Sample get(std::size_t i) const { return manifest_.get(i); }
  std::int64_t id(std::size_t i) const { return manifest_.id(i); }
  std::optional<std::int64_t> label(std::size_t i) const { return manifest_.label(i); }
  std::string text(std::size_t i) const { return manifest_.text(i); }
  /// The path of the picture.
  std::string source(std::size_t i) const { return manifest_.source(i); }
  /// The picture's file as it is. Throws PictureError if it went away or is over limits.max_bytes.
  std::vector<std::byte> bytes(std::size_t i) const { return manifest_.bytes(i); }

  /// All lines in the order of the file.
  std::span<const MemeRecord> records() const { return manifest_.records(); }
  /// The lines that were left out since an earlier one has their id.
  std::span<const DuplicateId> duplicates() const { return manifest_.duplicates(); }
  /// The file that was read, e.g. ROOT/dev_seen.jsonl.
  const std::filesystem::path& file() const { return manifest_.file(); }
  /// How many texts held malformed UTF-8, which was replaced by U+FFFD.
  std::size_t repaired_texts() const { return manifest_.repaired_texts(); }

 private:
  Manifest manifest_;
};

}  // namespace sslmeme
