// The pieces that the backbones share: attention with all its options, stochastic depth.
#include "nn/layers.hpp"

#include <sslmeme/core/error.hpp>
#include <sslmeme/core/random.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>

#include <cmath>
#include <limits>

#include "close_to.hpp"

namespace sm = sslmeme;
using Catch::Matchers::Message;
using sm::Tensor;
using sm::detail::AttentionOptions;
using sm::test::AllCloseTo;
using sm::test::bf16_rounding;
using sm::test::fp32_gradient;
using sm::test::fp32_rounding;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

struct Heads {
  Tensor q = torch::randn({2, 3, 7, 8}), k = torch::randn({2, 3, 7, 8}), v = torch::randn({2, 3, 7, 8});
};

/// softmax(q kᵀ / √d + bias) in fp64.
Tensor weights_of(const Heads& heads, const Tensor& bias) {
  const auto q = heads.q.to(torch::kDouble), k = heads.k.to(torch::kDouble);
  auto scores = torch::matmul(q, k.transpose(-2, -1)) / std::sqrt(8.0);
  if (bias.defined()) scores = scores + bias.to(torch::kDouble);
  return torch::softmax(scores, -1);
}

Tensor later_tokens() {
  return torch::full({7, 7}, -infinity).triu(1);
}

/// The last two tokens of the second sample are padding.
Tensor padding() {
  auto bias = torch::zeros({2, 1, 1, 7});
  bias[1].narrow(-1, 5, 2).fill_(-infinity);
  return bias;
}

}  // namespace

TEST_CASE("Attention is softmax(q kᵀ / √d) v, with and without its options") {
  const Heads heads;
  const bool biased = GENERATE(false, true), causal = GENERATE(false, true), kept = GENERATE(false, true);
  const bool training = GENERATE(false, true);  // chooses the kernel in bf16
  AttentionOptions options{.bias = biased ? padding() : Tensor{}, .causal = causal, .training = training};
  Tensor weights;
  if (kept) options.weights = &weights;
  auto bias = options.bias;
  if (causal) bias = biased ? bias + later_tokens() : later_tokens();
  const auto expected = weights_of(heads, bias);

  const auto mixed = sm::detail::attention(heads.q, heads.k, heads.v, options);
  CHECK_THAT(mixed, AllCloseTo(torch::matmul(expected, heads.v.to(torch::kDouble)), fp32_rounding));
  if (kept) {
    CHECK(weights.scalar_type() == torch::kFloat);
    CHECK_THAT(weights, AllCloseTo(expected, fp32_rounding));
    CHECK_THAT(weights.sum(-1), AllCloseTo(torch::ones({2, 3, 7}), fp32_rounding));
    CHECK_THAT(torch::matmul(weights, heads.v), AllCloseTo(mixed, fp32_rounding));
  }

  const auto half = [](const Tensor& x) { return x.to(torch::kBFloat16); };
  const auto rounded = sm::detail::attention(half(heads.q), half(heads.k), half(heads.v), options);
  CHECK(rounded.scalar_type() == torch::kBFloat16);
  CHECK_THAT(rounded, AllCloseTo(mixed, bf16_rounding));
  if (kept) {
    CHECK(weights.scalar_type() == torch::kFloat);
    CHECK_THAT(weights, AllCloseTo(expected, bf16_rounding));
  }
}

TEST_CASE("Attention has the same gradients where it keeps its weights") {
  const bool causal = GENERATE(false, true);
  const Heads heads;
  const auto probe = torch::randn({2, 3, 7, 8});
  const auto gradients = [&](bool kept) {
    std::vector<Tensor> inputs;
    for (const auto& x : {heads.q, heads.k, heads.v}) inputs.push_back(x.clone().requires_grad_());
    Tensor weights;
    AttentionOptions options{.causal = causal};
    if (kept) options.weights = &weights;
    (sm::detail::attention(inputs[0], inputs[1], inputs[2], options) * probe).sum().backward();
    for (auto& x : inputs) x = x.grad();
    return inputs;
  };
  const auto fused = gradients(false), plain = gradients(true);
  for (std::size_t i = 0; i < 3; ++i) CHECK_THAT(plain[i], AllCloseTo(fused[i], fp32_gradient));
}

