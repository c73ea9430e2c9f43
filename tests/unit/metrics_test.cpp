#include <sslmeme/core/error.hpp>
#include <sslmeme/core/random.hpp>
#include <sslmeme/eval/metrics.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <catch2/matchers/catch_matchers_vector.hpp>

#include <nlohmann/json.hpp>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "evaluation_golden.hpp"

using Catch::Matchers::Approx;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using Catch::Matchers::WithinAbs;
namespace sm = sslmeme;

namespace {

using Numbers = std::vector<double>;
using Classes = std::vector<std::int64_t>;

nlohmann::json golden() {
  return sm::test::json_of(SSLMEME_TEST_DATA "/metrics/metrics.json").at("cases");
}

}  // namespace

TEST_CASE("Metrics are those of scikit-learn") {
  for (const auto& expected : golden()) {
    INFO(expected.at("name"));
    const auto scores = expected.at("scores").get<Numbers>();
    const auto labels = expected.at("labels").get<Classes>();
    CHECK_THAT(sm::auroc(scores, labels), WithinAbs(expected.at("auroc"), 1e-14));
    CHECK_THAT(sm::average_precision(scores, labels), WithinAbs(expected.at("average_precision"), 1e-14));
    CHECK_THAT(sm::accuracy(scores, labels, 0.5), WithinAbs(expected.at("accuracy_at_half"), 1e-14));
    CHECK_THAT(sm::accuracy(scores, labels, sm::best_threshold(scores, labels)),
               WithinAbs(expected.at("best_accuracy"), 1e-14));

    const auto curve = sm::roc_curve(scores, labels);
    CHECK_THAT(curve.fpr, Approx(expected.at("fpr").get<Numbers>()).margin(1e-14));
    CHECK_THAT(curve.tpr, Approx(expected.at("tpr").get<Numbers>()).margin(1e-14));
    CHECK(std::isinf(curve.thresholds.front()));
    CHECK(Numbers{curve.thresholds.begin() + 1, curve.thresholds.end()} == expected.at("thresholds").get<Numbers>());
  }
}

TEST_CASE("Scores may be float and labels bytes") {
  const std::vector<float> scores{0.1F, 0.4F, 0.35F, 0.8F};
  const std::vector<std::uint8_t> labels{0, 0, 1, 1};
  CHECK(sm::auroc(scores, labels) == 0.75);
  CHECK(sm::auroc(std::span<const float>{scores}, std::span<const std::uint8_t>{labels}) == 0.75);
  CHECK(sm::accuracy(scores, labels, 0.35F) == 0.75);
}

TEST_CASE("A tie counts half") {
  CHECK(sm::auroc(Numbers{0.5, 0.5}, Classes{0, 1}) == 0.5);
  CHECK(sm::auroc(Numbers{0.5, 0.5, 0.2}, Classes{0, 1, 0}) == 0.75);
}

TEST_CASE("AUROC of many scores is what counting pairs gives, to the last bit") {
  sm::Rng rng{5};
  Numbers scores;
  std::vector<float> narrow;
  Classes labels;
  for (int i = 0; i < 6000; ++i) {
    labels.push_back(rng.bernoulli(0.4) ? 1 : 0);
    const double score = std::round(100 * (rng.uniform(-4, 4) + static_cast<double>(labels.back()))) / 100;
    scores.push_back(i % 5 < 3 ? 0.0 : i % 7 == 0 ? -0.0 : i % 13 == 0 ? score * 1e-300 : score);
    narrow.push_back(static_cast<float>(score));
  }
  const auto by_pairs = [&](const auto& values) {
    double wins = 0, pairs = 0;
    for (std::size_t i = 0; i < labels.size(); ++i) {
      for (std::size_t j = 0; labels[i] == 1 && j < labels.size(); ++j) {
        if (labels[j] == 1) continue;
        ++pairs;
        wins += values[i] > values[j] ? 1 : values[i] == values[j] ? 0.5 : 0;
      }
    }
    return wins / pairs;
  };
  CHECK(sm::auroc(scores, labels) == by_pairs(scores));
  CHECK(sm::auroc(narrow, labels) == by_pairs(narrow));
}

