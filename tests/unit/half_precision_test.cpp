// Every loss computes half precision in fp32: what it makes of rounded input is what fp32 makes of it, gradients only
// rounded at the end. Methods see to it that autocast does not round within them.
#include <sslmeme/core/precision.hpp>
#include <sslmeme/method/modality_graph.hpp>
#include <sslmeme/method/retrieval_guided.hpp>
#include <sslmeme/method/siamese.hpp>

#include <catch2/catch_test_macros.hpp>

#include <torch/autograd.h>

#include "close_to.hpp"
#include "every_loss.hpp"
#include "xor_memes.hpp"

namespace sm = sslmeme;
using sm::test::AllCloseTo;
using sm::test::Inputs;

namespace {

/// What a method makes of the same samples with autocast on and off.
template <class M>
void check_under_autocast(const M& method, const sm::NamedTensors& samples) {
  const auto exact = method.compare(samples, {}).total;
  const sm::Autocast autocast{sm::Precision::bf16, torch::kCPU};
  CHECK_THAT(method.compare(samples, {}).total, AllCloseTo(exact, {1e-6, 1e-7}));
}

}  // namespace

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

TEST_CASE("Under autocast methods compare in fp32") {
  const auto a = torch::randn({12, 8}), b = a + torch::randn({12, 8});
  const auto exact = sm::BarlowTwins{}(a, b);
  {  // without a method's care
    const sm::Autocast autocast{sm::Precision::bf16, torch::kCPU};
    CHECK_THAT(sm::BarlowTwins{}(a, b), !AllCloseTo(exact, {1e-6, 1e-7}));
  }
  const auto encoder =
      sm::image_encoder("vit_tiny_patch16_224", {.image_size = 16, .patch_size = 8, .width = 24, .depth = 1});
  const sm::Projection head{.out = 8};
  for (const auto& loss : {sm::AnyPairLoss{sm::VicReg{}}, sm::AnyPairLoss{sm::BarlowTwins{}}}) {
    INFO(loss.name());
    const sm::ModalityGraph graph{sm::node("a", encoder, head), sm::node("b", encoder, head), sm::edge("a", "b", loss)};
    check_under_autocast(graph, {{"node/a", a}, {"node/b", b}});
    check_under_autocast(sm::Siamese{encoder, head, loss}, {{"z0", a}, {"z1", b}});
  }
  const auto words = std::make_shared<sm::test::Words>(sm::test::xor_words()->vocabulary_size());
  const sm::Supervised classifier{std::make_shared<sm::test::Colours>(), words, {.fusion = {.dim = 8}}};
  sm::RetrievalGuided guided{classifier, {.memory = 20}};
  guided.remember(torch::randn({20, 8}), torch::arange(20) % 2, torch::arange(100, 120));
  check_under_autocast(
      guided,
      {{"logits", a.select(1, 0)}, {"embedding", a}, {"labels", torch::arange(12) % 2}, {"ids", torch::arange(12)}});
}
