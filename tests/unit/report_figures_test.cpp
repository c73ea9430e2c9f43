#include <sslmeme/core/error.hpp>
#include <sslmeme/eval/report_figures.hpp>

#include "eval/report_chart.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <cmath>
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
namespace sm = sslmeme;

namespace {

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++n;
  return n;
}

const std::vector<double> logits{-3, -1, -0.5, 0.25, 1, 4};
const std::vector<std::int64_t> labels{0, 1, 0, 0, 1, 1};

}  // namespace

TEST_CASE("Calibration is that of the logits before and after the temperature") {
  const auto series = sm::calibration_series("both", logits, labels, 2.0, 0.4, 10);
  const auto before = sm::TemperatureScaling{}.apply(logits);
  const auto after = sm::TemperatureScaling{.temperature = 2}.apply(logits);
  CHECK(series.error_before == sm::expected_calibration_error(before, labels, 10));
  CHECK(series.error_after == sm::expected_calibration_error(after, labels, 10));
  CHECK(series.error_before != series.error_after);
  REQUIRE((series.before.size() == 10 && series.after.size() == 10));
  REQUIRE((series.harmful.size() == 20 && series.harmless.size() == 20));
  CHECK(std::accumulate(series.harmful.begin(), series.harmful.end(), 0) == 3);
  CHECK(std::accumulate(series.harmless.begin(), series.harmless.end(), 0) == 3);
  CHECK(series.harmful[static_cast<std::size_t>(20 * after[5])] == 1);
  CHECK(sm::calibration_series("", std::vector<double>{-90, 90}, std::vector<std::int64_t>{0, 1}, 1).harmful.back() ==
        1);
  CHECK_THROWS_MATCHES(sm::calibration_series("both", logits, labels, 0), sm::InvalidArgument,
                       MessageMatches(ContainsSubstring("temperature of \"both\" is 0")));
}

TEST_CASE("Counts at each threshold, and at the tuned one in its place") {
  const std::vector<double> scores{0, 0.2, 0.333, 0.5, 1, 0.9};
  const auto series = sm::threshold_series("both", scores, labels, 0.333);
  REQUIRE(series.thresholds.size() == 102);
  CHECK(series.thresholds[series.tuned] == 0.333);
  CHECK((series.thresholds[33] == 0.33 && series.thresholds[35] == 0.34 && series.thresholds.back() == 1));
  for (std::size_t i = 0; i < series.thresholds.size(); ++i) {
    const auto counts = sm::confusion(scores, labels, series.thresholds[i]);
    CHECK((series.counts[i].tp == counts.tp && series.counts[i].fp == counts.fp && series.counts[i].tn == counts.tn &&
           series.counts[i].fn == counts.fn));
  }
  CHECK(sm::threshold_series("", scores, labels, 0.5).thresholds.size() == 101);
  const auto none = sm::threshold_series("", scores, labels, std::nextafter(1.0, 2.0));  // as best_threshold() has it
  CHECK((none.tuned == 101 && none.counts.back().tp + none.counts.back().fp == 0));
  CHECK_THROWS_MATCHES(sm::threshold_series("both", logits, labels, 0.5), sm::InvalidArgument,
                       MessageMatches(ContainsSubstring("score 0 of \"both\" is -3")));
  CHECK_THROWS_AS(sm::threshold_series("both", scores, labels, 1.5), sm::InvalidArgument);
}

TEST_CASE("Each pair of models is tested once") {
  const std::vector<std::vector<double>> scores{logits, {1, 2, 3, 4, 5, 6}, {6, 5, 4, 3, 2, 1}};
  const auto tests = sm::pairwise_tests({"a", "b", "c"}, scores, labels);
  REQUIRE(tests.pairs.size() == 3);
  CHECK((tests.pairs[1].a == 0 && tests.pairs[1].b == 2));
  const auto direct = sm::delong_test(scores[0], scores[2], labels);
  CHECK((tests.pairs[1].test.p == direct.p && tests.pairs[1].test.auroc_a == direct.auroc_a));
  CHECK_THROWS_AS(sm::pairwise_tests({"a", "b"}, scores, labels), sm::InvalidArgument);
}

