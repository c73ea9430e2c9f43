// The loss of docs/extend/loss.md keeps the contract of pair losses, and the check finds it out where one does not.
#include "align_uniform.hpp"

#include <sslmeme/testing/loss_contract.hpp>

#include <catch2/catch_test_macros.hpp>

// [test]
TEST_CASE("AlignUniform keeps the contract of pair losses") {
  CHECK(sm::testing::check_pair_loss(AlignUniform{}, {.scale_invariant = true}));
}
// [/test]

TEST_CASE("A claim that is not true is told") {
  CHECK_FALSE(sm::testing::check_pair_loss(AlignUniform{}, {.symmetric = true, .scale_invariant = true}));
}
