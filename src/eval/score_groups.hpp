// Scores in order, by class: what the metrics of ranks share.
#pragma once

#include <sslmeme/eval/metrics.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace sslmeme::detail {

/// Throws InvalidArgument, as metrics.hpp promises.
void check_scores(Scores scores, Labels labels);

/// The same for probabilities, which lie within [0, 1].
void check_probabilities(Scores probabilities, Labels labels);

/// Samples of the same score: everything that a metric of ranks needs to know of them.
struct ScoreGroup {
  double score = 0;
  std::int64_t positives = 0;
  std::int64_t negatives = 0;
};

/// The scores of each class, falling.
struct FallingScores {
  std::vector<double> positives;
  std::vector<double> negatives;
};

/// Checks and sorts. O(n): a radix sort.
FallingScores falling_scores(Scores scores, Labels labels);

/// f(ScoreGroup) for each distinct score, falling.
template <class F>
void for_each_group(const FallingScores& falling, F&& f) {
  constexpr double none = -std::numeric_limits<double>::infinity();
  const auto &positives = falling.positives, &negatives = falling.negatives;
  for (std::size_t p = 0, n = 0; p < positives.size() || n < negatives.size();) {
    const double positive = p < positives.size() ? positives[p] : none;
    const double negative = n < negatives.size() ? negatives[n] : none;
    ScoreGroup group{positive > negative ? positive : negative};
    for (; p < positives.size() && positives[p] == group.score; ++p) ++group.positives;
    for (; n < negatives.size() && negatives[n] == group.score; ++n) ++group.negatives;
    f(group);
  }
}

}  // namespace sslmeme::detail
