#include <sslmeme/core/error.hpp>
#include <sslmeme/core/random.hpp>
#include <sslmeme/eval/metrics.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string_view>

namespace sslmeme {
namespace {

/// Samples of the same score: everything that a metric of ranks needs to know of them.
struct Group {
  double score;
  std::int64_t positives = 0;
  std::int64_t negatives = 0;
};

void check(Scores scores, Labels labels) {
  if (scores.size() != labels.size()) {
    throw InvalidArgument{
        fmt::format("there are {} scores and {} labels; give one of each a sample", scores.size(), labels.size())};
  }
  if (scores.size() == 0) throw InvalidArgument{"there are no scores; a metric needs at least one sample"};
  for (std::size_t i = 0; i < scores.size(); ++i) {
    if (!std::isfinite(scores[i]))
      throw InvalidArgument{fmt::format("score {} is {}; every score must be finite", i, scores[i])};
    if (labels[i] != 0 && labels[i] != 1) {
      throw InvalidArgument{
          fmt::format("label {} is {}; labels must be 0 or 1: leave out samples without a label", i, labels[i])};
    }
  }
}

/// The order of the samples by falling score.
std::vector<std::size_t> falling_order(Scores scores) {
  std::vector<std::size_t> order(scores.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, [&](std::size_t a, std::size_t b) { return scores[a] > scores[b]; });
  return order;
}

std::vector<Group> falling_groups(Scores scores, Labels labels) {
  check(scores, labels);
  std::vector<Group> groups;
  for (const auto i : falling_order(scores)) {
    if (groups.empty() || groups.back().score != scores[i]) groups.push_back({scores[i]});
    (labels[i] == 1 ? groups.back().positives : groups.back().negatives) += 1;
  }
  return groups;
}

Group totals(std::span<const Group> groups) {
  Group total{0};
  for (const auto& group : groups) {
    total.positives += group.positives;
    total.negatives += group.negatives;
  }
  return total;
}

Group totals_of_both(std::span<const Group> groups, std::string_view what) {
  const auto total = totals(groups);
  if (total.positives == 0 || total.negatives == 0) {
    throw InvalidArgument{fmt::format(
        "{} needs both classes, but there are {} harmful and {} harmless samples; evaluate on a split with both", what,
        total.positives, total.negatives)};
  }
  return total;
}

/// Σ over positives of (negatives below + ½ negatives at the same score) / (P N).
double area(std::span<const Group> groups) {
  const auto total = totals(groups);
  double below = static_cast<double>(total.negatives);
  double wins = 0;
  for (const auto& group : groups) {
    const auto tied = static_cast<double>(group.negatives);
    below -= tied;
    wins += static_cast<double>(group.positives) * (below + tied / 2);
  }
  return wins / (static_cast<double>(total.positives) * static_cast<double>(total.negatives));
}

/// The q-quantile of sorted values, linear between neighbours.
double quantile(std::span<const double> sorted, double q) {
  const double at = q * static_cast<double>(sorted.size() - 1);
  const auto low = static_cast<std::size_t>(at);
  const auto high = std::min(low + 1, sorted.size() - 1);
  return std::lerp(sorted[low], sorted[high], at - static_cast<double>(low));
}

}  // namespace

double auroc(Scores scores, Labels labels) {
  const auto groups = falling_groups(scores, labels);
  totals_of_both(groups, "AUROC");
  return area(groups);
}

double average_precision(Scores scores, Labels labels) {
  const auto groups = falling_groups(scores, labels);
  const auto all = totals(groups).positives;
  if (all == 0)
    throw InvalidArgument{
        "average precision needs a harmful sample, but there is none; evaluate on a split with both classes"};
  double sum = 0;
  std::int64_t found = 0, taken = 0;
  for (const auto& group : groups) {
    found += group.positives;
    taken += group.positives + group.negatives;
    sum += static_cast<double>(group.positives) * static_cast<double>(found) / static_cast<double>(taken);
  }
  return sum / static_cast<double>(all);
}

double accuracy(Scores scores, Labels labels, double threshold) {
  check(scores, labels);
  if (std::isnan(threshold)) throw InvalidArgument{"the threshold is NaN; give a number"};
  std::size_t right = 0;
  for (std::size_t i = 0; i < scores.size(); ++i) right += (scores[i] >= threshold) == (labels[i] == 1) ? 1 : 0;
  return static_cast<double>(right) / static_cast<double>(scores.size());
}

double best_threshold(Scores scores, Labels labels) {
  const auto groups = falling_groups(scores, labels);
  auto right = totals(groups).negatives;  // of the threshold above all scores
  auto best = right;
  double best_gap = 0;
  double threshold = std::nextafter(groups.front().score, std::numeric_limits<double>::infinity());
  for (std::size_t i = 0; i < groups.size(); ++i) {
    const double score = groups[i].score;
    const double next = i + 1 < groups.size() ? groups[i + 1].score : score;
    right += groups[i].positives - groups[i].negatives;
    const double gap = score - next;
    if (right > best || (right == best && gap >= best_gap)) {
      best = right;
      best_gap = gap;
      const double middle = std::midpoint(next, score);
      threshold = middle > next ? middle : score;
    }
  }
  return threshold;
}

RocCurve roc_curve(Scores scores, Labels labels) {
  const auto groups = falling_groups(scores, labels);
  const auto total = totals_of_both(groups, "a ROC curve");
  RocCurve curve{{0}, {0}, {std::numeric_limits<double>::infinity()}};
  std::int64_t negatives = 0, positives = 0;
  for (const auto& group : groups) {
    negatives += group.negatives;
    positives += group.positives;
    curve.fpr.push_back(static_cast<double>(negatives) / static_cast<double>(total.negatives));
    curve.tpr.push_back(static_cast<double>(positives) / static_cast<double>(total.positives));
    curve.thresholds.push_back(group.score);
  }
  return curve;
}

Summary summarize(std::span<const double> values) {
  if (values.empty()) throw InvalidArgument{"there are no values to summarize; give at least one"};
  double sum = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i]))
      throw InvalidArgument{fmt::format("value {} is {}; every value must be finite", i, values[i])};
    sum += values[i];
  }
  const auto n = static_cast<double>(values.size());
  const double mean = sum / n;
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  return {mean, values.size() > 1 ? std::sqrt(squares / (n - 1)) : 0.0, static_cast<std::int64_t>(values.size())};
}

