// inspect_data: what is in a folder of memes before anything is trained on it, as a table and as JSON.
#include <sslmeme/core/error.hpp>
#include <sslmeme/core/files.hpp>
#include <sslmeme/data/inspect.hpp>

#include "support/cli.hpp"
#include "support/data.hpp"
#include "support/reading_bar.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iostream>
#include <string>
#include <vector>

namespace {

using namespace examples;

/// Cells in columns: the first to the left, the others to the right.
class Table {
 public:
  void row(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }

  std::string text() const {
    std::vector<std::size_t> widths;
    for (const auto& row : rows_) {
      widths.resize(std::max(widths.size(), row.size()));
      for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
    }
    std::string text;
    for (const auto& row : rows_) {
      for (std::size_t i = 0; i < row.size(); ++i)
        text += i == 0 ? fmt::format("{:<{}}", row[i], widths[i]) : fmt::format("  {:>{}}", row[i], widths[i]);
      text += '\n';
    }
    return text;
  }

 private:
  std::vector<std::vector<std::string>> rows_;
};

std::string range(const sm::Spread& spread) {
  return fmt::format("{:.4g} to {:.4g}, median {:.4g}", spread.min, spread.max, spread.median);
}

std::string length(const sm::Spread& spread) {
  return fmt::format("median {:.4g}, 95 % {:.4g}, max {:.4g}", spread.median, spread.percentile_95, spread.max);
}

std::string labels(const sm::SplitReport& split) {
  std::vector<std::string> parts;
  for (const auto& [label, count] : split.labels) parts.push_back(fmt::format("{}: {}", label, count));
  constexpr std::size_t shown = 6;
  if (parts.size() > shown) {
    parts.resize(shown);
    parts.emplace_back("…");
  }
  return parts.empty() ? "none" : fmt::format("{}", fmt::join(parts, ", "));
}

std::string counts(const sm::DataReport& report) {
  Table table;
  table.row({"split", "samples", "labelled", "unreadable", "copies", "near copies", "same words", "no words"});
  for (const auto& s : report.splits) {
    std::vector<std::string> cells{s.name};
    for (const auto count : {s.samples, s.labelled, s.unreadable, s.exact_duplicates, s.near_duplicates,
                             s.same_captions, s.empty_captions})
      cells.push_back(std::to_string(count));
    table.row(std::move(cells));
  }
  return table.text();
}

std::string sizes(const sm::DataReport& report) {
  std::string text;
  for (const auto& s : report.splits) {
    text += fmt::format("\n{}\n  labels      {}\n  width       {}\n  height      {}\n  aspect      {}\n", s.name,
                        labels(s), range(s.width), range(s.height), range(s.aspect));
    if (s.caption_words.max > 0)
      text +=
          fmt::format("  characters  {}\n  words       {}\n", length(s.caption_characters), length(s.caption_words));
  }
  return text;
}

/// The first few of a list, one a line, and how many more there are.
template <class Item, class Line>
std::string few(const std::vector<Item>& items, std::size_t all, const Line& line) {
  constexpr std::size_t shown = 5;
  std::string text;
  for (std::size_t i = 0; i < std::min(shown, items.size()); ++i) text += fmt::format("  {}\n", line(items[i]));
  if (all > shown) text += fmt::format("  … and {} more\n", all - shown);
  return text;
}

std::string pair_line(const sm::PicturePair& pair) {
  return fmt::format("{} {} {}{}", pair.source.empty() ? std::to_string(pair.id) : pair.source,
                     pair.exact ? "is" : "is near",
                     pair.other_source.empty() ? std::to_string(pair.other_id) : pair.other_source,
                     pair.same_caption ? ", with the same words" : "");
}

std::string findings(const sm::DataReport& report) {
  std::string text;
  for (const auto& s : report.splits) {
    if (s.unreadable > 0) {
      std::vector<std::string> reasons;
      for (const auto& [reason, count] : s.unreadable_reasons) reasons.push_back(fmt::format("{} {}", count, reason));
      text += fmt::format("\nunreadable in {}: {}\n", s.name, fmt::join(reasons, ", ")) +
              few(s.unreadable_samples, s.unreadable, [](const auto& sample) { return sample.reason; });
    }
    if (const auto all = s.exact_duplicates + s.near_duplicates; all > 0)
      text += fmt::format("\nthe same picture within {}: {}\n", s.name, all) + few(s.duplicates, all, pair_line);
  }
  for (const auto& leak : report.leaks) {
    text += fmt::format("\nleak: {} of {} is in {} too, {} exactly, {} nearly, {} with the same words\n",
                        leak.exact + leak.near, leak.into, leak.from, leak.exact, leak.near, leak.same_caption) +
            few(leak.samples, leak.exact + leak.near, pair_line);
  }
  if (!report.near_complete) text += "\nso many pictures are alike that near copies were not all counted\n";
  return text;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Counts what is in a folder of memes: labels, sizes, captions, copies, what cannot be read, leaks.",
               "inspect_data"};
  DataArguments data;
  sm::InspectOptions options;
  std::vector<std::string> splits;
  std::string json;
  bool strict = false;
  app.add_option("DIR", data.data, "the folder")->required();
  data.add_layout_to(app);
  app.add_option("--splits", splits, "inspect these alone, in this order, e.g. train,dev_seen")->delimiter(',');
  app.add_option("--distance", options.distance, "bits in which the hashes of near pictures differ at most")
      ->check(CLI::Range(0, sm::near_distance))
      ->capture_default_str();
  app.add_option("--workers", options.workers, "threads that read pictures")->capture_default_str();
  app.add_option("--json", json, "write the whole report to this file");
  app.add_flag("--strict", strict, "fail, with code 1, on pictures that cannot be read and on leaks");
  app.footer("Example:\n  inspect_data memes --json memes/inspection.json --strict");

  return run_program(app, argc, argv, [&] {
    std::vector<sm::NamedDataset> datasets;
    for (const auto& split : splits) datasets.push_back({split, data.open(split)});
    if (splits.empty()) datasets = data.open_all();
    options.progress = reading_bar();
    const auto report = sm::inspect_data(datasets, options);
    std::cout << counts(report) << sizes(report) << findings(report) << std::flush;
    if (!json.empty()) sm::write_atomically(json, sm::data_report_json(report) + "\n");
    if (strict && (report.unreadable() > 0 || !report.leaks.empty())) {
      throw sm::DataError(fmt::format("{} unreadable, {} pairs of splits with leaks, and --strict allows neither",
                                      report.unreadable(), report.leaks.size()));
    }
  });
}
