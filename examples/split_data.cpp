// split_data: deals the memes of one file or folder to train, dev and test, keeping copies of a picture together, and
// writes the Hateful Memes layout beside the pictures.
#include <sslmeme/core/error.hpp>
#include <sslmeme/core/files.hpp>
#include <sslmeme/core/random.hpp>
#include <sslmeme/data/inspect.hpp>

#include "support/cli.hpp"
#include "support/data.hpp"
#include "support/reading_bar.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <filesystem>
#include <iostream>
#include <map>
#include <set>
#include <span>
#include <string>
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
  const auto picture = fs::path{data.source(i)}.lexically_relative(root);
  if (picture.empty() || *picture.begin() == ".." || !fs::is_regular_file(root / picture)) {
    throw sm::DataError(fmt::format("the picture {} is no file in {}: give the folder that holds the pictures",
                                    data.source(i), root.string()));
  }
  nlohmann::ordered_json json{{"id", data.id(i)}, {"img", picture.string()}};
  if (const auto label = data.label(i)) {
    if (*label != 0 && *label != 1) {
      throw sm::DataError(
          fmt::format("{} has the label {}, but the Hateful Memes layout knows 0 and 1: see "
                      "--label-names",
                      data.source(i), *label));
    }
    json["label"] = *label;
  }
  json["text"] = data.text(i);
  return json.dump() + "\n";
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
    if (fs::exists(file) && !overwrite)
      throw sm::InvalidArgument(fmt::format("{} is there already: --overwrite it", file.string()));
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
  DataArguments arguments;
  std::string split;
  Parts parts{Part{"train"}, Part{"dev_seen", 0.1}, Part{"test_seen", 0.2}};
  std::uint64_t seed = 0;
  int workers = 2;
  bool overwrite = false;
  app.add_option("DIR", arguments.data, "folder with a table of memes and their pictures")->required();
  arguments.add_layout_to(app);
  app.add_option("--split", split, "the split to deal, e.g. memes for memes.csv [the only one]");
  app.add_option("--dev", parts[1].share, "share of dev_seen")->check(CLI::Range(0.0, 1.0))->capture_default_str();
  app.add_option("--test", parts[2].share, "share of test_seen")->check(CLI::Range(0.0, 1.0))->capture_default_str();
  app.add_option("--seed", seed, "the same seed deals the same")->capture_default_str();
  app.add_option("--workers", workers, "threads that read pictures")->capture_default_str();
  app.add_flag("--overwrite", overwrite, "replace the files that are there");
  app.footer("Example:\n  split_data memes --picture-column file --dev 0.1 --test 0.2");

  return run_program(app, argc, argv, [&] {
    const double held_out = parts[1].share + parts[2].share;
    if (held_out > 1) throw sm::InvalidArgument("--dev and --test are more than the whole together");
    parts[0].share = 1 - held_out;
    const auto names = arguments.splits();
    if (split.empty() && names.size() > 1)
      throw sm::InvalidArgument(fmt::format("{} holds {}: choose one with --split, and --layout csv for a table",
                                            arguments.data, fmt::join(names, ", ")));
    const auto all = arguments.open(split.empty() ? names.front() : split);

    const auto groups = sm::picture_groups(all, {.workers = workers, .progress = reading_bar()});
    deal(all, groups, seed, parts);
    write_parts(all, parts, arguments.data, overwrite);
    for (const auto& part : parts) std::cout << fmt::format("{:<10} {:>6} memes\n", part.name, part.samples.size());
    const std::set<std::size_t> different{groups.begin(), groups.end()};
    const auto unreadable = std::ranges::count(groups, all.size());
    std::cout << fmt::format("{} different pictures; {} memes left out: inspect_data tells why they cannot be read\n",
                             different.size() - different.count(all.size()), unreadable);
  });
}
