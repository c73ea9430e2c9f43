#include <sslmeme/core/error.hpp>
#include <sslmeme/core/random.hpp>
#include <sslmeme/eval/curve_bands.hpp>
#include <sslmeme/eval/metrics.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
namespace sm = sslmeme;

namespace {

struct Scored {
  std::vector<double> scores;
  std::vector<std::int64_t> labels;
};

/// Harmful ones score higher by `shift` deviations; rounded, so that there are ties.
Scored normal_scores(std::size_t n, double shift, std::uint64_t seed) {
  sm::Rng rng{seed};
  Scored scored;
  for (std::size_t i = 0; i < n; ++i) {
    const std::int64_t label = i % 3 == 0 ? 1 : 0;
    const double normal = std::sqrt(-2 * std::log(1 - rng.uniform())) * std::cos(2 * 3.141592653589793 * rng.uniform());
    scored.scores.push_back(std::round(50 * (normal + shift * static_cast<double>(label))) / 50);
    scored.labels.push_back(label);
  }
  return scored;
}

/// The ROC curve at a false positive rate, linear between its points, the highest where it is vertical.
double tpr_at(const sm::RocCurve& curve, double fpr) {
  for (std::size_t i = 1; i < curve.fpr.size(); ++i) {
    if (curve.fpr[i] > fpr)
      return std::lerp(curve.tpr[i - 1], curve.tpr[i], (fpr - curve.fpr[i - 1]) / (curve.fpr[i] - curve.fpr[i - 1]));
  }
  return 1;
}

/// The best precision-recall point's precision with a recall of at least `recall`: that of the highest threshold.
double precision_at(const sm::PrecisionRecallCurve& curve, double recall) {
  for (std::size_t i = curve.thresholds.size(); i-- > 0;) {
    if (curve.recall[i] >= recall && curve.recall[i] > 0) return curve.precision[i];
  }
  return 0;
}

/// Draws that take the samples themselves, as the definition says, by another way than the library's.
Scored drawn_anew(const Scored& scored, sm::Rng& rng) {
  std::vector<std::size_t> positives, negatives;
  for (std::size_t i = 0; i < scored.labels.size(); ++i) (scored.labels[i] == 1 ? positives : negatives).push_back(i);
  Scored drawn;
  for (const auto* of_class : {&positives, &negatives}) {
    for (std::size_t i = 0; i < of_class->size(); ++i) {
      const auto sample = (*of_class)[rng.below(of_class->size())];
      drawn.scores.push_back(scored.scores[sample]);
      drawn.labels.push_back(scored.labels[sample]);
    }
  }
  return drawn;
}

double quantile(std::vector<double> values, double q) {
  std::ranges::sort(values);
  return values[static_cast<std::size_t>(q * static_cast<double>(values.size() - 1))];
}

}  // namespace

TEST_CASE("Bands are what drawing memes anew gives, class by class") {
  const auto scored = normal_scores(240, 1.2, 4);
  const sm::BandOptions options{.resamples = 3000, .points = 21, .seed = 1};
  const auto roc = sm::roc_band(scored.scores, scored.labels, options);
  const auto pr = sm::precision_recall_band(scored.scores, scored.labels, options);
  REQUIRE(roc.x.size() == 21);
  std::vector<std::vector<double>> tprs(21), precisions(21);
  sm::Rng rng{99};
  for (int draw = 0; draw < 3000; ++draw) {
    const auto drawn = drawn_anew(scored, rng);
    const auto curve = sm::roc_curve(drawn.scores, drawn.labels);
    const auto precision = sm::precision_recall_curve(drawn.scores, drawn.labels);
    for (std::size_t i = 0; i < 21; ++i) {
      tprs[i].push_back(tpr_at(curve, roc.x[i]));
      precisions[i].push_back(precision_at(precision, pr.x[i]));
    }
  }
  for (std::size_t i = 0; i < 21; ++i) {  // within the noise of 3000 draws at the 2.5 % quantile
    INFO("point " << i);
    CHECK(std::abs(roc.low[i] - quantile(tprs[i], 0.025)) < 0.03);
    CHECK(std::abs(roc.high[i] - quantile(tprs[i], 0.975)) < 0.03);
    CHECK(std::abs(pr.low[i] - quantile(precisions[i], 0.025)) < 0.04);
    CHECK(std::abs(pr.high[i] - quantile(precisions[i], 0.975)) < 0.04);
  }
}

TEST_CASE("Bands of curves that every draw shares are lines") {
  const std::vector<double> scores{0.9, 0.8, 0.2, 0.1};
  const std::vector<std::int64_t> labels{1, 1, 0, 0};
  const auto roc = sm::roc_band(scores, labels, {.points = 5});
  CHECK((roc.x == std::vector<double>{0, 0.25, 0.5, 0.75, 1}));
  CHECK((roc.low == std::vector<double>(5, 1.0) && roc.high == roc.low));
  const auto pr = sm::precision_recall_band(scores, labels, {.points = 5});
  CHECK((pr.low == std::vector<double>(5, 1.0) && pr.high == pr.low));

  const std::vector<double> same(4, 0.5);  // one threshold: the diagonal, and the part that is harmful
  const auto diagonal = sm::roc_band(same, labels, {.points = 5});
  CHECK((diagonal.low == diagonal.x && diagonal.high == diagonal.x));
  const auto level = sm::precision_recall_band(same, labels, {.points = 5});
  CHECK((level.low == std::vector<double>(5, 0.5) && level.high == level.low));
}

TEST_CASE("Bands hold the curve, rise with it, follow from the seed, and shrink with more memes") {
  const auto few = normal_scores(150, 1, 7), many = normal_scores(15'000, 1, 7);
  const auto band = sm::roc_band(few.scores, few.labels);
  const auto curve = sm::roc_curve(few.scores, few.labels);
  double width = 0, narrow = 0;
  for (std::size_t i = 1; i + 1 < band.x.size(); ++i) {
    const double tpr = tpr_at(curve, band.x[i]);
    CHECK((band.low[i] <= tpr && tpr <= band.high[i]));
    CHECK((band.low[i] >= band.low[i - 1] && band.high[i] >= band.high[i - 1]));
    width += band.high[i] - band.low[i];
  }
  const auto again = sm::roc_band(few.scores, few.labels), other = sm::roc_band(few.scores, few.labels, {.seed = 1});
  CHECK((again.low == band.low && again.high == band.high));
  CHECK((other.low != band.low));
  const auto tight = sm::roc_band(many.scores, many.labels);
  for (std::size_t i = 1; i + 1 < tight.x.size(); ++i) narrow += tight.high[i] - tight.low[i];
  CHECK(narrow < width / 5);
}

TEST_CASE("Bands refuse what they cannot be made of") {
  const std::vector<double> scores{0.1, 0.9};
  const std::vector<std::int64_t> labels{0, 1}, one_class{1, 1};
  const auto refuses = [&](const auto& which, const sm::BandOptions& options, const char* why) {
    CHECK_THROWS_MATCHES(sm::roc_band(scores, which, options), sm::InvalidArgument,
                         MessageMatches(ContainsSubstring(why)));
    CHECK_THROWS_AS(sm::precision_recall_band(scores, which, options), sm::InvalidArgument);
  };
  refuses(one_class, {}, "both classes, but there are 2 harmful and 0 harmless");
  refuses(labels, {.resamples = 1}, "resamples is 1");
  refuses(labels, {.points = 1}, "points is 1");
  refuses(labels, {.level = 1}, "level is 1");
  refuses(std::vector<std::int64_t>{0}, {}, "");
}
