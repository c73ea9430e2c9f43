#include <sslmeme/core/error.hpp>
#include <sslmeme/eval/calibration.hpp>

#include "eval/score_groups.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace sslmeme {
namespace {

double sigmoid(double x) {
  if (x >= 0) return 1 / (1 + std::exp(-x));
  const double e = std::exp(x);
  return e / (1 + e);
}

/// log(1 + exp(x)).
double softplus(double x) {
  return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x)));
}

/// Mean −log p(label) where p = σ(beta · logit).
double mean_nll(Scores logits, Labels labels, double beta) {
  double sum = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const double x = beta * logits[i];
    sum += softplus(labels[i] == 1 ? -x : x);
  }
  return sum / static_cast<double>(logits.size());
}

struct Slope {
  double first = 0;   ///< derivative of the summed −log p(label) by beta: rises with beta
  double second = 0;  ///< its derivative
};

/// The logits are divided by `scale`.
Slope slope_at(Scores logits, Labels labels, double scale, double beta) {
  Slope slope;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const double z = logits[i] / scale, p = sigmoid(beta * z);
    slope.first += z * (p - static_cast<double>(labels[i]));
    slope.second += z * z * p * (1 - p);
  }
  return slope;
}

void require_minimum(Scores logits, Labels labels, double scale) {
  std::size_t positives = 0;
  bool parted = true;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    positives += labels[i] == 1 ? 1 : 0;
    parted = parted && (labels[i] == 1 ? logits[i] >= 0 : logits[i] <= 0);
  }
  if (positives == 0 || positives == logits.size()) {
    throw InvalidArgument{
        fmt::format("fitting a temperature needs both classes, but there are {} harmful and {} harmless samples; fit "
                    "on a split with both",
                    positives, logits.size() - positives)};
  }
  if (scale == 0 || slope_at(logits, labels, scale, 0).first >= 0) {
    throw InvalidArgument{
        "the logits tell no more than a constant, so that no temperature is best; are labels or signs swapped?"};
  }
  if (parted) {
    throw InvalidArgument{
        "the signs of the logits are right for every sample, so that the best temperature is 0; fit on a split with "
        "errors"};
  }
}

/// The root of the slope in beta, for logits divided by `scale`.
double best_beta(Scores logits, Labels labels, double scale) {
  double low = 0, high = 1;
  for (; slope_at(logits, labels, scale, high).first < 0; high *= 2) low = high;
  double beta = high;
  for (;;) {
    const auto slope = slope_at(logits, labels, scale, beta);
    (slope.first < 0 ? low : high) = beta;
    double next = beta - slope.first / slope.second;
    if (!(next > low && next < high)) next = std::midpoint(low, high);
    const bool done = std::abs(next - beta) <= 1e-12 * beta || high - low <= 1e-12 * high;
    beta = next;
    if (done) return beta;
  }
}

}  // namespace

std::vector<ReliabilityBin> reliability_bins(Scores probabilities, Labels labels, std::int64_t bins) {
  detail::check_probabilities(probabilities, labels);
  if (bins < 1) throw InvalidArgument{fmt::format("bins is {}; give at least 1, such as 15", bins)};
  const auto edge = [&](std::int64_t b) { return static_cast<double>(b) / static_cast<double>(bins); };
  std::vector<ReliabilityBin> result;
  for (std::int64_t b = 0; b < bins; ++b) result.push_back({edge(b), edge(b + 1)});
  for (std::size_t i = 0; i < probabilities.size(); ++i) {
    const double p = probabilities[i];
    auto b = std::clamp<std::int64_t>(std::llround(std::ceil(p * static_cast<double>(bins))) - 1, 0, bins - 1);
    if (p > edge(b + 1)) ++b;  // the product is rounded, the edges decide
    if (b > 0 && p <= edge(b)) --b;
    auto& bin = result[static_cast<std::size_t>(b)];
    ++bin.n;
    bin.mean_probability += p;
    bin.harmful += static_cast<double>(labels[i]);
  }
  for (auto& bin : result) {
    if (bin.n == 0) continue;
    bin.mean_probability /= static_cast<double>(bin.n);
    bin.harmful /= static_cast<double>(bin.n);
  }
  return result;
}

double expected_calibration_error(Scores probabilities, Labels labels, std::int64_t bins) {
  double sum = 0;
  for (const auto& bin : reliability_bins(probabilities, labels, bins))
    sum += static_cast<double>(bin.n) * std::abs(bin.harmful - bin.mean_probability);
  return sum / static_cast<double>(probabilities.size());
}

double TemperatureScaling::apply(double logit) const {
  return sigmoid(logit / temperature);
}

std::vector<double> TemperatureScaling::apply(Scores logits) const {
  std::vector<double> probabilities(logits.size());
  for (std::size_t i = 0; i < logits.size(); ++i) probabilities[i] = apply(logits[i]);
  return probabilities;
}

TemperatureScaling fit_temperature(Scores logits, Labels labels) {
  detail::check_scores(logits, labels);
  double scale = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) scale = std::max(scale, std::abs(logits[i]));
  require_minimum(logits, labels, scale);
  const double beta = best_beta(logits, labels, scale) / scale;
  return {1 / beta, mean_nll(logits, labels, 1), mean_nll(logits, labels, beta)};
}

}  // namespace sslmeme