TEST_CASE("Dropout of attention leaves out weights and scales the others, in every path") {
  const auto type = GENERATE(torch::kFloat, torch::kBFloat16);
  const bool kept = GENERATE(false, true);
  const auto q = torch::zeros({4, 8, 16, 16}, type), v = torch::eye(16, type).expand({4, 8, 16, 16});
  Tensor weights;
  AttentionOptions options{.dropout = 0.25, .training = true};
  if (kept) options.weights = &weights;
  const auto mixed = sm::detail::attention(q, q, v, options).to(torch::kFloat);  // with v = 1 these are the weights
  const auto out = mixed == 0;
  CHECK_THAT(mixed.masked_select(out.logical_not()),
             AllCloseTo(torch::full({out.logical_not().sum().item<std::int64_t>()}, 1 / 16.0 / 0.75), {1e-2, 0}));
  CHECK(std::abs(out.to(torch::kFloat).mean().item<double>() - 0.25) < 0.02);  // of 8192: five deviations
  if (kept) CHECK_THAT(weights, AllCloseTo(torch::full({4, 8, 16, 16}, 1 / 16.0), fp32_rounding));  // before dropout
}

TEST_CASE("A residual sum is the same in the branch's memory and out of it") {
  const auto x = torch::randn({3, 4}), branch = torch::randn({3, 4});
  auto own = branch.clone();
  CHECK(torch::equal(sm::detail::residual(x, own), x + branch));
  CHECK(torch::equal(own, x + branch));  // in place
  const auto wanted = branch.clone().requires_grad_();
  CHECK(torch::equal(sm::detail::residual(x, wanted * 1), x + branch));
  CHECK(torch::equal(wanted, branch));
  const auto half = branch.to(torch::kBFloat16);
  CHECK(torch::equal(sm::detail::residual(x, half), x + half));
  CHECK(sm::detail::residual(x, half).scalar_type() == torch::kFloat);
}

TEST_CASE("Stochastic depth leaves out whole samples and scales the others") {
  const auto x = torch::randn({2000, 3, 2}).requires_grad_();
  const double rate = 0.2;
  const auto dropped = sm::detail::drop_path(x, rate, true);
  const auto factors = dropped / x;
  const auto first = factors.select(1, 0).select(1, 0);
  CHECK_THAT(factors, AllCloseTo(first.view({-1, 1, 1}).expand({2000, 3, 2}), fp32_rounding));
  const auto out = first == 0;
  CHECK_THAT(torch::where(out, torch::full_like(first, 1.25), first),
             AllCloseTo(torch::full({2000}, 1.25), fp32_rounding));
  CHECK(std::abs(out.to(torch::kFloat).mean().item<double>() - rate) < 0.045);  // five deviations
  dropped.sum().backward();
  CHECK_THAT(x.grad(), AllCloseTo(factors, fp32_rounding));

  CHECK(sm::detail::drop_path(x, rate, false).is_same(x));
  CHECK(sm::detail::drop_path(x, 0, true).is_same(x));
  const auto draw = [&](std::uint64_t seed) {
    const sm::TorchSeedScope seeded{seed};
    return sm::detail::drop_path(x, rate, true);
  };
  CHECK(torch::equal(draw(1), draw(1)));
  CHECK_FALSE(torch::equal(draw(1), draw(2)));
}

TEST_CASE("The rate of stochastic depth rises linearly from nothing at the first block") {
  CHECK(sm::detail::drop_path_rate(0.3, 0, 4) == 0);
  CHECK(std::abs(sm::detail::drop_path_rate(0.3, 1, 4) - 0.1) < 1e-15);
  CHECK(sm::detail::drop_path_rate(0.3, 3, 4) == 0.3);
  CHECK(sm::detail::drop_path_rate(0.3, 0, 1) == 0);
}

TEST_CASE("Rates are in [0, 1)") {
  CHECK_NOTHROW(sm::detail::require_rate(0, "rate"));
  CHECK_NOTHROW(sm::detail::require_rate(0.999, "rate"));
  CHECK_THROWS_MATCHES(sm::detail::require_rate(1, "Options::rate"), sm::InvalidArgument,
                       Message("Options::rate is 1; it must be in [0, 1)"));
  CHECK_THROWS_AS(sm::detail::require_rate(-0.1, "rate"), sm::InvalidArgument);
  CHECK_THROWS_AS(sm::detail::require_rate(NAN, "rate"), sm::InvalidArgument);
}
