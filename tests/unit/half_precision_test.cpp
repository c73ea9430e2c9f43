// Every loss computes half precision in fp32: what it makes of rounded input is what fp32 makes of it, gradients only
// rounded at the end.
#include <catch2/catch_test_macros.hpp>

#include <torch/autograd.h>

#include "close_to.hpp"
#include "every_loss.hpp"

namespace sm = sslmeme;
using sm::test::AllCloseTo;
using sm::test::Inputs;

TEST_CASE("Losses of bf16 and fp16 are those of fp32 on the rounded input, gradients too") {
  for (const auto& [name, inputs, loss, module] : sm::test::every_loss()) {
    for (const auto type : {torch::kBFloat16, torch::kHalf}) {
      INFO(name << ' ' << type);
      Inputs half, full;
      for (const auto& x : inputs) {
        half.push_back(x.detach().to(type).requires_grad_());
        full.push_back(half.back().detach().to(torch::kFloat).requires_grad_());
      }
      const auto of_half = loss(half), of_full = loss(full);
      CHECK(of_half.scalar_type() == torch::kFloat);
      CHECK_THAT(of_half, AllCloseTo(of_full, {1e-6, 1e-7}));
      const auto gradients = torch::autograd::grad({of_half}, half, {}, {}, false, /*allow_unused=*/true);
      const auto expected = torch::autograd::grad({of_full}, full, {}, {}, false, true);
      for (std::size_t i = 0; i < half.size(); ++i) {
        INFO("input " << i);
        REQUIRE(gradients[i].defined() == expected[i].defined());
        if (!gradients[i].defined()) continue;
        CHECK(gradients[i].scalar_type() == type);
        const auto unit = type == torch::kHalf ? 1e-3 : 8e-3;  // one rounding
        CHECK_THAT(gradients[i], AllCloseTo(expected[i], {unit, 1e-7, 1e-6}));
      }
    }
  }
}
