// Datasets on the command line: every layout that the library reads, as named splits.
#pragma once

#include <sslmeme/data/dataset.hpp>
#include <sslmeme/data/manifest.hpp>
#include <sslmeme/data/sampler.hpp>
#include <sslmeme/data/tar_shards.hpp>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace examples {

namespace sm = sslmeme;

/// A split, and what its dataset tells beside the samples.
struct OpenSplit {
  std::string name;
  sm::AnyDataset data;
  std::string table = {};                          ///< the file that lists the samples, if there is one
  std::vector<sm::DuplicateId> repeated_ids = {};  ///< rows of it that were left out
  std::size_t repaired_texts = 0;                  ///< how many of its texts held malformed UTF-8
  std::vector<std::size_t> shard_sizes = {};       ///< of tar shards, which are read fastest by ShardOrder
};

/// All splits of a folder.
struct AllSplits {
  std::vector<OpenSplit> there = {};
  std::vector<std::string> absent = {};  ///< those of a published data set that are not there
};

/// The order in which shards are read nearly in sequence, `window` of their samples mixed; none for another layout.
std::optional<sm::AnySampler> shard_order(const OpenSplit& split, std::size_t window = sm::ShardOrderOptions{}.window);

/// The first few of a list, one a line, and how many more there are of `all`.
template <class Item, class Line>
std::string few(const std::vector<Item>& items, std::size_t all, const Line& line) {
  constexpr std::size_t shown = 5;
  std::string text;
  for (std::size_t i = 0; i < std::min(shown, items.size()); ++i) text += fmt::format("  {}\n", line(items[i]));
  if (all > shown) text += fmt::format("  … and {} more\n", all - shown);
  return text;
}

/// What was left out or repaired while the table of a split was read, for people; empty if nothing was.
std::string mended(const OpenSplit& split);

/// Names as a message may list them: "train, dev".
std::string joined(const std::vector<std::string>& names);

/// Where a dataset is and how it is laid out.
struct DataArguments {
  std::string data = {}, layout = "auto";
  sm::ManifestColumns columns = {};
  std::vector<std::string> label_names = {};  ///< what the label column says for 0, 1, …; empty: numbers
  bool check_pictures = true;  ///< in the layout of Hateful Memes a picture that is missing is an error of open()
  sm::DuplicateIds duplicates = sm::DuplicateIds::refuse;  ///< rows of tables whose id an earlier row has

  /// --layout and the columns of tables.
  void add_layout_to(CLI::App& app);
  /// The layout, found out if it is "auto": JSONL, CSV or TSV files, tar shards, sub-folders, pictures with captions.
  /// Names that begin with a dot and links in a circle count for nothing, here and in the rest. Throws as open does.
  std::string resolved_layout() const;
  /// The same with the layout found out.
  DataArguments resolved() const;
  /// The splits that are there: train first, then dev, test and the rest by name. A folder without splits has one,
  /// "train"; of a published data set all that it may have. Throws IoError if there is none.
  std::vector<std::string> splits() const;
  /// Opens a split. Throws as its dataset does, IoError naming what is there for a split that is not, DataError for a
  /// shard or a split's folder that is a link out of the folder: nothing outside is opened.
  sm::AnyDataset open(const std::string& split) const { return open_split(split).data; }
  OpenSplit open_split(const std::string& split) const;
  /// All splits. Throws as open does, but for a split of a published data set that is not there.
  AllSplits open_all() const;

 private:
  sm::ManifestOptions table() const;
  std::filesystem::path file_of(const std::string& split) const;
  std::vector<std::filesystem::path> shards_of(const std::string& split) const;
  std::filesystem::path folder_of(const std::string& split) const;
};

}  // namespace examples
