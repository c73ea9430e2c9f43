// split_data: deals the memes of one file or folder to train, dev and test, keeping copies of a picture together, and
// writes the Hateful Memes layout beside the pictures.
#include <sslmeme/core/error.hpp>
#include <sslmeme/core/files.hpp>
#include <sslmeme/core/printable.hpp>
#include <sslmeme/core/random.hpp>
#include <sslmeme/data/inspect.hpp>

#include "support/cli.hpp"
#include "support/data.hpp"
#include "support/reading_bar.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <filesystem>
#include <iostream>
#include <map>
#include <set>
#include <span>
#include <string>
#include <system_error>
#include <vector>

namespace {

using namespace examples;
namespace fs = std::filesystem;

struct Part {
  std::string name;
  double share = 0;
  std::vector<std::size_t> samples = {};
};
using Parts = std::array<Part, 3>;

/// The line of a sample. Throws DataError for what the layout cannot say.
std::string line_of(const sm::AnyDataset& data, std::size_t i, const fs::path& root) {
  const auto source = sm::printable(data.source(i));
  const auto picture = fs::path{data.source(i)}.lexically_relative(root);
  std::error_code error;
  if (picture.empty() || *picture.begin() == ".." || !fs::is_regular_file(root / picture, error)) {
    throw sm::DataError(fmt::format("the picture {} is no file in {}: give the folder that holds the pictures", source,
                                    sm::printable(root.native())));
  }
  if (data.id(i) < 0) {
    throw sm::DataError(fmt::format(
        "{} has the id {}, but the Hateful Memes layout knows whole numbers from 0: renumber it, or give --id-column "
        "\"\" to number the rows",
        source, data.id(i)));
  }
  nlohmann::ordered_json json{{"id", data.id(i)}, {"img", picture.string()}};
  if (const auto label = data.label(i)) {
    if (*label != 0 && *label != 1) {
      throw sm::DataError(
          fmt::format("{} has the label {}, but the Hateful Memes layout knows 0 and 1: see "
                      "--label-names",
                      source, *label));
    }
    json["label"] = *label;
  }
  json["text"] = data.text(i);
  try {
    return json.dump() + "\n";
  } catch (const nlohmann::json::type_error&) {  // texts are valid UTF-8, whatever stood in the file
    throw sm::DataError(fmt::format("the name of the picture {} is not UTF-8, as JSON must be: rename it", source));
  }
}

/// Deals what can be read: groups in random order, each to the part that lacks most of its share of the label.
void deal(const sm::AnyDataset& data, const std::vector<std::size_t>& groups, std::uint64_t seed, Parts& parts) {
  std::map<std::size_t, std::vector<std::size_t>> members;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    if (groups[i] < data.size()) members[groups[i]].push_back(i);
  }
  std::map<std::int64_t, std::vector<std::size_t>> strata;  // groups by the label of their first sample
  for (const auto& [group, samples] : members) strata[data.label(group).value_or(-1)].push_back(group);
  sm::Rng rng{seed};
  for (auto& [label, list] : strata) {
    rng.shuffle(std::span{list});
    double total = 0;
    for (const auto group : list) total += static_cast<double>(members[group].size());
    std::array<double, 3> lacks{};
    for (std::size_t p = 0; p < parts.size(); ++p) lacks[p] = parts[p].share * total;
    for (const auto group : list) {
      const auto p = static_cast<std::size_t>(std::ranges::max_element(lacks) - lacks.begin());
      lacks[p] -= static_cast<double>(members[group].size());
      parts[p].samples.insert(parts[p].samples.end(), members[group].begin(), members[group].end());
    }
  }
  for (auto& part : parts) std::ranges::sort(part.samples);
}

void write_parts(const sm::AnyDataset& data, const Parts& parts, const fs::path& root, bool overwrite) {
  std::map<fs::path, std::string> files;
  for (const auto& part : parts) {
    const auto file = root / (part.name + ".jsonl");
    std::error_code error;
    if (fs::exists(file, error) && !overwrite)
      throw sm::InvalidArgument(fmt::format("{} is there already: --overwrite it", sm::printable(file.native())));
    std::string lines;
    for (const auto i : part.samples) lines += line_of(data, i, root);
    files[file] = std::move(lines);
  }
  for (const auto& [file, lines] : files) sm::write_atomically(file, lines);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Deals memes to train.jsonl, dev_seen.jsonl and test_seen.jsonl; copies of a picture stay together.",
               "split_data"};
  DataArguments arguments{.check_pictures = false, .duplicates = sm::DuplicateIds::keep_first};  // left out
  sm::InspectOptions options;
  std::string split;
  Parts parts{Part{"train"}, Part{"dev_seen", 0.1}, Part{"test_seen", 0.2}};
  std::uint64_t seed = 0;
  bool overwrite = false;
  app.add_option("DIR", arguments.data, "folder with a table of memes and their pictures")->required();
  arguments.add_layout_to(app);
  app.add_option("--split", split, "the split to deal, e.g. memes for memes.csv [the only one]");
  app.add_option("--dev", parts[1].share, "share of dev_seen")->check(CLI::Range(0.0, 1.0))->capture_default_str();
  app.add_option("--test", parts[2].share, "share of test_seen")->check(CLI::Range(0.0, 1.0))->capture_default_str();
  app.add_option("--seed", seed, "the same seed deals the same")->capture_default_str();
  app.add_option("--max-comparisons", options.max_comparisons, "in the search for near pictures, which fails then")
      ->capture_default_str();
  app.add_option("--workers", options.workers, "threads that read pictures")->capture_default_str();
  app.add_flag("--overwrite", overwrite, "replace the files that are there");
  app.footer("Example:\n  split_data memes --picture-column file --dev 0.1 --test 0.2");

  return run_program(app, argc, argv, [&] {
    const double held_out = parts[1].share + parts[2].share;
    if (held_out > 1) throw sm::InvalidArgument("--dev and --test are more than the whole together");
    parts[0].share = 1 - held_out;
    const auto names = arguments.splits();
    if (split.empty() && names.size() > 1)
      throw sm::InvalidArgument(fmt::format("{} holds {}: choose one with --split, and --layout csv for a table",
                                            sm::printable(arguments.data), joined(names)));
    const auto opened = arguments.open_split(split.empty() ? names.front() : split);
    const auto& all = opened.data;

    options.progress = reading_bar();
    const auto groups = sm::picture_groups(all, options);
    deal(all, groups, seed, parts);
    write_parts(all, parts, arguments.data, overwrite);
    for (const auto& part : parts) std::cout << fmt::format("{:<10} {:>6} memes\n", part.name, part.samples.size());
    const std::set<std::size_t> different{groups.begin(), groups.end()};
    const auto unreadable = std::ranges::count(groups, all.size());
    std::cout << fmt::format("{} different pictures; {} memes left out: inspect_data tells why they cannot be read\n",
                             different.size() - different.count(all.size()), unreadable)
              << mended(opened);
  });
}
