#include <sslmeme/core/error.hpp>
#include <sslmeme/train/monitor.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <string>
#include <vector>

#include "evaluation_golden.hpp"

namespace sm = sslmeme;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::Message;
using Catch::Matchers::WithinAbs;

TEST_CASE("Random vectors are healthy") {
  torch::manual_seed(1);
  for (const auto& [n, d] : {std::pair{400, 32}, std::pair{32, 256}, std::pair{16, 8}}) {
    const auto health = sm::measure_features("cnn", torch::randn({n, d}));
    INFO(n << " × " << d);
    CHECK(health.name == "cnn");
    CHECK_THAT(health.deviation, WithinAbs(1, 0.1));
    CHECK(health.effective_rank > 0.7 * std::min(n - 1, d));
    CHECK(health.effective_rank <= std::min(n, d));
    CHECK(health.warning.empty());
  }
}

TEST_CASE("Deviation and effective rank are those of NumPy") {
  const auto golden = sm::test::evaluation_golden("spread");
  const auto health = sm::measure_features("z", sm::test::matrix(golden.at("features")).to(torch::kFloat));
  CHECK_THAT(health.deviation, WithinAbs(golden.at("deviation"), 1e-6));
  CHECK_THAT(health.effective_rank, WithinAbs(golden.at("effective_rank"), 1e-5));
}

TEST_CASE("Directions that are exactly orthonormal have full effective rank") {
  const auto z = torch::cat({torch::eye(4), -torch::eye(4)});
  const auto health = sm::measure_features("z", 7 * z);  // lengths do not count
  CHECK_THAT(health.effective_rank, WithinAbs(4, 1e-4));
  CHECK_THAT(health.deviation, WithinAbs(2 * std::sqrt(2.0 / 7), 1e-5));
}

TEST_CASE("A constant output is flagged") {
  const auto constant = torch::randn({1, 16}).expand({32, 16});
  const auto exact = sm::measure_features("vit", constant);
  CHECK_THAT(exact.deviation, WithinAbs(0, 1e-5));
  CHECK(exact.effective_rank < 2);
  CHECK_THAT(exact.warning, ContainsSubstring("vit has collapsed"));
  const auto nearly = sm::measure_features("vit", constant + 1e-3 * torch::randn({32, 16}));
  CHECK_THAT(nearly.warning, ContainsSubstring("vit has collapsed"));
  CHECK_THAT(sm::measure_features("z", torch::zeros({8, 4})).warning, ContainsSubstring("collapsed"));
}

TEST_CASE("Vectors on a line are flagged") {
  torch::manual_seed(2);
  const auto line = torch::randn({64, 1}) * torch::randn({1, 16});
  const auto health = sm::measure_features("text", line);
  CHECK(health.deviation > 0.5);
  CHECK_THAT(health.effective_rank, WithinAbs(1, 0.05));
  CHECK_THAT(health.warning, ContainsSubstring("text is collapsing"));
}

TEST_CASE("bf16 features with gradient can be measured") {
  const auto z = torch::randn({16, 8}).to(torch::kBFloat16).requires_grad_();
  CHECK(sm::measure_features("z", z).warning.empty());
}

TEST_CASE("A teacher that says nothing or always the same is flagged, once it had time to learn") {
  const auto warning = [](double share, double done, const sm::FeatureHealth& of = {.name = "teacher"}) {
    std::vector<sm::FeatureHealth> health{{.name = "student"}, of};
    sm::judge_teacher(health, {{"loss", 3.0}, {"teacher_entropy_share", share}}, done);
    CHECK(health[0].warning.empty());
    return health[1].warning;
  };
  CHECK(warning(0.999, 0.5) == "teacher says nothing: entropy 0.999 of ln K; lower its temperature");
  CHECK(warning(0.001, 0.5) == "teacher always says the same: entropy 0.001 of ln K; raise its temperature");
  for (const auto share : {0.02, 0.5, 0.98}) CHECK(warning(share, 1).empty());
  for (const auto share : {0.001, 0.999}) CHECK(warning(share, 0.1).empty());
  CHECK(warning(0.999, 1, {.name = "teacher", .warning = "teacher has collapsed"}) == "teacher has collapsed");
  CHECK(warning(0.999, 1, {.name = "image"}).empty());

  std::vector<sm::FeatureHealth> health{{.name = "teacher"}};
  sm::judge_teacher(health, {{"loss", 0.0}}, 1);  // a method without prototypes
  CHECK(health[0].warning.empty());
}

TEST_CASE("One vector tells nothing") {
  CHECK_THROWS_MATCHES(sm::measure_features("z", torch::zeros({1, 4})), sm::InvalidArgument,
                       Message("features of \"z\" are (1, 4); measuring them needs (N, d) with N of at least 2"));
  CHECK_THROWS_AS(sm::measure_features("z", torch::zeros({4})), sm::InvalidArgument);
}