TEST_CASE("Curves and counts at a threshold are those of scikit-learn") {
  for (const auto& expected : sm::test::evaluation_golden("thresholds")) {
    const auto scores = expected.at("scores").get<Numbers>();
    const auto labels = expected.at("labels").get<Classes>();
    const auto curve = sm::precision_recall_curve(scores, labels);
    CHECK_THAT(curve.precision, Approx(expected.at("curve").at("precision").get<Numbers>()).margin(1e-14));
    CHECK_THAT(curve.recall, Approx(expected.at("curve").at("recall").get<Numbers>()).margin(1e-14));
    CHECK(curve.thresholds == expected.at("curve").at("thresholds").get<Numbers>());

    const auto counts = sm::confusion(scores, labels, 0.5);
    const auto& their_counts = expected.at("confusion");
    CHECK((counts.tp == their_counts.at("tp") && counts.fp == their_counts.at("fp")));
    CHECK((counts.tn == their_counts.at("tn") && counts.fn == their_counts.at("fn")));
    CHECK_THAT(counts.precision(), WithinAbs(expected.at("precision"), 1e-15));
    CHECK_THAT(counts.recall(), WithinAbs(expected.at("recall"), 1e-15));
    CHECK_THAT(counts.f1(), WithinAbs(expected.at("f1"), 1e-15));
    CHECK_THAT(counts.accuracy(), WithinAbs(expected.at("accuracy"), 1e-15));
    CHECK_THAT(counts.balanced_accuracy(), WithinAbs(expected.at("balanced_accuracy"), 1e-15));
    CHECK_THAT(sm::brier(scores, labels), WithinAbs(expected.at("brier"), 1e-15));
  }
}

TEST_CASE("A rate that is undefined is 0") {
  const auto none_held = sm::confusion(Numbers{0.1, 0.2}, Classes{0, 1}, 0.5);
  CHECK(none_held.precision() == 0);
  CHECK(none_held.recall() == 0);
  CHECK(none_held.f1() == 0);
  CHECK(none_held.balanced_accuracy() == 0.5);
  const auto harmless = sm::confusion(Numbers{0.1, 0.2}, Classes{0, 0}, 0.5);
  CHECK((harmless.tn == 2 && harmless.accuracy() == 1));
  CHECK(harmless.recall() == 0);
  CHECK(harmless.f1() == 0);
  CHECK(harmless.balanced_accuracy() == 0);
  CHECK(sm::confusion(Numbers{0.1, 0.2}, Classes{1, 1}, 0.1).balanced_accuracy() == 0);
  CHECK(sm::Confusion{}.accuracy() == 0);
}

TEST_CASE("The best threshold lies in the middle of the widest gap") {
  CHECK(sm::best_threshold(Numbers{0.1, 0.2, 0.8, 0.9}, Classes{0, 0, 1, 1}) == 0.5);
  SECTION("of equally good gaps the widest, then the lowest") {
    CHECK(sm::best_threshold(Numbers{0.0, 0.25, 0.5, 0.75}, Classes{0, 1, 0, 1}) == 0.125);
    CHECK(sm::best_threshold(Numbers{0.0, 0.5, 0.75, 1.0}, Classes{0, 1, 0, 1}) == 0.25);
    CHECK(sm::best_threshold(Numbers{0.0, 0.125, 0.25, 1.0}, Classes{0, 1, 0, 1}) == 0.625);
  }
  SECTION("one class only: all or none") {
    const Numbers scores{0.25, 0.75};
    CHECK(sm::best_threshold(scores, Classes{1, 1}) == 0.25);
    CHECK(sm::best_threshold(scores, Classes{0, 0}) > 0.75);
    CHECK(sm::accuracy(scores, Classes{0, 0}, sm::best_threshold(scores, Classes{0, 0})) == 1);
  }
  SECTION("neighbouring numbers have no middle, the threshold still parts them") {
    const double low = 0.5;
    const Numbers scores{low, std::nextafter(low, 1.0)};
    CHECK(sm::accuracy(scores, Classes{0, 1}, sm::best_threshold(scores, Classes{0, 1})) == 1);
  }
}

