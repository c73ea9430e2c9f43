// How manifests come about: rows in, records out, each judged by rules.
#pragma once

#include <sslmeme/data/manifest.hpp>

#include "data/files.hpp"
#include "data/meme_line.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace sslmeme::detail {

struct ManifestState {
  Folder folder;
  std::filesystem::path file;
  DecodeLimits limits;
  std::vector<MemeRecord> records = {};
  std::vector<DuplicateId> duplicates = {};
  std::size_t repaired_texts = 0;
};

/// What the values of a row must be like.
enum class RowRules {
  general,        ///< as Manifest says
  file_names,     ///< the same, but ids are names of files: without folder and extension
  hateful_memes,  ///< as MemeJsonl says: ids from 0, labels 0 or 1, pictures flat or in img/
};

/// Adds rows to a manifest's state.
class ManifestBuilder {
 public:
  /// Throws InvalidArgument for options that cannot work.
  ManifestBuilder(Folder folder, std::filesystem::path file, ManifestOptions options, RowRules rules);

  const Folder& folder() const { return state_.folder; }
  const ManifestOptions& options() const { return options_; }
  /// The row in a line. Throws DataError and PictureError without file and line.
  void add(Row row, std::int64_t line);
  std::shared_ptr<const ManifestState> finish() &&;

 private:
  struct FirstUse {
    std::int64_t line = 0;
    std::uint64_t check = 0;  // of a text that became a hash; 0 for a number
  };

  FirstUse id_of(const Cell& cell, std::int64_t line, std::int64_t& id) const;
  std::optional<std::int64_t> label_of(const Cell& cell) const;
  std::string picture_of(const Cell& cell) const;
  std::string wrong(const std::string& column, std::string_view must, const Cell& cell) const;

  ManifestState state_;
  ManifestOptions options_;
  RowRules rules_;
  std::int64_t rows_ = 0;
  std::unordered_map<std::int64_t, FirstUse> ids_;
};

/// Opens the manifest `file` within the folder. Throws IoError if it cannot be.
ByteReader open_manifest(const Folder& folder, const std::string& file, std::int64_t max_bytes);

/// Adds each line of a JSONL file. Errors get file and line.
void add_json_lines(ByteReader& reader, ManifestBuilder& builder);
/// Adds each row of a CSV or TSV file with a header, after `complete` has seen it. The column of the label need not be
/// there if `complete` is given: it has to set the label. Errors get file and line.
void add_csv_rows(ByteReader& reader, char separator, ManifestBuilder& builder,
                  const std::function<void(Row&)>& complete = {});

/// Calls `body`; its DataErrors and PictureErrors are thrown again as "FILE:LINE: …" with what `line()` then says.
void with_place(const std::string& file, const std::function<std::int64_t()>& line, const std::function<void()>& body);

/// Calls `take` for each line that is not blank, of at most 1 MiB. Errors get file and line.
void for_each_line(ByteReader& reader, const std::function<void(std::string_view line, std::int64_t number)>& take);

/// The path of `name` in `folder`, which may be empty: within the root.
std::string inner_path(const std::string& folder, const std::string& name);

/// A Hateful Memes split, as MemeJsonl says.
std::shared_ptr<const ManifestState> read_hateful_memes(const std::filesystem::path& root, const std::string& split,
                                                        const ManifestOptions& options);

}  // namespace sslmeme::detail
