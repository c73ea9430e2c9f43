// The loss of docs/extend/loss.md keeps the contract of pair losses, and the check finds it out where one does not.
#include "align_uniform.hpp"

#include <sslmeme/testing/loss_contract.hpp>

#include <catch2/catch_test_macros.hpp>

#include <span>

// [test]
TEST_CASE("AlignUniform keeps the contract of pair losses") {
  CHECK(sm::testing::check_pair_loss(AlignUniform{}, {.scale_invariant = true}));
}
// [/test]

// [labels]
TEST_CASE("A loss of labels keeps the contract") {
  const auto hinge = [](std::span<const sm::Tensor> x) { return torch::relu(1 - x[0] * (2 * x[1] - 1)).mean(); };
  CHECK(sm::testing::check_loss(hinge, {{.name = "logits", .value = torch::randn({8})},
                                        {.name = "labels", .value = torch::arange(8) % 2, .learns = false}}));
}
// [/labels]

TEST_CASE("A claim that is not true is told") {
  CHECK_FALSE(sm::testing::check_pair_loss(AlignUniform{}, {.symmetric = true, .scale_invariant = true}));
}