TEST_CASE("Mean and deviation over runs") {
  const auto summary = sm::summarize(Numbers{1, 2, 4});
  CHECK_THAT(summary.mean, WithinAbs(7.0 / 3, 1e-15));
  CHECK_THAT(summary.deviation, WithinAbs(std::sqrt(7.0 / 3), 1e-15));
  CHECK(summary.n == 3);
  CHECK(sm::summarize(Numbers{0.3}).deviation == 0);
  CHECK_THROWS_AS(sm::summarize(Numbers{}), sm::InvalidArgument);
  CHECK_THROWS_AS(sm::summarize(Numbers{1, std::nan("")}), sm::InvalidArgument);
}

TEST_CASE("The bootstrap interval is that of resampling pairs") {
  for (const auto& expected : golden()) {
    INFO(expected.at("name"));
    const auto scores = expected.at("scores").get<Numbers>();
    const auto labels = expected.at("labels").get<Classes>();
    const auto interval = sm::bootstrap_auroc(scores, labels, {.resamples = 4000, .seed = 1});
    // The quantiles of 4,000 draws are themselves random: some 3 % of the interval's width.
    const Numbers bounds = expected.at("bootstrap_95");
    const double slack = 0.1 * (bounds[1] - bounds[0]);
    CHECK_THAT(interval.low, WithinAbs(bounds[0], slack));
    CHECK_THAT(interval.high, WithinAbs(bounds[1], slack));
  }
  const auto first = golden().front();
  const auto scores = first.at("scores").get<Numbers>();
  const auto labels = first.at("labels").get<Classes>();
  const auto wide = sm::bootstrap_auroc(scores, labels, {.seed = 1});
  const auto again = sm::bootstrap_auroc(scores, labels, {.seed = 1});
  const auto narrow = sm::bootstrap_auroc(scores, labels, {.seed = 1, .level = 0.5});
  CHECK((wide.low == again.low && wide.high == again.high));
  CHECK((wide.low < narrow.low && narrow.low < sm::auroc(scores, labels)));
  CHECK((wide.high > narrow.high && narrow.high > sm::auroc(scores, labels)));
  CHECK(sm::bootstrap_auroc(scores, labels, {.seed = 2}).low != wide.low);
}

TEST_CASE("The bootstrap takes any figure") {
  const auto first = golden().front();
  const auto scores = first.at("scores").get<Numbers>();
  const auto labels = first.at("labels").get<Classes>();
  const auto of_auroc = sm::bootstrap(scores, labels, sm::auroc, {.resamples = 4000, .seed = 1});
  const auto fast = sm::bootstrap_auroc(scores, labels, {.resamples = 4000, .seed = 2});
  const double slack = 0.1 * (fast.high - fast.low);
  CHECK_THAT(of_auroc.low, WithinAbs(fast.low, slack));
  CHECK_THAT(of_auroc.high, WithinAbs(fast.high, slack));

  // Accuracy is a mean of independent samples, so its interval is known: p ± 1.96 √(p (1 − p) / n).
  const auto n = static_cast<double>(scores.size());
  const auto accuracy = sm::accuracy(scores, labels, 0.5), half = 1.96 * std::sqrt(accuracy * (1 - accuracy) / n);
  const auto of_accuracy = sm::bootstrap(
      scores, labels, [](sm::Scores s, sm::Labels y) { return sm::accuracy(s, y, 0.5); }, {.resamples = 4000});
  CHECK_THAT(of_accuracy.low, WithinAbs(accuracy - half, 0.15 * half + 1 / n));
  CHECK_THAT(of_accuracy.high, WithinAbs(accuracy + half, 0.15 * half + 1 / n));

  const auto constant = sm::bootstrap(scores, labels, [](sm::Scores, sm::Labels) { return 0.25; });
  CHECK((constant.low == 0.25 && constant.high == 0.25));
  CHECK_THROWS_AS(sm::bootstrap(scores, labels, [](sm::Scores, sm::Labels) { return std::nan(""); }),
                  sm::InvalidArgument);
  CHECK_THROWS_AS(sm::bootstrap(Numbers{0.1, 0.2}, Classes{1, 1}, sm::auroc), sm::InvalidArgument);
  CHECK_THROWS_AS(sm::bootstrap(scores, labels, sm::auroc, {.resamples = 1}), sm::InvalidArgument);
}

