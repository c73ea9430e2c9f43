// Figures of scores and of retrieval are torchmetrics'.
#include <sslmeme/eval/calibration.hpp>
#include <sslmeme/eval/metrics.hpp>
#include <sslmeme/eval/retrieval.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "evaluation_golden.hpp"

namespace sm = sslmeme;
using Catch::Matchers::WithinAbs;

namespace {

constexpr double single = 2e-7;  // torchmetrics computes some of them in fp32

nlohmann::json golden(const std::string& part) {
  return sm::test::json_of(SSLMEME_TEST_DATA "/metrics/torchmetrics.json").at(part);
}

}  // namespace

TEST_CASE("Figures of binary scores are torchmetrics'") {
  for (const auto& of : golden("binary")) {
    const auto scores = of.at("scores").get<std::vector<double>>();
    const auto labels = of.at("labels").get<std::vector<std::int64_t>>();
    INFO(scores.size() << " scores");
    const auto equal = [&](double ours, const char* figure) {
      INFO(figure);
      CHECK_THAT(ours, WithinAbs(of.at(figure).get<double>(), single));
    };
    equal(sm::auroc(scores, labels), "auroc");
    equal(sm::average_precision(scores, labels), "average_precision");
    const auto counts = sm::confusion(scores, labels, 0.5);
    equal(counts.accuracy(), "accuracy");
    equal(counts.precision(), "precision");
    equal(counts.recall(), "recall");
    equal(counts.f1(), "f1");
    for (const auto& [bins, error] : of.at("calibration_error").items()) {
      INFO(bins << " bins");
      CHECK_THAT(sm::expected_calibration_error(scores, labels, std::stoi(bins)),
                 WithinAbs(error.get<double>(), single));
    }
  }
}

TEST_CASE("Recall of retrieval is torchmetrics' hit rate") {
  for (const auto& of : golden("retrieval")) {
    const auto found =
        sm::retrieve(sm::test::matrix(of.at("images")), sm::test::matrix(of.at("texts")), {.k = {1, 5, 10}});
    const auto equal = [&](const sm::Recall& recall, const char* direction) {
      INFO(direction);
      for (const auto i : {0, 1, 2}) {
        const auto k = std::vector<std::string>{"1", "5", "10"}[static_cast<std::size_t>(i)];
        CHECK_THAT(recall.at[static_cast<std::size_t>(i)], WithinAbs(of.at(direction).at(k).get<double>(), single));
      }
    };
    equal(found.image_to_text, "image_to_text");
    equal(found.text_to_image, "text_to_image");
  }
}
