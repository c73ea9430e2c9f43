#include <sslmeme/core/error.hpp>
#include <sslmeme/eval/calibration.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "evaluation_golden.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using Catch::Matchers::WithinAbs;
using Catch::Matchers::WithinRel;
namespace sm = sslmeme;

namespace {

using Numbers = std::vector<double>;
using Classes = std::vector<std::int64_t>;

struct Fitted {
  Numbers logits;
  Classes labels;
  sm::TemperatureScaling scaling;
};

Fitted fitted() {
  const auto golden = sm::test::evaluation_golden("calibration");
  const auto logits = golden.at("logits").get<Numbers>();
  const auto labels = golden.at("labels").get<Classes>();
  // [calibration]
  const auto scaling = sm::fit_temperature(logits, labels);  // of a dev split
  const auto probabilities = scaling.apply(logits);
  const double error = sm::expected_calibration_error(probabilities, labels);
  // [/calibration]
  CHECK(error < sm::expected_calibration_error(sm::TemperatureScaling{}.apply(logits), labels));
  return {logits, labels, scaling};
}

}  // namespace

TEST_CASE("The calibration error is that of its definition, for any number of bins") {
  const auto golden = sm::test::evaluation_golden("calibration");
  const auto p = golden.at("probabilities").get<Numbers>();  // two digits: many lie on an edge
  const auto labels = golden.at("labels").get<Classes>();
  for (const auto& [bins, expected] : golden.at("error").items()) {
    INFO(bins << " bins");
    CHECK_THAT(sm::expected_calibration_error(p, labels, std::stoi(bins)), WithinAbs(expected, 1e-14));
  }
  CHECK(sm::expected_calibration_error(p, labels) == sm::expected_calibration_error(p, labels, 15));
}

TEST_CASE("Bins are open below and closed above, and the first has 0") {
  const auto bins = sm::reliability_bins(Numbers{0, 0.25, 0.2500001, 0.5, 1}, Classes{1, 0, 1, 1, 0}, 4);
  REQUIRE(bins.size() == 4);
  CHECK((bins[0].low == 0 && bins[0].high == 0.25 && bins[3].high == 1));
  CHECK((bins[0].n == 2 && bins[1].n == 2 && bins[2].n == 0 && bins[3].n == 1));
  CHECK((bins[0].mean_probability == 0.125 && bins[0].harmful == 0.5));
  CHECK((bins[2].mean_probability == 0 && bins[2].harmful == 0));
  CHECK((bins[3].mean_probability == 1 && bins[3].harmful == 0));
  SECTION("an edge of any division is in the lower bin, though its product is rounded") {
    for (std::int64_t n = 1; n < 60; ++n) {
      for (std::int64_t b = 1; b <= n; ++b) {
        const double edge = static_cast<double>(b) / static_cast<double>(n);
        CHECK(sm::reliability_bins(Numbers{edge}, Classes{0}, n)[static_cast<std::size_t>(b - 1)].n == 1);
        if (b == n) continue;
        const double above = std::nextafter(edge, 1.0);
        CHECK(sm::reliability_bins(Numbers{above}, Classes{0}, n)[static_cast<std::size_t>(b)].n == 1);
      }
    }
  }
}

TEST_CASE("Probabilities that mean what they say have no error") {
  CHECK(sm::expected_calibration_error(Numbers{0.25, 0.25, 0.25, 0.25}, Classes{0, 1, 0, 0}) == 0);
  CHECK(sm::expected_calibration_error(Numbers{1, 0}, Classes{0, 1}) == 1);
}

TEST_CASE("The temperature is that of SciPy's root") {
  const auto golden = sm::test::evaluation_golden("calibration");
  const auto scaling = fitted().scaling;
  CHECK_THAT(scaling.temperature, WithinRel(golden.at("temperature").get<double>(), 1e-10));
  CHECK_THAT(scaling.nll_before, WithinAbs(golden.at("nll_before"), 1e-13));
  CHECK_THAT(scaling.nll, WithinAbs(golden.at("nll"), 1e-13));
}

TEST_CASE("A temperature scales with the logits and leaves their order") {
  const auto [logits, labels, scaling] = fitted();
  for (const double factor : {1e-200, 1e-3, 50.0, 1e200}) {
    auto scaled = logits;
    for (auto& z : scaled) z *= factor;
    CHECK_THAT(sm::fit_temperature(scaled, labels).temperature, WithinRel(scaling.temperature * factor, 1e-9));
  }
  const auto p = scaling.apply(logits);
  CHECK(p[3] == scaling.apply(logits[3]));
  CHECK_THAT(p[3], WithinRel(1 / (1 + std::exp(-logits[3] / scaling.temperature)), 1e-14));
  CHECK_THAT(sm::auroc(p, labels), WithinAbs(sm::auroc(logits, labels), 1e-14));
  CHECK((scaling.apply(-1e308) == 0 && scaling.apply(1e308) == 1));
}

TEST_CASE("Logits that are nearly parted still have their temperature") {
  Numbers logits{-1e-3};  // the one error, a small one
  Classes labels{1};
  for (int i = 1; i < 200; ++i) {
    logits.push_back(i % 2 == 0 ? i : -i);
    labels.push_back(i % 2 == 0 ? 1 : 0);
  }
  const auto scaling = sm::fit_temperature(logits, labels);
  const auto nll = [&](double t) {
    double sum = 0;
    for (std::size_t i = 0; i < logits.size(); ++i)
      sum += std::log1p(std::exp((labels[i] == 1 ? -1 : 1) * logits[i] / t));
    return sum;
  };
  CHECK(scaling.temperature < 0.5);
  CHECK(nll(scaling.temperature) < nll(1.01 * scaling.temperature));
  CHECK(nll(scaling.temperature) < nll(0.99 * scaling.temperature));
}

TEST_CASE("What cannot be calibrated is refused") {
  const auto refused = [](const std::string& why, auto call) {
    INFO(why);
    CHECK_THROWS_MATCHES(call(), sm::InvalidArgument, MessageMatches(ContainsSubstring(why)));
  };
  refused("probability 1 is 1.01", [] { return sm::expected_calibration_error(Numbers{0.1, 1.01}, Classes{0, 1}); });
  refused("score 0 is nan", [] { return sm::expected_calibration_error(Numbers{NAN}, Classes{0}); });
  refused("no scores", [] { return sm::expected_calibration_error(Numbers{}, Classes{}); });
  refused("2 scores and 1 labels", [] { return sm::reliability_bins(Numbers{0.1, 0.2}, Classes{0}); });
  refused("bins is 0", [] { return sm::reliability_bins(Numbers{0.1}, Classes{0}, 0); });
  refused("score 0 is inf", [] { return sm::fit_temperature(Numbers{INFINITY, 1}, Classes{0, 1}); });
  refused("2 harmful and 0 harmless", [] { return sm::fit_temperature(Numbers{1, 2}, Classes{1, 1}); });
  refused("the best temperature is 0", [] { return sm::fit_temperature(Numbers{-1, 2, 0}, Classes{0, 1, 1}); });
  refused("no more than a constant", [] { return sm::fit_temperature(Numbers{-1, 2}, Classes{1, 0}); });
  refused("no more than a constant", [] { return sm::fit_temperature(Numbers{0, 0}, Classes{1, 0}); });
}