TEST_CASE("Metrics refuse what they cannot judge") {
  const auto refused = [](const Numbers& scores, const Classes& labels, const std::string& why) {
    INFO(why);
    CHECK_THROWS_MATCHES(sm::auroc(scores, labels), sm::InvalidArgument, MessageMatches(ContainsSubstring(why)));
    CHECK_THROWS_MATCHES(sm::roc_curve(scores, labels), sm::InvalidArgument, MessageMatches(ContainsSubstring(why)));
    CHECK_THROWS_MATCHES(sm::bootstrap_auroc(scores, labels), sm::InvalidArgument,
                         MessageMatches(ContainsSubstring(why)));
  };
  refused({0.1, 0.2, 0.3}, {0, 1}, "3 scores and 2 labels");
  refused({}, {}, "no scores");
  refused({0.1, std::nan("")}, {0, 1}, "score 1 is nan");
  refused({0.1, std::numeric_limits<double>::infinity()}, {0, 1}, "score 1 is inf");
  refused({0.1, 0.2}, {0, -1}, "label 1 is -1");
  refused({0.1, 0.2}, {1, 1}, "2 harmful and 0 harmless");
  refused({0.1, 0.2}, {0, 0}, "0 harmful and 2 harmless");
  CHECK_THROWS_AS(sm::accuracy(Numbers{0.1}, Classes{0, 1}, 0.5), sm::InvalidArgument);
  CHECK_THROWS_AS(sm::accuracy(Numbers{0.1}, Classes{0}, std::nan("")), sm::InvalidArgument);
  CHECK_THROWS_AS(sm::average_precision(Numbers{0.1}, Classes{0}), sm::InvalidArgument);
  CHECK_THROWS_AS(sm::precision_recall_curve(Numbers{0.1}, Classes{0}), sm::InvalidArgument);
  CHECK_THROWS_AS(sm::confusion(Numbers{0.1}, Classes{0}, std::nan("")), sm::InvalidArgument);
  CHECK_THROWS_AS(sm::confusion(Numbers{0.1}, Classes{0, 1}, 0.5), sm::InvalidArgument);
  CHECK_THROWS_MATCHES(sm::brier(Numbers{0.1, 1.5}, Classes{0, 1}), sm::InvalidArgument,
                       MessageMatches(ContainsSubstring("probability 1 is 1.5")));
  CHECK_THROWS_MATCHES(sm::brier(Numbers{-0.5}, Classes{0}), sm::InvalidArgument,
                       MessageMatches(ContainsSubstring("probability 0 is -0.5")));
  CHECK_THROWS_AS(sm::best_threshold(Numbers{}, Classes{}), sm::InvalidArgument);
  CHECK_THROWS_AS(sm::bootstrap_auroc(Numbers{0.1, 0.2}, Classes{0, 1}, {.resamples = 1}), sm::InvalidArgument);
  CHECK_THROWS_AS(sm::bootstrap_auroc(Numbers{0.1, 0.2}, Classes{0, 1}, {.level = 1}), sm::InvalidArgument);
}