TEST_CASE("Ticks are round and cover the data") {
  using Numbers = std::vector<double>;
  CHECK(sm::detail::round_ticks(0, 1, 5) == Numbers{0, 0.2, 0.4, 0.6000000000000001, 0.8, 1});
  CHECK(sm::detail::round_ticks(1, 30, 6) == Numbers{0, 5, 10, 15, 20, 25, 30});
  CHECK(sm::detail::round_ticks(-0.03, 4.1, 4) == Numbers{-2, 0, 2, 4, 6});
  CHECK(sm::detail::round_ticks(5, 5, 4).size() >= 2);
  CHECK(sm::detail::round_ticks(0, 0, 4).size() >= 2);
}

TEST_CASE("A chart draws each line from its values") {
  const std::vector<sm::detail::ChartLine> lines{{"a", {0, 0.5, 1}, {0, 1, 1}, ""},
                                                 {"b", {0, 0.5, 1}, {0, NAN, 1}, ""}};
  const auto svg = sm::detail::svg_chart({"label", "x", "y", true}, lines);
  CHECK_THAT(svg, ContainsSubstring("<g class=\"s0\"><path class=\"line\" d=\"M46.0 364.0L216.0 24.0L386.0 24.0\"/>"));
  CHECK_THAT(svg, ContainsSubstring("d=\"M46.0 364.0M386.0 24.0\""));
  CHECK_THAT(svg, ContainsSubstring("<title>a: x 0.5, y 1</title>"));
  SECTION("nothing to draw is no reason to fail") {
    CHECK(count(sm::detail::svg_chart({"label", "x", "y"}, {}), "nan") == 0);
    CHECK(count(sm::detail::svg_chart({.label = "label", .x_label = "x", .y_label = "y", .log_x = true}, {}), "nan") ==
          0);
    const std::vector<sm::detail::ChartLine> point{{"a", {3}, {2}, ""}};
    CHECK(count(sm::detail::svg_chart({"label", "x", "y"}, point), "nan") == 0);
  }
}

TEST_CASE("A chart has bars of deviation, a shade about a line, and a logarithmic axis") {
  const std::vector<sm::detail::ChartLine> lines{
      {.name = "a", .x = {10, 100, 1000}, .y = {0, 0.5, 1}, .deviation = {0, 0.25, 0}}};
  const auto svg = sm::detail::svg_chart({.label = "label", .x_label = "x", .y_label = "y", .log_x = true}, lines);
  CHECK_THAT(svg, ContainsSubstring("d=\"M46.0 220.0L216.0 122.0L386.0 24.0\""));  // 100 in the middle
  CHECK_THAT(svg,
             ContainsSubstring("<path class=\"bars\" d=\"M216.0 171.0V73.0M213.0 171.0H219.0M213.0 73.0H219.0\"/>"));
  CHECK_THAT(svg, ContainsSubstring(">1000</text>"));
  CHECK_THAT(svg, ContainsSubstring("<title>a: x 100, y 0.5 ± 0.25</title>"));

  const std::vector<sm::detail::ChartLine> shaded{
      {.name = "a", .x = {0, 1}, .y = {0.5, 0.5}, .band = {{0, 1}, {0.25, 0.25}, {0.75, 0.5}}}};
  const auto square = sm::detail::svg_chart(
      {.label = "label", .x_label = "x", .y_label = "y", .unit_square = true, .guides = {0.5}}, shaded);
  CHECK_THAT(square, ContainsSubstring("<path class=\"band\" d=\"M46.0 109.0L386.0 194.0L386.0 279.0L46.0 279.0Z\"/>"));
  CHECK_THAT(square, ContainsSubstring("<path class=\"chance\" d=\"M46.0 194.0H386.0\"/>"));
}