Interval bootstrap_auroc(Scores scores, Labels labels, const BootstrapOptions& options) {
  if (options.resamples < 2)
    throw InvalidArgument{fmt::format("BootstrapOptions::resamples is {}; give at least 2", options.resamples)};
  if (!(options.level > 0 && options.level < 1)) {
    throw InvalidArgument{
        fmt::format("BootstrapOptions::level is {}; give a number between 0 and 1, such as 0.95", options.level)};
  }
  auto groups = falling_groups(scores, labels);
  totals_of_both(groups, "AUROC");
  std::vector<std::int64_t*> samples;  // for each sample, in the order of scores, the count that it belongs to
  samples.reserve(scores.size());
  for (auto& group : groups) {
    samples.insert(samples.end(), static_cast<std::size_t>(group.positives), &group.positives);
    samples.insert(samples.end(), static_cast<std::size_t>(group.negatives), &group.negatives);
  }
  Rng rng{options.seed};
  std::vector<double> areas;
  areas.reserve(static_cast<std::size_t>(options.resamples));
  while (areas.size() < static_cast<std::size_t>(options.resamples)) {
    for (auto& group : groups) group.positives = group.negatives = 0;
    for (std::size_t i = 0; i < samples.size(); ++i) ++*samples[rng.below(samples.size())];
    const auto total = totals(groups);
    if (total.positives > 0 && total.negatives > 0) areas.push_back(area(groups));
  }
  std::ranges::sort(areas);
  const double tail = (1 - options.level) / 2;
  return {quantile(areas, tail), quantile(areas, 1 - tail)};
}

}  // namespace sslmeme
