// Memes in the layout of the Hateful Memes data set: a folder of pictures and one JSONL file a split.
#pragma once

#include <sslmeme/core/batch.hpp>
#include <sslmeme/data/image_io.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>

namespace sslmeme {

/// One line of a split's file.
struct MemeRecord {
  std::int64_t id = 0;
  std::string picture;                ///< the picture's file, relative to the root
  std::optional<std::int64_t> label;  ///< 1 harmful, 0 not; absent in blind splits
  std::string text;                   ///< valid UTF-8
};

struct MemeJsonlOptions {
  DecodeLimits limits = {};  ///< what a picture may cost
};

/// A dataset in the Hateful Memes layout (Kiela et al. 2020, arXiv:2005.04790): ROOT/SPLIT.jsonl holds lines like
/// `{"id": 42953, "img": "img/42953.png", "label": 0, "text": "..."}`, without "label" in blind splits.
///
/// Both namings of the splits are understood: "dev" is read from dev_seen.jsonl where there is no dev.jsonl and the
/// other way round, "test" likewise. Pictures may lie at "img" as given, under img/ or flat in the root, and never
/// outside the root, not even through links. Other keys are ignored. Copies are cheap and share the records; reading is
/// thread-safe.
class MemeJsonl {
 public:
  /// Reads the split's lines and looks for every picture, without decoding.
  /// Throws IoError for a missing root or split, naming what is there instead, and DataError, naming file and line, for
  /// what is not JSON, a missing, repeated or wrongly typed key, a repeated id, a line over 1 MiB and a missing
  /// picture.
  MemeJsonl(const std::filesystem::path& root, const std::string& split, const MemeJsonlOptions& options = {});

  std::size_t size() const { return records().size(); }
  /// Decodes the picture. Throws DataError, naming the file, for a damaged one.
  Sample get(std::size_t i) const;
  std::int64_t id(std::size_t i) const { return records()[i].id; }
  std::optional<std::int64_t> label(std::size_t i) const { return records()[i].label; }
  std::string text(std::size_t i) const { return records()[i].text; }
  /// The path of the picture.
  std::string source(std::size_t i) const;

  /// All lines in the order of the file.
  std::span<const MemeRecord> records() const;
  /// The file that was read, e.g. ROOT/dev_seen.jsonl.
  const std::filesystem::path& file() const;
  /// How many texts held malformed UTF-8, which was replaced by U+FFFD.
  std::size_t repaired_texts() const;

 private:
  struct State;
  std::shared_ptr<const State> state_;
};

}  // namespace sslmeme
