// inspect_data: what is in a folder of memes before anything is trained on it, as a table and as JSON.
#include <sslmeme/core/error.hpp>
#include <sslmeme/core/files.hpp>
#include <sslmeme/core/printable.hpp>
#include <sslmeme/data/inspect.hpp>

#include "support/cli.hpp"
#include "support/data.hpp"
#include "support/reading_bar.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
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
    std::vector<std::string> cells{sm::printable(s.name)};
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
    text += fmt::format("\n{}\n  labels      {}\n  width       {}\n  height      {}\n  aspect      {}\n",
                        sm::printable(s.name), labels(s), range(s.width), range(s.height), range(s.aspect));
    if (s.caption_words.max > 0)
      text +=
          fmt::format("  characters  {}\n  words       {}\n", length(s.caption_characters), length(s.caption_words));
  }
  return text;
}

std::string pair_line(const sm::PicturePair& pair) {
  const auto name = [](const std::string& source, std::int64_t id) {
    return source.empty() ? std::to_string(id) : sm::printable(source);
  };
  return fmt::format("{} {} {}{}", name(pair.source, pair.id), pair.exact ? "is" : "is near",
                     name(pair.other_source, pair.other_id), pair.same_caption ? ", with the same words" : "");
}

std::string findings(const sm::DataReport& report) {
  std::string text;
  for (const auto& s : report.splits) {
    const auto split = sm::printable(s.name);
    if (s.unreadable > 0) {
      std::vector<std::string> reasons;
      for (const auto& [reason, count] : s.unreadable_reasons) reasons.push_back(fmt::format("{} {}", count, reason));
      text += fmt::format("\nunreadable in {}: {}\n", split, fmt::join(reasons, ", ")) +
              few(s.unreadable_samples, s.unreadable, [](const auto& sample) { return sm::printable(sample.reason); });
    }
    if (const auto all = s.exact_duplicates + s.near_duplicates; all > 0)
      text += fmt::format("\nthe same picture within {}: {}\n", split, all) + few(s.duplicates, all, pair_line);
  }
  for (const auto& leak : report.leaks) {
    text += fmt::format("\nleak: {} of {} is in {} too, {} exactly, {} nearly, {} with the same words\n",
                        leak.exact + leak.near, sm::printable(leak.into), sm::printable(leak.from), leak.exact,
                        leak.near, leak.same_caption) +
            few(leak.samples, leak.exact + leak.near, pair_line);
  }
  if (!report.near_complete)
    text += "\nso many pictures are alike that near copies were not all counted: raise --max-comparisons\n";
  return text;
}

/// What the tables tell: rows left out, words repaired, splits that a published data set should have.
std::string findings(const AllSplits& splits) {
  std::string text;
  for (const auto& split : splits.there) text += mended(split);
  if (!splits.absent.empty()) text += fmt::format("\nsplits that are not there: {}\n", joined(splits.absent));
  return text;
}

/// The library's report with what the tables tell.
std::string json_of(const sm::DataReport& report, const AllSplits& splits, std::size_t listed) {
  auto json = nlohmann::ordered_json::parse(sm::data_report_json(report));
  for (std::size_t s = 0; s < splits.there.size(); ++s) {
    const auto& rows = splits.there[s].repeated_ids;
    auto& of_split = json["splits"][s];
    of_split["repeated_ids"] = rows.size();
    auto& list = of_split["repeated_id_rows"] = nlohmann::ordered_json::array();
    for (std::size_t i = 0; i < std::min(listed, rows.size()); ++i)
      list.push_back({{"id", rows[i].id}, {"line", rows[i].line}, {"first_line", rows[i].first_line}});
    of_split["repaired_texts"] = splits.there[s].repaired_texts;
  }
  json["absent"] = splits.absent;
  return json.dump(1) + "\n";
}

/// What --strict asks for. Throws DataError.
void require_clean(const sm::DataReport& report, const AllSplits& splits) {
  std::size_t repeated = 0;
  for (const auto& split : splits.there) repeated += split.repeated_ids.size();
  if (report.unreadable() == 0 && report.leaks.empty() && repeated == 0 && report.near_complete) return;
  throw sm::DataError(
      fmt::format("{} unreadable, {} pairs of splits with leaks, {} repeated ids{}: --strict allows none of these",
                  report.unreadable(), report.leaks.size(), repeated,
                  report.near_complete ? "" : ", near copies not all looked for (raise --max-comparisons)"));
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Counts what is in a folder of memes: labels, sizes, captions, copies, what cannot be read, leaks.",
               "inspect_data"};
  DataArguments data{.check_pictures = false, .duplicates = sm::DuplicateIds::keep_first};  // told of, not refused
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
  app.add_option("--max-comparisons", options.max_comparisons, "in the search for near pictures, which ends then")
      ->capture_default_str();
  app.add_option("--workers", options.workers, "threads that read pictures")->capture_default_str();
  app.add_option("--json", json, "write the whole report to this file");
  app.add_flag(
      "--strict", strict,
      "fail, with code 1, on pictures that cannot be read, on leaks, on repeated ids, and where the search for "
      "near pictures was cut off");
  app.footer("Example:\n  inspect_data memes --json memes/inspection.json --strict");

  return run_program(app, argc, argv, [&] {
    AllSplits all;
    for (const auto& split : splits) all.there.push_back(data.open_split(split));
    if (splits.empty()) all = data.open_all();
    std::vector<sm::NamedDataset> datasets;
    for (const auto& split : all.there) datasets.push_back({split.name, split.data});
    options.progress = reading_bar();
    const auto report = sm::inspect_data(datasets, options);
    std::cout << counts(report) << sizes(report) << findings(report) << findings(all) << std::flush;
    if (!json.empty()) sm::write_atomically(json, json_of(report, all, options.listed));
    if (strict) require_clean(report, all);
  });
}
