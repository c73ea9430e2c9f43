#include <sslmeme/core/error.hpp>
#include <sslmeme/data/meme_jsonl.hpp>

#include "data/files.hpp"
#include "data/meme_line.hpp"

#include <algorithm>
#include <array>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <unordered_map>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace sslmeme {

namespace fs = std::filesystem;

namespace {

constexpr std::streamsize max_line_bytes = 1 << 20;

std::vector<std::string> splits_in(const fs::path& root) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator{root, error}) {
    if (entry.path().extension() == ".jsonl") names.push_back(entry.path().filename().string());
  }
  std::ranges::sort(names);
  return names;
}

// Phase 1 of the challenge called the splits dev and test, phase 2 dev_seen and test_seen.
fs::path split_file(const fs::path& root, const std::string& split) {
  if (split.empty() || split.find('/') != std::string::npos || split.starts_with('.')) {
    throw InvalidArgument(fmt::format("MemeJsonl: \"{}\" is no split: give a name such as \"train\"", split));
  }
  std::vector<std::string> candidates{split};
  constexpr std::array<std::pair<std::string_view, std::string_view>, 2> phases{
      {{"dev", "dev_seen"}, {"test", "test_seen"}}};
  for (const auto& [first, second] : phases) {
    if (split == first) candidates.emplace_back(second);
    if (split == second) candidates.emplace_back(first);
  }
  for (const auto& name : candidates) {
    if (auto file = root / (name + ".jsonl"); fs::exists(file)) return file;
  }
  const auto there = splits_in(root);
  throw IoError(fmt::format(
      "no {}.jsonl in {}; there: {}", fmt::join(candidates, ".jsonl or "), root.string(),
      there.empty() ? "no .jsonl file: make_memes writes such a folder" : fmt::format("{}", fmt::join(there, ", "))));
}

detail::Folder open_root(const fs::path& root) {
  if (!fs::is_directory(root)) {
    const auto parent = fs::absolute(root).lexically_normal().parent_path();
    std::vector<std::string> names;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator{parent, error}) {
      if (entry.is_directory(error)) names.push_back(entry.path().filename().string());
    }
    std::ranges::sort(names);
    constexpr std::size_t shown = 10;
    const bool more = names.size() > shown;
    if (more) names.resize(shown);
    throw IoError(fmt::format("no folder {}; folders in {}: {}{}", root.string(), parent.string(),
                              names.empty() ? "none" : fmt::format("{}", fmt::join(names, ", ")), more ? ", …" : ""));
  }
  return detail::Folder{root};
}

/// The picture's place: as the line gives it, else flat in the root or under img/. Throws DataError if it is nowhere.
std::string find_picture(const detail::Folder& folder, const std::string& given) {
  const fs::path path{given};
  if (given.empty() || path.is_absolute() || given.find('\0') != std::string::npos ||
      std::ranges::find(path, fs::path{".."}) != path.end()) {
    throw DataError(fmt::format("the picture \"{}\" must be a path within the folder, like img/42953.png", given));
  }
  const auto name = path.filename().string();
  for (const auto& candidate : {given, name, "img/" + name}) {
    if (detail::is_regular(folder.open(candidate))) return candidate;
  }
  throw DataError(
      fmt::format("the picture {} is missing or a link out of the folder; looked for {}, {} and img/{} in {}", given,
                  given, name, name, folder.root().string()));
}

}  // namespace

struct MemeJsonl::State {
  detail::Folder folder;
  fs::path file;
  DecodeLimits limits;
  std::vector<MemeRecord> records;
  std::size_t repaired_texts = 0;

  State(const fs::path& root, const std::string& split, const MemeJsonlOptions& options)
      : folder{open_root(root)}, file{split_file(root, split)}, limits{options.limits} {
    std::ifstream in{file, std::ios::binary};
    if (!in) throw IoError(fmt::format("cannot open {}", file.string()));
    std::vector<char> buffer(static_cast<std::size_t>(max_line_bytes) + 2);
    std::unordered_map<std::int64_t, std::int64_t> lines_of_ids;
    for (std::int64_t line = 1;
         in.getline(buffer.data(), static_cast<std::streamsize>(buffer.size())) || in.gcount() > 0; ++line) {
      try {
        if (in.fail()) throw DataError(fmt::format("longer than {} bytes", max_line_bytes));
        const auto length = static_cast<std::size_t>(in.gcount() - (in.eof() ? 0 : 1));
        add_line({buffer.data(), length}, line, lines_of_ids);
      } catch (const DataError& error) {
        throw DataError(fmt::format("{}:{}: {}", file.string(), line, error.what()));
      }
    }
    if (in.bad()) throw IoError(fmt::format("cannot read {}", file.string()));
  }

  void add_line(std::string_view raw, std::int64_t line, std::unordered_map<std::int64_t, std::int64_t>& lines_of_ids) {
    if (raw.find_first_not_of(" \t\r") == std::string_view::npos) return;
    const auto repaired = detail::repaired_utf8(raw);
    if (repaired != raw) ++repaired_texts;
    auto record = detail::parse_meme_line(repaired);
    const auto [first, is_new] = lines_of_ids.try_emplace(record.id, line);
    if (!is_new)
      throw DataError(fmt::format("the id {} stands in line {} too: ids must differ", record.id, first->second));
    record.picture = find_picture(folder, record.picture);
    records.push_back(std::move(record));
  }
};

MemeJsonl::MemeJsonl(const fs::path& root, const std::string& split, const MemeJsonlOptions& options)
    : state_{std::make_shared<const State>(root, split, options)} {}

Sample MemeJsonl::get(std::size_t i) const {
  const auto& record = records()[i];
  const auto path = state_->folder.root() / record.picture;
  const auto file = state_->folder.open(record.picture);
  if (!file.valid()) throw IoError(fmt::format("the picture {} is no longer there", path.string()));
  const auto bytes = detail::read_bytes(file, state_->limits.max_bytes, path);
  try {
    return {decode_image(bytes, state_->limits), record.text, record.label, record.id};
  } catch (const DataError& error) {
    throw DataError(fmt::format("{}: {}", path.string(), error.what()));
  }
}

std::string MemeJsonl::source(std::size_t i) const {
  return (state_->folder.root() / records()[i].picture).string();
}
std::span<const MemeRecord> MemeJsonl::records() const {
  return state_->records;
}
const fs::path& MemeJsonl::file() const {
  return state_->file;
}
std::size_t MemeJsonl::repaired_texts() const {
  return state_->repaired_texts;
}

}  // namespace sslmeme
