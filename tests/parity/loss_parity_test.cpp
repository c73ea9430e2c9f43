// Our losses against the published formulas (scripts/golden/losses.py).
#include <sslmeme/loss/cosine.hpp>
#include <sslmeme/loss/info_nce.hpp>
#include <sslmeme/nn/safetensors.hpp>

#include <catch2/catch_test_macros.hpp>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "close_to.hpp"
#include "state.hpp"

namespace sm = sslmeme;
using sm::Tensor;
using sm::test::AllCloseTo;
using sm::test::Tolerance;

namespace {

std::map<std::string, Tensor> golden() {
  return sm::test::by_name(sm::read_safetensors(SSLMEME_TEST_DATA "/parity/losses.safetensors").tensors);
}

const std::vector<std::string> cases{"small", "wide",         "tall",     "one_pair",     "one_dimension", "duplicates",
                                     "equal", "all_the_same", "opposite", "large_logits", "long_vectors"};

/// An InfoNce whose scale is exactly the golden one, in the type of the vectors.
sm::InfoNce info_nce(const Tensor& log_scale, torch::ScalarType type) {
  sm::InfoNce loss;
  const auto module = loss.module();
  module->to(type);
  const torch::NoGradGuard no_grad;
  module->named_parameters()["log_scale"].copy_(log_scale);
  return loss;
}

template <class L>
void check(const L& loss, const std::string& name, const std::string& key, torch::ScalarType type,
           Tolerance tolerance) {
  const auto expected = golden();
  const auto at = [&](const std::string& what) { return expected.at(name + "/" + key + "/" + what); };
  const auto a = expected.at(name + "/a").to(type).requires_grad_();
  const auto b = expected.at(name + "/b").to(type).requires_grad_();
  const auto value = loss(a, b);
  CHECK(value.scalar_type() == type);
  CHECK_THAT(value, AllCloseTo(at("value"), tolerance));
  value.backward();
  // A gradient is a difference of terms of the order scale / (N · ‖z‖), and as exact as they are.
  const auto scale = key == "cosine" ? 1.0 : std::exp(expected.at(name + "/log_scale").item<double>());
  const auto compare = [&](const Tensor& z, const char* gradient) {
    const auto terms = scale / (static_cast<double>(z.size(0)) * z.detach().norm(2, 1).min().item<double>());
    CHECK_THAT(z.grad(), AllCloseTo(at(gradient), {tolerance.relative, tolerance.relative * terms}));
  };
  compare(a, "grad_a");
  compare(b, "grad_b");
}

}  // namespace

TEST_CASE("CosineLoss is the loss of CASS") {
  for (const auto& name : cases) {
    INFO(name);
    check(sm::CosineLoss{}, name, "cosine", torch::kDouble, {1e-10, 1e-12});
    check(sm::CosineLoss{}, name, "cosine", torch::kFloat, {1e-5, 1e-6});
  }
}

TEST_CASE("InfoNce is the loss of open_clip, learned scale included") {
  for (const auto& name : cases) {
    INFO(name);
    for (const auto& [type, tolerance] :
         {std::pair{torch::kDouble, Tolerance{1e-10, 1e-12}}, std::pair{torch::kFloat, Tolerance{1e-5, 1e-5}}}) {
      const auto loss = info_nce(golden().at(name + "/log_scale"), type);
      check(loss, name, "info_nce", type, tolerance);
      CHECK_THAT(loss.module()->named_parameters()["log_scale"].grad(),
                 AllCloseTo(golden().at(name + "/info_nce/grad_log_scale"), tolerance));
    }
  }
}

TEST_CASE("A fixed temperature gives the same loss as a learned one of that value") {
  const auto expected = golden();
  const sm::InfoNce loss{{.temperature = 0.2, .learned = false}};
  CHECK(loss.module() == nullptr);
  CHECK_THAT(loss(expected.at("tall/a"), expected.at("tall/b")),
             AllCloseTo(expected.at("tall/info_nce/value"), {1e-10, 1e-12}));
}

TEST_CASE("Zero vectors count as cosine 0, get no gradient and leave the others theirs") {
  const auto expected = golden();
  const auto check_zeros = [&](const auto& loss, const std::string& key, torch::ScalarType type, Tolerance tolerance) {
    const auto a = expected.at("zeros/a").to(type).clone().requires_grad_(),
               b = expected.at("zeros/b").to(type).clone().requires_grad_();
    const auto value = loss(a, b);
    CHECK_THAT(value, AllCloseTo(expected.at("zeros/" + key + "/value"), tolerance));
    value.backward();
    const auto compare = [&](const Tensor& gradient, const char* name, std::int64_t zero,
                             const std::vector<std::int64_t>& others) {
      const auto rows = torch::tensor(others);
      CHECK(gradient[zero].count_nonzero().item<int>() == 0);
      CHECK_THAT(gradient.index_select(0, rows),
                 AllCloseTo(expected.at("zeros/" + key + "/" + name).index_select(0, rows), tolerance));
    };
    compare(a.grad(), "grad_a", 1, {0, 2, 3});
    compare(b.grad(), "grad_b", 2, {0, 1, 3});
  };
  for (const auto& [type, tolerance] : {std::pair{torch::kDouble, Tolerance{1e-10, 1e-12, 1e-10}},
                                        std::pair{torch::kFloat, Tolerance{1e-5, 1e-6, 1e-5}}}) {
    check_zeros(sm::CosineLoss{}, "cosine", type, tolerance);
    const auto contrast = info_nce(expected.at("zeros/log_scale"), type);
    check_zeros(contrast, "info_nce", type, tolerance);
    CHECK_THAT(contrast.module()->named_parameters()["log_scale"].grad(),
               AllCloseTo(expected.at("zeros/info_nce/grad_log_scale"), tolerance));
  }
}

TEST_CASE("bf16 vectors are compared in fp32") {
  const auto expected = golden();
  for (const auto& name : cases) {
    INFO(name);
    const auto a = expected.at(name + "/a").to(torch::kBFloat16), b = expected.at(name + "/b").to(torch::kBFloat16);
    const auto loss = info_nce(expected.at(name + "/log_scale"), torch::kFloat);
    CHECK(sm::CosineLoss{}(a, b).scalar_type() == torch::kFloat);
    CHECK(loss(a, b).scalar_type() == torch::kFloat);
    // The only error is that of rounding the inputs once, so the result is that of the rounded vectors in fp32.
    CHECK(torch::equal(sm::CosineLoss{}(a, b), sm::CosineLoss{}(a.to(torch::kFloat), b.to(torch::kFloat))));
    CHECK(torch::equal(loss(a, b), loss(a.to(torch::kFloat), b.to(torch::kFloat))));
    CHECK_THAT(sm::CosineLoss{}(a, b), AllCloseTo(expected.at(name + "/cosine/value"), sm::test::bf16_rounding));
  }
}
