// Manifest: memes listed in a JSONL, CSV or TSV file whose columns have any names.
#pragma once

#include <sslmeme/core/batch.hpp>
#include <sslmeme/data/image_io.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace sslmeme {

namespace detail {
struct ManifestState;
}

/// One row of a manifest.
struct MemeRecord {
  std::int64_t id = 0;
  std::string picture;                ///< the picture's file, relative to the root
  std::optional<std::int64_t> label;  ///< 1 harmful, 0 not, or as the manifest's labels say; absent in blind splits
  std::string text;                   ///< valid UTF-8
};

enum class ManifestFormat {
  by_extension,  ///< .jsonl or .ndjson, .csv, .tsv or .tab
  jsonl,         ///< one JSON object a line
  csv,           ///< RFC 4180, with a header
  tsv,           ///< the same, separated by tabs
};

/// What to do about a row whose id an earlier row has.
enum class DuplicateIds {
  refuse,      ///< throw DataError, naming both lines
  keep_first,  ///< leave it out and report it in duplicates()
};

/// A row that was left out.
struct DuplicateId {
  std::int64_t id = 0;
  std::int64_t line = 0;        ///< counted from 1
  std::int64_t first_line = 0;  ///< of the row that was kept
};

/// The names of the columns of a CSV or TSV file, or of the keys of JSON objects. The same column may serve twice.
struct ManifestColumns {
  std::string id = "id";        ///< "" if there is none: the number of the row, from 0, is the id
  std::string picture = "img";  ///< the picture's file
  std::string text = "text";    ///< "" if there is none: texts are empty
  std::string label = "label";  ///< "" if there is none: samples have no label
};

struct ManifestOptions {
  ManifestFormat format = ManifestFormat::by_extension;
  ManifestColumns columns = {};
  std::string picture_folder = {};                  ///< where the picture column starts from, relative to the root
  std::map<std::string, std::int64_t> labels = {};  ///< what a label's text means; if empty, labels are whole numbers
  DuplicateIds duplicates = DuplicateIds::refuse;
  DecodeLimits limits = {};                             ///< what a picture may cost
  std::int64_t max_file_bytes = std::int64_t{1} << 30;  ///< length of the manifest
  std::int64_t max_records = 4'000'000;                 ///< rows, those left out included
  bool check_pictures = true;  ///< look for each picture at once; else a missing one is an error of get()
};

/// A dataset listed in a file: ROOT/FILE names pictures within ROOT, with their texts and labels.
///
/// Ids: whole numbers are taken as they are; any other text becomes a stable 63-bit hash of its bytes. Labels: whole
/// numbers from 0, or what `labels` says of the text, number or boolean; an empty cell, null and, in JSONL, an absent
/// key mean that there is none; of a JSON array the first element counts. CSV and TSV need all four columns in their
/// header, others are ignored; rows end with LF, CRLF or CR; a quote within a field that does not begin with one stands
/// for itself; blank lines are left out. Malformed UTF-8 becomes U+FFFD.
///
/// Neither the file nor a picture may lie outside the root. Relative links that stay inside are followed, others are
/// not, nor are pipes or devices opened. Copies are cheap and share the records; reading is thread-safe.
///
///   Manifest data{root, "train.csv", {.columns = {.picture = "file"}, .labels = {{"hateful", 1}, {"benign", 0}}}};
class Manifest {
 public:
  /// Reads the rows and looks for every picture, without decoding; memory is bounded by max_file_bytes and max_records.
  /// Throws InvalidArgument for options that contradict each other; IoError for a missing root or file; PictureError,
  /// naming file and line, for a missing picture; and DataError, naming file and line, for anything else that is wrong
  /// with a row: what is not JSON or CSV, a missing or repeated column, a ragged row, a value of the wrong kind, a
  /// repeated id or two ids with the same hash, a row over 1 MiB, over 256 keys or 1024 columns, JSON nested over 32.
  Manifest(const std::filesystem::path& root, const std::string& file, const ManifestOptions& options = {});
  /// What the presets in presets.hpp and MemeJsonl make.
  explicit Manifest(std::shared_ptr<const detail::ManifestState> state);

  std::size_t size() const { return records().size(); }
  /// Decodes the picture. Throws PictureError, naming the file, for one that is damaged or went away.
  Sample get(std::size_t i) const;
  std::int64_t id(std::size_t i) const { return records()[i].id; }
  std::optional<std::int64_t> label(std::size_t i) const { return records()[i].label; }
  std::string text(std::size_t i) const { return records()[i].text; }
  /// The path of the picture.
  std::string source(std::size_t i) const;
  /// The picture's file as it is. Throws PictureError if it went away or is over limits.max_bytes.
  std::vector<std::byte> bytes(std::size_t i) const;

  /// All rows in the order of the file.
  std::span<const MemeRecord> records() const;
  /// The rows that were left out since an earlier one has their id.
  std::span<const DuplicateId> duplicates() const;
  /// The file that was read.
  const std::filesystem::path& file() const;
  /// How many texts held malformed UTF-8.
  std::size_t repaired_texts() const;

 private:
  std::shared_ptr<const detail::ManifestState> state_;
};

}  // namespace sslmeme
