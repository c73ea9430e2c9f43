#include "support/data.hpp"

#include <sslmeme/core/error.hpp>
#include <sslmeme/core/printable.hpp>
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
#include <system_error>
#include <tuple>

namespace examples {

namespace fs = std::filesystem;

namespace {

using Names = std::vector<std::string>;

const Names& table_extensions() {
  static const Names names{".csv", ".tsv", ".tab", ".jsonl"};
  return names;
}

std::string shown(const fs::path& path) {
  return sm::printable(path.native());
}

// Whoever makes a folder can put a link in a circle into it, for which the overloads without a code throw.
bool is_file(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}
bool is_folder(const fs::path& path) {
  std::error_code error;
  return fs::is_directory(path, error);
}

/// What lies in the folder, by name, without what begins with a dot. Throws IoError.
std::vector<fs::path> entries_of(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::path> entries;
  for (fs::directory_iterator it{folder, error}; !error && it != fs::directory_iterator{}; it.increment(error)) {
    if (!it->path().filename().native().starts_with('.')) entries.push_back(it->path());
  }
  if (error) throw sm::IoError(fmt::format("cannot list {}: {}", shown(folder), error.message()));
  std::ranges::sort(entries);
  return entries;
}

bool has_extension(const fs::path& entry, const Names& extensions) {
  return std::ranges::count(extensions, entry.extension().string()) > 0 && is_file(entry);
}

/// Throws DataError if `path`, which is there, is a link that leads out of `root`.
void require_within(const fs::path& root, const fs::path& path) {
  std::error_code error;
  const auto top = fs::canonical(root, error);
  const auto place = error ? fs::path{} : fs::canonical(path, error);
  if (!error && std::mismatch(top.begin(), top.end(), place.begin(), place.end()).first == top.end()) return;
  throw sm::DataError(
      fmt::format("{} is a link that leads out of {}: put what it leads to in its place", shown(path), shown(root)));
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
  return is_folder(root / "train");
}

/// Whether a text file stands beside another file of the same name.
bool has_captions(const fs::path& folder) {
  std::set<std::string> texts, others;
  for (const auto& entry : entries_of(folder)) {
    if (is_file(entry)) (entry.extension() == ".txt" ? texts : others).insert(entry.stem().string());
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
  throw sm::IoError(fmt::format("no split {} in {}, read with the layout {}; there: {}", sm::printable(split),
                                shown(arguments.data), arguments.resolved_layout(), joined(arguments.splits())));
}

/// A split that a table lists.
template <class Table>
OpenSplit listed(const std::string& name, const Table& data) {
  return {.name = name,
          .data = data,
          .table = data.file().filename().string(),
          .repeated_ids = {data.duplicates().begin(), data.duplicates().end()},
          .repaired_texts = data.repaired_texts()};
}

}  // namespace

std::optional<sm::AnySampler> shard_order(const OpenSplit& split, std::size_t window) {
  if (split.shard_sizes.empty()) return {};
  return sm::ShardOrder{split.shard_sizes, {.window = window}};
}

std::string mended(const OpenSplit& split) {
  std::string text;
  const auto& rows = split.repeated_ids;
  const auto table = sm::printable(split.table);
  if (!rows.empty()) {
    text +=
        fmt::format("\nrepeated ids in {}: {} rows of {} left out\n", sm::printable(split.name), rows.size(), table) +
        few(rows, rows.size(), [](const sm::DuplicateId& row) {
          return fmt::format("line {} has the id {} of line {}", row.line, row.id, row.first_line);
        });
  }
  if (split.repaired_texts > 0)
    text += fmt::format("\nmalformed UTF-8 in {}: {} texts of {} repaired\n", sm::printable(split.name),
                        split.repaired_texts, table);
  return text;
}

std::string joined(const std::vector<std::string>& names) {
  std::vector<std::string> parts;
  for (const auto& name : names) parts.push_back(sm::printable(name));
  return fmt::format("{}", fmt::join(parts, ", "));
}

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
  if (layout != "auto") return layout;
  const fs::path top{data};
  if (!is_folder(top)) return "memes";
  const auto entries = entries_of(top);
  const auto any = [&](const Names& extensions) {
    return std::ranges::any_of(entries, [&](const auto& entry) { return has_extension(entry, extensions); });
  };
  if (any({".jsonl"})) return "memes";
  if (any(table_extensions())) return "csv";
  if (any({".tar"})) return "shards";
  const auto root = has_split_folders(top) ? top / "train" : top;
  require_within(top, root);
  std::vector<fs::path> folders;
  for (const auto& entry : entries_of(root)) {
    if (is_folder(entry)) folders.push_back(entry);
  }
  if (!folders.empty()) require_within(top, folders.front());
  // img2dataset's sub-folders are numbers, not classes: the first one tells.
  if (has_captions(root) || (!folders.empty() && has_captions(folders.front()))) return "captions";
  return folders.empty() ? "memes" : "folder";
}

std::vector<std::string> DataArguments::splits() const {
  const auto kind = resolved_layout();
  if (const auto* const preset = preset_of(kind)) return {preset->splits.begin(), preset->splits.end()};
  std::set<std::string> names;
  for (const auto& entry : entries_of(data)) {
    if (kind == "memes" && has_extension(entry, {".jsonl"})) names.insert(entry.stem().string());
    if (kind == "csv" && has_extension(entry, table_extensions())) names.insert(entry.stem().string());
    if (kind == "shards" && has_extension(entry, {".tar"})) names.insert(split_of_shard(entry));
    if ((kind == "folder" || kind == "captions") && has_split_folders(data) && is_folder(entry))
      names.insert(entry.filename().string());
  }
  if (names.empty() && (kind == "folder" || kind == "captions")) names.insert("train");
  if (names.empty()) {
    throw sm::IoError(fmt::format("no split in {}, read with the layout {}: it should hold {}", shown(data), kind,
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
  options.duplicates = duplicates;
  options.check_pictures = false;  // a picture that is missing is one sample's trouble
  return options;
}

/// The table of a split, relative to the folder.
fs::path DataArguments::file_of(const std::string& split) const {
  for (const auto& extension : table_extensions()) {
    if (is_file(fs::path{data} / (split + extension))) return split + extension;
  }
  no_split(split, *this);
}

std::vector<fs::path> DataArguments::shards_of(const std::string& split) const {
  std::vector<fs::path> shards;
  for (const auto& entry : entries_of(data)) {
    if (!has_extension(entry, {".tar"}) || split_of_shard(entry) != split) continue;
    require_within(data, entry);
    shards.push_back(entry);
  }
  if (shards.empty()) no_split(split, *this);
  return shards;
}

/// The folder of a split's pictures.
fs::path DataArguments::folder_of(const std::string& split) const {
  const auto names = splits();
  if (std::ranges::find(names, split) == names.end()) no_split(split, *this);
  const fs::path root{data};
  const auto folder = has_split_folders(root) ? root / split : root;
  require_within(root, folder);
  return folder;
}

DataArguments DataArguments::resolved() const {
  auto found = *this;
  found.layout = resolved_layout();
  return found;
}

OpenSplit DataArguments::open_split(const std::string& split) const {
  if (layout == "auto") return resolved().open_split(split);
  const fs::path root{data};
  if (const auto* const preset = preset_of(layout))
    return listed(split, preset->open(root, split, {.duplicates = duplicates, .check_pictures = false}));
  if (layout == "memes")
    return listed(split, sm::MemeJsonl{root, split, {.duplicates = duplicates, .check_pictures = check_pictures}});
  if (layout == "csv") return listed(split, sm::Manifest{root, file_of(split).string(), table()});
  if (layout == "shards") {
    const sm::TarShards shards{shards_of(split)};
    return {.name = split, .data = shards, .shard_sizes = shards.shard_sizes()};
  }
  if (layout == "captions") return {.name = split, .data = sm::CaptionFolder{folder_of(split)}};
  return {.name = split, .data = sm::ImageFolder{folder_of(split)}};
}

AllSplits DataArguments::open_all() const {
  if (layout == "auto") return resolved().open_all();
  AllSplits all;
  std::string why;
  for (const auto& split : splits()) {
    try {
      all.there.push_back(open_split(split));
    } catch (const sm::AbsentSplit& error) {  // not everybody has all of a published data set
      all.absent.push_back(split);
      if (why.empty()) why = error.what();
    }
  }
  if (all.there.empty()) throw sm::IoError(why);
  return all;
}

}  // namespace examples
