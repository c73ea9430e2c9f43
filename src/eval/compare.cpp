#include <sslmeme/core/error.hpp>
#include <sslmeme/eval/compare.hpp>

#include "eval/score_groups.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <numbers>
#include <numeric>
#include <string_view>
#include <utility>

namespace sslmeme {
namespace {

/// What each sample adds to the AUROC, in the order of the samples of its class.
struct Placements {
  double auroc = 0;
  std::vector<double> positives;  ///< V₁₀
  std::vector<double> negatives;  ///< V₀₁
};

void require_two_of_each(std::size_t positives, std::size_t negatives) {
  if (positives < 2 || negatives < 2) {
    throw InvalidArgument{fmt::format(
        "the variance of an AUROC needs two samples of each class, but there are {} harmful and {} harmless "
        "samples; evaluate on a larger split",
        positives, negatives)};
  }
}

Placements placements(Scores scores, Labels labels) {
  std::vector<std::pair<double, std::size_t>> positives, negatives;  // score, place within the class
  for (std::size_t i = 0; i < scores.size(); ++i) {
    auto& side = labels[i] == 1 ? positives : negatives;
    side.emplace_back(scores[i], side.size());
  }
  require_two_of_each(positives.size(), negatives.size());
  std::ranges::sort(positives);
  std::ranges::sort(negatives);
  const auto all_positives = static_cast<double>(positives.size());
  const auto all_negatives = static_cast<double>(negatives.size());
  Placements result{0, std::vector<double>(positives.size()), std::vector<double>(negatives.size())};
  double wins = 0;  // a sum of halves, so exact
  for (std::size_t p = 0, n = 0; p < positives.size() || n < negatives.size();) {
    const double score = p == positives.size()   ? negatives[n].first
                         : n == negatives.size() ? positives[p].first
                                                 : std::min(positives[p].first, negatives[n].first);
    const auto first_p = p, first_n = n;
    while (p < positives.size() && positives[p].first == score) ++p;
    while (n < negatives.size() && negatives[n].first == score) ++n;
    const double below = static_cast<double>(first_n + n) / 2;
    const double above = all_positives - static_cast<double>(first_p + p) / 2;
    wins += static_cast<double>(p - first_p) * below;
    for (auto i = first_p; i < p; ++i) result.positives[positives[i].second] = below / all_negatives;
    for (auto j = first_n; j < n; ++j) result.negatives[negatives[j].second] = above / all_positives;
  }
  result.auroc = wins / (all_positives * all_negatives);
  return result;
}

/// Sample variance over n: that of the values' mean.
double variance_of_mean(const std::vector<double>& values) {
  const double deviation = summarize(values).deviation;
  return deviation * deviation / static_cast<double>(values.size());
}

/// P(|Z| ≥ z) of a standard normal Z.
double two_sided(double z) {
  return std::erfc(std::abs(z) / std::numbers::sqrt2);
}

/// The z for which P(|Z| < z) is `level`.
double normal_bound(double level) {
  double low = 0, high = 40;
  for (int i = 0; i < 100; ++i) {
    const double middle = std::midpoint(low, high);
    (two_sided(middle) > 1 - level ? low : high) = middle;
  }
  return high;
}

}  // namespace

AurocEstimate delong_interval(Scores scores, Labels labels, double level) {
  detail::check_scores(scores, labels);
  if (!(level > 0 && level < 1))
    throw InvalidArgument{fmt::format("level is {}; give a number between 0 and 1, such as 0.95", level)};
  const auto placed = placements(scores, labels);
  const double variance = variance_of_mean(placed.positives) + variance_of_mean(placed.negatives);
  const double half = normal_bound(level) * std::sqrt(variance);
  return {placed.auroc, variance, {std::max(0.0, placed.auroc - half), std::min(1.0, placed.auroc + half)}};
}

AurocTest delong_test(Scores scores_a, Scores scores_b, Labels labels) {
  detail::check_scores(scores_a, labels);
  detail::check_scores(scores_b, labels);
  auto a = placements(scores_a, labels);
  const auto b = placements(scores_b, labels);
  AurocTest test{a.auroc, b.auroc};
  std::ranges::transform(a.positives, b.positives, a.positives.begin(), std::minus{});
  std::ranges::transform(a.negatives, b.negatives, a.negatives.begin(), std::minus{});
  test.variance = variance_of_mean(a.positives) + variance_of_mean(a.negatives);
  const double difference = a.auroc - b.auroc;
  if (test.variance > 0) {
    test.z = difference / std::sqrt(test.variance);
  } else if (difference != 0) {
    test.z = std::copysign(std::numeric_limits<double>::infinity(), difference);
  }
  test.p = two_sided(test.z);
  return test;
}

std::vector<GroupFigures> evaluate_groups(Scores scores, Labels labels, std::span<const std::string> groups,
                                          double threshold) {
  detail::check_scores(scores, labels);
  if (groups.size() != scores.size()) {
    throw InvalidArgument{
        fmt::format("there are {} scores and {} groups; give the group of each sample", scores.size(), groups.size())};
  }
  struct Part {
    std::vector<double> scores;
    std::vector<std::uint8_t> labels;
  };
  std::map<std::string_view, Part> parts;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    auto& part = parts[groups[i]];
    part.scores.push_back(scores[i]);
    part.labels.push_back(static_cast<std::uint8_t>(labels[i]));
  }
  std::vector<GroupFigures> figures;
  for (const auto& [name, part] : parts) {
    GroupFigures row{std::string{name},
                     std::ssize(part.scores),
                     std::ranges::count(part.labels, 1),
                     accuracy(part.scores, part.labels, threshold),
                     {}};
    if (row.positives > 0 && row.positives < row.n) row.auroc = auroc(part.scores, part.labels);
    figures.push_back(std::move(row));
  }
  return figures;
}

}  // namespace sslmeme
