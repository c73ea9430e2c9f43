// Datasets on the command line: every layout that the library reads, as named splits.
#pragma once

#include <sslmeme/data/dataset.hpp>
#include <sslmeme/data/inspect.hpp>
#include <sslmeme/data/manifest.hpp>

#include <CLI/CLI.hpp>

#include <filesystem>
#include <string>
#include <vector>

namespace examples {

namespace sm = sslmeme;

/// Where a dataset is and how it is laid out.
struct DataArguments {
  std::string data, layout = "auto";
  sm::ManifestColumns columns = {};
  std::vector<std::string> label_names = {};  ///< what the label column says for 0, 1, …; empty: numbers
  bool check_pictures = true;  ///< in the layout of Hateful Memes a picture that is missing is an error of open()

  /// --layout and the columns of tables.
  void add_layout_to(CLI::App& app);
  /// The layout, found out if it is "auto": JSONL, CSV or TSV files, tar shards, sub-folders, pictures with captions.
  std::string resolved_layout() const;
  /// The same with the layout found out.
  DataArguments resolved() const;
  /// The splits that are there: train first, then dev, test and the rest by name. A folder without splits has one,
  /// "train"; of a published data set all that it may have. Throws IoError if there is none.
  std::vector<std::string> splits() const;
  /// Opens a split. Throws as its dataset does, IoError naming what is there for a split that is not.
  sm::AnyDataset open(const std::string& split) const;
  /// All splits; of a published data set those that are there.
  std::vector<sm::NamedDataset> open_all() const;

 private:
  sm::ManifestOptions table() const;
  std::filesystem::path file_of(const std::string& split) const;
};

}  // namespace examples
