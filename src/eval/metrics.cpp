#include <sslmeme/core/error.hpp>
#include <sslmeme/core/random.hpp>
#include <sslmeme/eval/metrics.hpp>

#include "eval/percentiles.hpp"
#include "eval/score_groups.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <ranges>
#include <string_view>

namespace sslmeme {
namespace {

using Group = detail::ScoreGroup;

std::vector<Group> falling_groups(Scores scores, Labels labels) {
  std::vector<Group> groups;
  detail::for_each_group(detail::falling_scores(scores, labels), [&](const Group& group) { groups.push_back(group); });
  return groups;
}

Group totals(std::span<const Group> groups) {
  Group total;
  for (const auto& group : groups) {
    total.positives += group.positives;
    total.negatives += group.negatives;
  }
  return total;
}

void require_both(std::int64_t positives, std::int64_t negatives, std::string_view what) {
  if (positives == 0 || negatives == 0) {
    throw InvalidArgument{fmt::format(
        "{} needs both classes, but there are {} harmful and {} harmless samples; evaluate on a split with both", what,
        positives, negatives)};
  }
}

/// Σ over positives of (negatives below + ½ negatives at the same score), group by falling group.
class Wins {
 public:
  explicit Wins(std::int64_t negatives) : below_{static_cast<double>(negatives)} {}

  void add(const Group& group) {
    const auto tied = static_cast<double>(group.negatives);
    below_ -= tied;
    wins_ += static_cast<double>(group.positives) * (below_ + tied / 2);
  }
  double share(double positives, double negatives) const { return wins_ / (positives * negatives); }

 private:
  double below_;
  double wins_ = 0;
};

double area(std::span<const Group> groups) {
  const auto total = totals(groups);
  Wins wins{total.negatives};
  for (const auto& group : groups) wins.add(group);
  return wins.share(static_cast<double>(total.positives), static_cast<double>(total.negatives));
}

void require_number(double threshold) {
  if (std::isnan(threshold)) throw InvalidArgument{"the threshold is NaN; give a number"};
}

double ratio(std::int64_t part, std::int64_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

}  // namespace

double auroc(Scores scores, Labels labels) {
  const auto falling = detail::falling_scores(scores, labels);
  const auto positives = std::ssize(falling.positives), negatives = std::ssize(falling.negatives);
  require_both(positives, negatives, "AUROC");
  Wins wins{negatives};
  detail::for_each_group(falling, [&](const Group& group) { wins.add(group); });
  return wins.share(static_cast<double>(positives), static_cast<double>(negatives));
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
  detail::check_scores(scores, labels);
  require_number(threshold);
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
  const auto total = totals(groups);
  require_both(total.positives, total.negatives, "a ROC curve");
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

PrecisionRecallCurve precision_recall_curve(Scores scores, Labels labels) {
  const auto groups = falling_groups(scores, labels);
  const auto total = totals(groups);
  if (total.positives == 0) {
    throw InvalidArgument{
        "a precision-recall curve needs a harmful sample, but there is none; evaluate on a split with both classes"};
  }
  PrecisionRecallCurve curve;
  auto found = total.positives, taken = total.positives + total.negatives;
  for (const auto& group : groups | std::views::reverse) {
    curve.precision.push_back(ratio(found, taken));
    curve.recall.push_back(ratio(found, total.positives));
    curve.thresholds.push_back(group.score);
    found -= group.positives;
    taken -= group.positives + group.negatives;
  }
  curve.precision.push_back(1);
  curve.recall.push_back(0);
  return curve;
}

double Confusion::precision() const {
  return ratio(tp, tp + fp);
}

double Confusion::recall() const {
  return ratio(tp, tp + fn);
}

double Confusion::f1() const {
  return ratio(2 * tp, 2 * tp + fp + fn);
}

double Confusion::accuracy() const {
  return ratio(tp + tn, tp + fp + tn + fn);
}

double Confusion::balanced_accuracy() const {
  if (tp + fn == 0 || tn + fp == 0) return 0;
  return (ratio(tp, tp + fn) + ratio(tn, tn + fp)) / 2;
}

Confusion confusion(Scores scores, Labels labels, double threshold) {
  detail::check_scores(scores, labels);
  require_number(threshold);
  Confusion counts;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    const bool held = scores[i] >= threshold, harmful = labels[i] == 1;
    ++(held ? (harmful ? counts.tp : counts.fp) : (harmful ? counts.fn : counts.tn));
  }
  return counts;
}

double brier(Scores probabilities, Labels labels) {
  detail::check_probabilities(probabilities, labels);
  double sum = 0;
  for (std::size_t i = 0; i < probabilities.size(); ++i) {
    const double miss = probabilities[i] - static_cast<double>(labels[i]);
    sum += miss * miss;
  }
  return sum / static_cast<double>(probabilities.size());
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
  detail::check_resampling(options, "BootstrapOptions");
  auto groups = falling_groups(scores, labels);
  const auto given = totals(groups);
  require_both(given.positives, given.negatives, "AUROC");
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
  return detail::percentiles(areas, options.level);
}

Interval bootstrap(Scores scores, Labels labels, const std::function<double(Scores, Labels)>& figure,
                   const BootstrapOptions& options) {
  detail::check_resampling(options, "BootstrapOptions");
  const auto given = totals(falling_groups(scores, labels));  // refuses what cannot be judged
  require_both(given.positives, given.negatives, "bootstrap");
  Rng rng{options.seed};
  std::vector<double> drawn_scores(scores.size()), figures;
  std::vector<std::int64_t> drawn_labels(scores.size());
  figures.reserve(static_cast<std::size_t>(options.resamples));
  while (figures.size() < static_cast<std::size_t>(options.resamples)) {
    std::int64_t positives = 0;
    for (std::size_t i = 0; i < drawn_scores.size(); ++i) {
      const auto from = rng.below(drawn_scores.size());
      drawn_scores[i] = scores[from];
      positives += drawn_labels[i] = labels[from];
    }
    if (positives == 0 || positives == static_cast<std::int64_t>(drawn_labels.size())) continue;
    figures.push_back(figure(drawn_scores, drawn_labels));
    if (!std::isfinite(figures.back()))
      throw InvalidArgument{
          fmt::format("bootstrap: the figure of a draw is {}; give one that is finite for samples of both classes",
                      figures.back())};
  }
  return detail::percentiles(figures, options.level);
}

}  // namespace sslmeme
