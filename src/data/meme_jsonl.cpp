#include <sslmeme/core/error.hpp>
#include <sslmeme/data/meme_jsonl.hpp>

#include "data/files.hpp"
#include "data/manifest.hpp"

#include <array>
#include <cerrno>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace sslmeme {

namespace fs = std::filesystem;

namespace detail {

namespace {

/// What stands behind "there:" when a split is not.
std::string splits_in(const Folder& folder) {
  constexpr std::size_t max_names = 100'000;  // enough for a hint
  auto names = folder.names(max_names);
  std::erase_if(names, [](const std::string& name) { return !name.ends_with(".jsonl"); });
  return names.empty() ? "no .jsonl file: make_memes writes such a folder" : listed(names);
}

// Phase 1 of the challenge called the splits dev and test, phase 2 dev_seen and test_seen.
std::string split_file(const Folder& folder, const std::string& split) {
  if (split.empty() || split.starts_with('.') || split.find_first_of(std::string_view{"/\0", 2}) != std::string::npos)
    throw InvalidArgument(fmt::format("MemeJsonl: {} is no split: give a name such as \"train\"", in_quotes(split)));
  std::vector<std::string> candidates{split};
  constexpr std::array<std::pair<std::string_view, std::string_view>, 2> phases{
      {{"dev", "dev_seen"}, {"test", "test_seen"}}};
  for (const auto& [first, second] : phases) {
    if (split == first) candidates.emplace_back(second);
    if (split == second) candidates.emplace_back(first);
  }
  for (const auto& name : candidates) {
    // What is there but cannot be opened is an error of its own when the file is read.
    if (folder.has_file(name + ".jsonl") || errno != ENOENT) return name + ".jsonl";
  }
  throw IoError(fmt::format("no {}.jsonl in {}; there: {}",
                            shown(fmt::format("{}", fmt::join(candidates, ".jsonl or "))), shown_path(folder.root()),
                            splits_in(folder)));
}

}  // namespace

std::shared_ptr<const ManifestState> read_hateful_memes(const fs::path& root, const std::string& split,
                                                        const ManifestOptions& options) {
  Folder folder{root};
  const auto file = split_file(folder, split);
  ManifestBuilder builder{std::move(folder), root / file, options, RowRules::hateful_memes};
  auto reader = open_manifest(builder.folder(), file, options.max_file_bytes);
  add_json_lines(reader, builder);
  return std::move(builder).finish();
}

}  // namespace detail

MemeJsonl::MemeJsonl(const fs::path& root, const std::string& split, const MemeJsonlOptions& options)
    : manifest_{detail::read_hateful_memes(root, split,
                                           {.duplicates = options.duplicates,
                                            .limits = options.limits,
                                            .max_file_bytes = options.max_file_bytes,
                                            .max_records = options.max_records,
                                            .check_pictures = options.check_pictures})} {}

}  // namespace sslmeme
