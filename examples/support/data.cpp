#include "support/data.hpp"

#include <sslmeme/core/error.hpp>
#include <sslmeme/data/caption_folder.hpp>
#include <sslmeme/data/image_folder.hpp>
#include <sslmeme/data/meme_jsonl.hpp>
#include <sslmeme/data/presets.hpp>
#include <sslmeme/data/tar_shards.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <set>
#include <string_view>
#include <tuple>

namespace examples {

namespace fs = std::filesystem;

namespace {

using Names = std::vector<std::string>;

const Names& table_extensions() {
  static const Names names{".csv", ".tsv", ".tab", ".jsonl"};
  return names;
}

/// What lies in the folder, by name. Throws IoError.
std::vector<fs::directory_entry> entries_of(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::directory_entry> entries;
  for (fs::directory_iterator it{folder, error}; !error && it != fs::directory_iterator{}; it.increment(error))
    entries.push_back(*it);
  if (error) throw sm::IoError(fmt::format("cannot list {}: {}", folder.string(), error.message()));
  std::ranges::sort(entries);
  return entries;
}

bool has_extension(const fs::directory_entry& entry, const Names& extensions) {
  return entry.is_regular_file() && std::ranges::count(extensions, entry.path().extension().string()) > 0;
}

/// "train" of "train-00012.tar" and of "train.tar".
std::string split_of_shard(const fs::path& shard) {
  const auto stem = shard.stem().string();
  const auto end = stem.find_last_not_of("0123456789");
  if (end == std::string::npos || end + 1 == stem.size()) return stem;
  return stem.substr(0, stem[end] == '-' || stem[end] == '_' ? end : end + 1);
}

/// A data set as it is published.
struct Preset {
  std::string_view name;
  sm::Manifest (*open)(const fs::path&, const std::string&, const sm::PresetOptions&);
  std::array<std::string_view, 3> splits;
};
constexpr std::array<Preset, 3> presets{{{"mami", sm::mami, {"train", "trial", "test"}},
                                         {"harmeme", sm::harmeme, {"train", "val", "test"}},
                                         {"mmhs150k", sm::mmhs150k, {"train", "val", "test"}}}};

const Preset* preset_of(const std::string& layout) {
  const auto* const found = std::ranges::find(presets, layout, &Preset::name);
  return found == presets.end() ? nullptr : found;
}

/// Whether the folder's sub-folders are splits: whoever has splits has "train".
bool has_split_folders(const fs::path& root) {
  return fs::is_directory(root / "train");
}

/// Whether a text file stands beside another file of the same name.
bool has_captions(const fs::path& folder) {
  std::set<std::string> texts, others;
  for (const auto& entry : entries_of(folder)) {
    if (entry.is_regular_file())
      (entry.path().extension() == ".txt" ? texts : others).insert(entry.path().stem().string());
  }
  return std::ranges::any_of(texts, [&](const auto& name) { return others.contains(name); });
}

Names in_order(const std::set<std::string>& names) {
  const auto rank = [](const std::string& name) {
    constexpr std::array<std::string_view, 4> first{"train", "dev", "val", "test"};
    const auto place = std::ranges::find_if(first, [&](auto begin) { return name.starts_with(begin); });
    return std::tuple{place - first.begin(), name};
  };
  Names sorted{names.begin(), names.end()};
  std::ranges::sort(sorted, {}, rank);
  return sorted;
}

[[noreturn]] void no_split(const std::string& split, const DataArguments& arguments) {
  throw sm::IoError(fmt::format("no split {} in {}, read with the layout {}; there: {}", split, arguments.data,
                                arguments.resolved_layout(), fmt::join(arguments.splits(), ", ")));
}

}  // namespace

void DataArguments::add_layout_to(CLI::App& app) {
  app.add_option(
         "--layout", layout,
         "memes (Hateful Memes), csv (SPLIT.csv, .tsv or .jsonl with a header), folder (a sub-folder a class), "
         "captions (x.jpg beside x.txt), shards (SPLIT-000.tar as WebDataset packs them), mami, harmeme, mmhs150k "
         "(as published); auto finds out all but these three")
      ->check(CLI::IsMember({"auto", "memes", "csv", "folder", "captions", "shards", "mami", "harmeme", "mmhs150k"}))
      ->capture_default_str();
  app.add_option("--id-column", columns.id, "of csv; \"\": number the rows")->capture_default_str();
  app.add_option("--picture-column", columns.picture, "of csv: the picture's file")->capture_default_str();
  app.add_option("--text-column", columns.text, "of csv; \"\": no words")->capture_default_str();
  app.add_option("--label-column", columns.label, "of csv; \"\": no labels")->capture_default_str();
  app.add_option("--label-names", label_names, "of csv: what stands for 0, 1, …, e.g. benign,hateful; else numbers")
      ->delimiter(',');
}

std::string DataArguments::resolved_layout() const {
  if (layout != "auto" || !fs::is_directory(data)) return layout == "auto" ? "memes" : layout;
  const auto entries = entries_of(data);
  const auto any = [&](const Names& extensions) {
    return std::ranges::any_of(entries, [&](const auto& entry) { return has_extension(entry, extensions); });
  };
  if (any({".jsonl"})) return "memes";
  if (any(table_extensions())) return "csv";
  if (any({".tar"})) return "shards";
  const auto root = has_split_folders(data) ? fs::path{data} / "train" : fs::path{data};
  std::vector<fs::path> folders;
  for (const auto& entry : entries_of(root)) {
    if (entry.is_directory()) folders.push_back(entry.path());
  }
  // img2dataset's sub-folders are numbers, not classes: the first one tells.
  if (has_captions(root) || (!folders.empty() && has_captions(folders.front()))) return "captions";
  return folders.empty() ? "memes" : "folder";
}

std::vector<std::string> DataArguments::splits() const {
  const auto kind = resolved_layout();
  if (const auto* const preset = preset_of(kind)) return {preset->splits.begin(), preset->splits.end()};
  std::set<std::string> names;
  for (const auto& entry : entries_of(data)) {
    if (kind == "memes" && has_extension(entry, {".jsonl"})) names.insert(entry.path().stem().string());
    if (kind == "csv" && has_extension(entry, table_extensions())) names.insert(entry.path().stem().string());
    if (kind == "shards" && has_extension(entry, {".tar"})) names.insert(split_of_shard(entry.path()));
    if ((kind == "folder" || kind == "captions") && has_split_folders(data) && entry.is_directory())
      names.insert(entry.path().filename().string());
  }
  if (names.empty() && (kind == "folder" || kind == "captions")) names.insert("train");
  if (names.empty()) {
    throw sm::IoError(fmt::format("no split in {}, read with the layout {}: it should hold {}", data, kind,
                                  kind == "memes" ? "train.jsonl"
                                  : kind == "csv" ? "train.csv, .tsv or .jsonl"
                                                  : "train-000.tar"));
  }
  return in_order(names);
}

sm::ManifestOptions DataArguments::table() const {
  sm::ManifestOptions options;
  options.columns = columns;
  for (std::size_t i = 0; i < label_names.size(); ++i) options.labels[label_names[i]] = static_cast<std::int64_t>(i);
  options.check_pictures = false;  // a picture that is missing is one sample's trouble
  return options;
}

/// The table of a split, relative to the folder.
fs::path DataArguments::file_of(const std::string& split) const {
  for (const auto& extension : table_extensions()) {
    if (fs::is_regular_file(fs::path{data} / (split + extension))) return split + extension;
  }
  no_split(split, *this);
}

DataArguments DataArguments::resolved() const {
  auto found = *this;
  found.layout = resolved_layout();
  return found;
}

sm::AnyDataset DataArguments::open(const std::string& split) const {
  if (layout == "auto") return resolved().open(split);
  const auto& kind = layout;
  const fs::path root{data};
  if (const auto* const preset = preset_of(kind)) return preset->open(root, split, {.check_pictures = false});
  if (kind == "memes") return sm::MemeJsonl{root, split, {.check_pictures = check_pictures}};
  if (kind == "csv") return sm::Manifest{root, file_of(split).string(), table()};
  if (kind == "shards") {
    std::vector<fs::path> shards;
    for (const auto& entry : entries_of(root)) {
      if (has_extension(entry, {".tar"}) && split_of_shard(entry.path()) == split) shards.push_back(entry.path());
    }
    if (shards.empty()) no_split(split, *this);
    return sm::TarShards{std::move(shards)};
  }
  const auto names = splits();
  if (std::ranges::find(names, split) == names.end()) no_split(split, *this);
  const auto folder = has_split_folders(root) ? root / split : root;
  if (kind == "captions") return sm::CaptionFolder{folder};
  return sm::ImageFolder{folder};
}

std::vector<sm::NamedDataset> DataArguments::open_all() const {
  if (layout == "auto") return resolved().open_all();
  std::vector<sm::NamedDataset> all;
  const bool may_lack = preset_of(layout) != nullptr;
  std::string lacking;
  for (const auto& split : splits()) {
    try {
      all.push_back({split, open(split)});
    } catch (const sm::IoError& error) {
      if (!may_lack) throw;
      if (lacking.empty()) lacking = error.what();
    }
  }
  if (all.empty()) throw sm::IoError(lacking);
  return all;
}

}  // namespace examples
