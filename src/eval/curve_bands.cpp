#include <sslmeme/core/error.hpp>
#include <sslmeme/core/random.hpp>
#include <sslmeme/eval/curve_bands.hpp>

#include "eval/percentiles.hpp"
#include "eval/score_groups.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <span>

namespace sslmeme {
namespace {

using Group = detail::ScoreGroup;

void check(const BandOptions& options) {
  detail::check_resampling(options, "BandOptions");
  if (options.points < 2)
    throw InvalidArgument{fmt::format("BandOptions::points is {}; give at least 2", options.points)};
}

/// Draws as many of each class as there are, with replacement.
class StratifiedDraws {
 public:
  StratifiedDraws(Scores scores, Labels labels, std::uint64_t seed) : rng_{seed} {
    detail::for_each_group(detail::falling_scores(scores, labels), [&](const Group& group) {
      positives_.insert(positives_.end(), static_cast<std::size_t>(group.positives), groups_.size());
      negatives_.insert(negatives_.end(), static_cast<std::size_t>(group.negatives), groups_.size());
      groups_.push_back(group);
    });
    if (positives_.empty() || negatives_.empty()) {
      throw InvalidArgument{
          fmt::format("a band needs both classes, but there are {} harmful and {} harmless samples; evaluate on a "
                      "split with both",
                      positives_.size(), negatives_.size())};
    }
  }

  /// By falling score; groups that nothing was drawn of stay in it, empty.
  std::span<const Group> next() {
    for (auto& group : groups_) group.positives = group.negatives = 0;
    for (std::size_t i = 0; i < positives_.size(); ++i) ++groups_[positives_[rng_.below(positives_.size())]].positives;
    for (std::size_t i = 0; i < negatives_.size(); ++i) ++groups_[negatives_[rng_.below(negatives_.size())]].negatives;
    return groups_;
  }
  auto positives() const { return static_cast<double>(positives_.size()); }
  auto negatives() const { return static_cast<double>(negatives_.size()); }

 private:
  Rng rng_;
  std::vector<Group> groups_;
  std::vector<std::size_t> positives_, negatives_;  ///< the group of each sample
};

/// curve(groups, xs, ys) writes one draw's curve at xs; the band is of the draws.
template <class Curve>
CurveBand band(Scores scores, Labels labels, const BandOptions& options, Curve curve) {
  check(options);
  StratifiedDraws draws{scores, labels, options.seed};
  const auto points = static_cast<std::size_t>(options.points);
  const auto resamples = static_cast<std::size_t>(options.resamples);
  CurveBand band;
  for (std::size_t i = 0; i < points; ++i) band.x.push_back(static_cast<double>(i) / static_cast<double>(points - 1));

  std::vector<std::vector<double>> at_point(points, std::vector<double>(resamples));
  std::vector<double> drawn(points);
  for (std::size_t draw = 0; draw < resamples; ++draw) {
    curve(draws.next(), draws.positives(), draws.negatives(), band.x, drawn);
    for (std::size_t i = 0; i < points; ++i) at_point[i][draw] = drawn[i];
  }
  for (auto& values : at_point) {
    const auto [low, high] = detail::percentiles(values, options.level);
    band.low.push_back(low);
    band.high.push_back(high);
  }
  return band;
}

/// The true positive rate at each x: where the curve is vertical, the highest of them.
void rates(std::span<const Group> groups, double positives, double negatives, std::span<const double> xs,
           std::span<double> ys) {
  std::int64_t fp = 0, tp = 0;
  double fpr = 0, tpr = 0;
  std::size_t i = 0;
  for (const auto& group : groups) {
    fp += group.negatives;
    tp += group.positives;
    const double next_fpr = static_cast<double>(fp) / negatives, next_tpr = static_cast<double>(tp) / positives;
    for (; i < xs.size() && xs[i] < next_fpr; ++i) ys[i] = std::lerp(tpr, next_tpr, (xs[i] - fpr) / (next_fpr - fpr));
    fpr = next_fpr;
    tpr = next_tpr;
  }
  std::ranges::fill(ys.subspan(i), 1.0);
}

/// The precision at each recall x.
void precisions(std::span<const Group> groups, double positives, double /*negatives*/, std::span<const double> xs,
                std::span<double> ys) {
  std::int64_t tp = 0, fp = 0;
  double precision = 0;
  std::size_t i = 0;
  for (const auto& group : groups) {
    tp += group.positives;
    fp += group.negatives;
    if (group.positives == 0) continue;  // more harmless ones at the same recall: a lower threshold than is needed
    precision = static_cast<double>(tp) / static_cast<double>(tp + fp);
    for (; i < xs.size() && xs[i] <= static_cast<double>(tp) / positives; ++i) ys[i] = precision;
  }
  std::ranges::fill(ys.subspan(i), precision);
}

}  // namespace

CurveBand roc_band(Scores scores, Labels labels, const BandOptions& options) {
  return band(scores, labels, options, rates);
}

CurveBand precision_recall_band(Scores scores, Labels labels, const BandOptions& options) {
  return band(scores, labels, options, precisions);
}

}  // namespace sslmeme
