#include <sslmeme/core/error.hpp>
#include <sslmeme/eval/report_figures.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

namespace sslmeme {
namespace {

/// Samples by probability in bins of equal width; 1 belongs to the last.
std::vector<std::int64_t> histogram(const std::vector<double>& probabilities, Labels labels, std::int64_t label,
                                    std::int64_t bins) {
  std::vector<std::int64_t> counts(static_cast<std::size_t>(bins));
  for (std::size_t i = 0; i < probabilities.size(); ++i) {
    if (labels[i] != label) continue;
    const auto bin = static_cast<std::int64_t>(probabilities[i] * static_cast<double>(bins));
    ++counts[static_cast<std::size_t>(std::min(bin, bins - 1))];
  }
  return counts;
}

}  // namespace

CalibrationSeries calibration_series(std::string name, Scores logits, Labels labels, double temperature,
                                     double threshold, std::int64_t bins) {
  if (!(temperature > 0 && std::isfinite(temperature))) {
    throw InvalidArgument{
        fmt::format("the temperature of \"{}\" is {}; give a positive number, such as 1", name, temperature)};
  }
  const auto before = TemperatureScaling{}.apply(logits);
  const auto after = TemperatureScaling{.temperature = temperature}.apply(logits);
  CalibrationSeries series{.name = std::move(name),
                           .temperature = temperature,
                           .threshold = threshold,
                           .before = reliability_bins(before, labels, bins),
                           .after = reliability_bins(after, labels, bins),
                           .error_before = expected_calibration_error(before, labels, bins),
                           .error_after = expected_calibration_error(after, labels, bins)};
  series.harmful = histogram(after, labels, 1, 2 * bins);
  series.harmless = histogram(after, labels, 0, 2 * bins);
  return series;
}

ThresholdSeries threshold_series(std::string name, Scores scores, Labels labels, double tuned) {
  // best_threshold() gives the next number above 1 where nothing should be flagged though a score is 1.
  if (!(tuned >= 0 && tuned <= std::nextafter(1.0, 2.0))) {
    throw InvalidArgument{fmt::format("the tuned threshold of \"{}\" is {}; it must be within [0, 1]", name, tuned)};
  }
  for (std::size_t i = 0; i < scores.size(); ++i) {
    if (!(scores[i] >= 0 && scores[i] <= 1)) {
      throw InvalidArgument{
          fmt::format("score {} of \"{}\" is {}; thresholds are explored within [0, 1]", i, name, scores[i])};
    }
  }
  ThresholdSeries series{.name = std::move(name)};
  for (int i = 0; i <= 100; ++i) series.thresholds.push_back(i / 100.0);
  const auto place = std::ranges::lower_bound(series.thresholds, tuned);
  series.tuned = static_cast<std::size_t>(std::distance(series.thresholds.begin(), place));
  if (place == series.thresholds.end() || *place != tuned) series.thresholds.insert(place, tuned);
  for (const double threshold : series.thresholds) series.counts.push_back(confusion(scores, labels, threshold));
  return series;
}

PairwiseTests pairwise_tests(std::vector<std::string> models, const std::vector<std::vector<double>>& scores,
                             Labels labels) {
  if (models.size() != scores.size()) {
    throw InvalidArgument{
        fmt::format("there are {} models and the scores of {}; give as many of each", models.size(), scores.size())};
  }
  PairwiseTests tests{std::move(models), {}};
  for (std::size_t a = 0; a < scores.size(); ++a) {
    for (std::size_t b = a + 1; b < scores.size(); ++b)
      tests.pairs.push_back({a, b, delong_test(scores[a], scores[b], labels)});
  }
  return tests;
}

}  // namespace sslmeme
