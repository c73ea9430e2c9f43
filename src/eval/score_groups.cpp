#include "eval/score_groups.hpp"

#include <sslmeme/core/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <functional>
#include <numeric>

namespace sslmeme::detail {
namespace {

constexpr std::size_t digits = 8, digit_values = 256;

/// Bits that rise as the number falls, and from such bits the number's own again. Those of 0 and −0 are neighbours.
std::uint64_t falling_bits(std::uint64_t bits) {
  constexpr std::uint64_t sign = 1ULL << 63U;
  return (bits & sign) != 0 ? bits : bits ^ (sign - 1);
}

std::size_t digit(std::uint64_t bits, std::size_t place) {
  return (bits >> (8 * place)) & (digit_values - 1);
}

/// Sorts by one byte after the other, from the lowest; a byte that all share costs nothing, as the lowest three of
/// floats do.
void radix_sort_falling(std::vector<double>& values) {
  std::vector<std::uint64_t> keys(values.size()), moved(values.size());
  std::array<std::array<std::size_t, digit_values>, digits> counts{};
  for (std::size_t i = 0; i < values.size(); ++i) {
    keys[i] = falling_bits(std::bit_cast<std::uint64_t>(values[i]));
    for (std::size_t place = 0; place < digits; ++place) ++counts[place][digit(keys[i], place)];
  }
  for (std::size_t place = 0; place < digits; ++place) {
    auto& next = counts[place];
    if (next[digit(keys[0], place)] == keys.size()) continue;
    std::exclusive_scan(next.begin(), next.end(), next.begin(), std::size_t{0});
    for (const auto key : keys) moved[next[digit(key, place)]++] = key;
    keys.swap(moved);
  }
  std::ranges::transform(keys, values.begin(),
                         [](std::uint64_t key) { return std::bit_cast<double>(falling_bits(key)); });
}

void sort_falling(std::vector<double>& values) {
  constexpr std::size_t worth_a_radix = 2048;
  if (values.size() < worth_a_radix) {
    std::ranges::sort(values, std::greater{});
  } else {
    radix_sort_falling(values);
  }
}

}  // namespace

void check_scores(Scores scores, Labels labels) {
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

void check_probabilities(Scores probabilities, Labels labels) {
  check_scores(probabilities, labels);
  for (std::size_t i = 0; i < probabilities.size(); ++i) {
    if (probabilities[i] < 0 || probabilities[i] > 1) {
      throw InvalidArgument{fmt::format(
          "probability {} is {}; probabilities lie within [0, 1]: put logits through a sigmoid", i, probabilities[i])};
    }
  }
}

FallingScores falling_scores(Scores scores, Labels labels) {
  check_scores(scores, labels);
  std::size_t positives = 0;
  for (std::size_t i = 0; i < labels.size(); ++i) positives += labels[i] == 1 ? 1 : 0;
  FallingScores falling;
  falling.positives.reserve(positives);
  falling.negatives.reserve(scores.size() - positives);
  for (std::size_t i = 0; i < scores.size(); ++i) {
    (labels[i] == 1 ? falling.positives : falling.negatives).push_back(scores[i]);
  }
  sort_falling(falling.positives);
  sort_falling(falling.negatives);
  return falling;
}

}  // namespace sslmeme::detail
