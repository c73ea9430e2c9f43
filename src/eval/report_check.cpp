#include "eval/report_check.hpp"

#include <sslmeme/core/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <string_view>

namespace sslmeme::detail {
namespace {

/// The ids that elements of the page have by themselves.
const std::set<std::string> own_ids{"figure-table",
                                    "figure-tests",
                                    "figure-roc",
                                    "figure-precision-recall",
                                    "figure-calibration",
                                    "figure-thresholds",
                                    "figure-disagreements",
                                    "explorer-model",
                                    "explorer-threshold",
                                    "results",
                                    "curves",
                                    "calibration",
                                    "thresholds",
                                    "disagreements",
                                    "memes",
                                    "maps",
                                    "charts",
                                    "tables",
                                    "config"};

class Ids {
 public:
  /// Throws InvalidArgument for an id that is unusable or taken.
  void take(const std::string& id) {
    const auto is_fine = [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
    };
    if (id.empty() || !std::ranges::all_of(id, is_fine)) {
      throw InvalidArgument{fmt::format("the figure id \"{}\" is unusable; give letters, digits, '-' and '_'", id)};
    }
    if (id.starts_with("charts-") || id.starts_with("tables-") || !taken_.insert(id).second)
      throw InvalidArgument{fmt::format("the figure id \"{}\" is taken; give each figure its own", id)};
  }

 private:
  std::set<std::string> taken_ = own_ids;
};

void check_lengths(std::string_view name, std::size_t x, std::size_t y) {
  if (x != y)
    throw InvalidArgument{fmt::format("curve \"{}\" has {} values of x and {} of y; give as many of each", name, x, y)};
}

void check_band(std::string_view name, const CurveBand& band) {
  check_lengths(fmt::format("{}, its band", name), band.x.size(), band.low.size());
  check_lengths(fmt::format("{}, its band", name), band.x.size(), band.high.size());
}

void check_chart(const LossChart& chart) {
  for (const auto& curve : chart.curves) {
    check_lengths(curve.name, curve.epoch.size(), curve.value.size());
    if (!curve.deviation.empty()) check_lengths(curve.name, curve.deviation.size(), curve.value.size());
    const auto unusable = [](double x) { return !(x > 0) && std::isfinite(x); };
    if (chart.log_x && std::ranges::any_of(curve.epoch, unusable)) {
      throw InvalidArgument{
          fmt::format("curve \"{}\" has an x that is not positive; a logarithmic axis has none: leave "
                      "it out or set log_x to false",
                      curve.name)};
    }
  }
}

void check_judged(std::int64_t id, std::int64_t label, double score) {
  if ((label != 0 && label != 1) || !(score >= 0 && score <= 1)) {
    throw InvalidArgument{fmt::format("meme {} has label {} and score {}; a label is 0 or 1 and a score within [0, 1]",
                                      id, label, score)};
  }
}

void check_meme(const ScoredMeme& meme) {
  check_judged(meme.id, meme.label, meme.score);
  for (const auto& score : {meme.without_words, meme.without_picture}) {
    if (score) check_judged(meme.id, meme.label, *score);
  }
  const auto within = [](double low) { return [low](double value) { return value >= low && value <= 1; }; };
  for (const auto& map : {meme.heat, meme.outline}) {
    if (map.height >= 0 && map.width >= 0 &&
        map.values.size() == static_cast<std::size_t>(map.height) * static_cast<std::size_t>(map.width) &&
        std::ranges::all_of(map.values, within(0)))
      continue;
    throw InvalidArgument{
        fmt::format("the heat map of meme {} has {} values for {} × {} cells; give one within [0, 1] "
                    "for each",
                    meme.id, map.values.size(), map.height, map.width)};
  }
  if (!std::ranges::all_of(meme.words, within(-1), &ShadedWord::weight))
    throw InvalidArgument{fmt::format("a word of meme {} has a weight outside [-1, 1]", meme.id)};
  if (!std::ranges::all_of(meme.words, within(0), [](const auto& word) { return word.attention.value_or(0); }))
    throw InvalidArgument{fmt::format("a word of meme {} has an attention outside [0, 1]", meme.id)};
}

void check_disagreements(const Disagreements& all) {
  check_lengths("disagreements, models and thresholds", all.models.size(), all.thresholds.size());
  for (const auto& meme : all.memes) {
    if (meme.scores.size() != all.models.size()) {
      throw InvalidArgument{fmt::format("meme {} has {} scores of {} models; give one of each", meme.id,
                                        meme.scores.size(), all.models.size())};
    }
    for (const double score : meme.scores) check_judged(meme.id, meme.label, score);
  }
}

void check_thresholds(const ThresholdSeries& series) {
  check_lengths(series.name, series.thresholds.size(), series.counts.size());
  if (series.tuned >= series.thresholds.size()) {
    throw InvalidArgument{
        fmt::format("the tuned threshold of \"{}\" is number {} of {}; make the series with "
                    "threshold_series()",
                    series.name, series.tuned, series.thresholds.size())};
  }
}

void check_tests(const PairwiseTests& tests) {
  for (const auto& pair : tests.pairs) {
    if (pair.a >= tests.models.size() || pair.b >= tests.models.size())
      throw InvalidArgument{
          fmt::format("a paired test is of models {} and {}, but there are {}", pair.a, pair.b, tests.models.size())};
  }
}

void check_table(const ReportTable& table) {
  for (const auto& row : table.rows) {
    if (row.size() != table.columns.size()) {
      throw InvalidArgument{fmt::format("a row of the table \"{}\" has {} cells; it has {} columns", table.title,
                                        row.size(), table.columns.size())};
    }
  }
}

}  // namespace

void check(const Report& report) {
  Ids ids;
  check_tests(report.tests);
  for (const auto& roc : report.rocs) {
    check_lengths(roc.name, roc.curve.fpr.size(), roc.curve.tpr.size());
    check_band(roc.name, roc.band);
  }
  for (const auto& series : report.precision_recalls) {
    check_lengths(series.name, series.curve.recall.size(), series.curve.precision.size());
    check_band(series.name, series.band);
  }
  for (const auto& series : report.thresholds) check_thresholds(series);
  check_disagreements(report.disagreements);
  for (const auto& gallery : report.galleries) {
    ids.take(gallery.id);
    ids.take(gallery.id + "-heat");
    std::ranges::for_each(gallery.memes, check_meme);
  }
  for (const auto& map : report.maps) ids.take(map.id);
  for (const auto& chart : report.charts) {
    ids.take(chart.id);
    check_chart(chart);
  }
  for (const auto& table : report.tables) {
    ids.take(table.id);
    check_table(table);
  }
}

}  // namespace sslmeme::detail
