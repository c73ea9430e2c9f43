// Every loss computes half precision in fp32: what it makes of rounded input is what fp32 makes of it, gradients only
// rounded at the end.
#include <sslmeme/loss/any_pair_loss.hpp>
#include <sslmeme/loss/barlow_twins.hpp>
#include <sslmeme/loss/cosine.hpp>
#include <sslmeme/loss/dino.hpp>
#include <sslmeme/loss/info_nce.hpp>
#include <sslmeme/loss/koleo.hpp>
#include <sslmeme/loss/label_losses.hpp>
#include <sslmeme/loss/moco.hpp>
#include <sslmeme/loss/nt_xent.hpp>
#include <sslmeme/loss/predictive.hpp>
#include <sslmeme/loss/retrieval_guided.hpp>
#include <sslmeme/loss/sigmoid.hpp>
#include <sslmeme/loss/soft_target_clip.hpp>
#include <sslmeme/loss/supervised_contrastive.hpp>
#include <sslmeme/loss/swav.hpp>
#include <sslmeme/loss/vicreg.hpp>

#include <catch2/catch_test_macros.hpp>

#include <torch/autograd.h>

#include <functional>
#include <string>
#include <vector>

#include "close_to.hpp"

namespace sm = sslmeme;
using sm::Tensor;
using sm::test::AllCloseTo;

namespace {

using Inputs = std::vector<Tensor>;

struct Case {
  std::string name;
  Inputs inputs;  ///< fp32
  std::function<Tensor(const Inputs&)> loss;
};

std::vector<Case> cases() {
  std::vector<Case> all;
  const Inputs pair{torch::randn({12, 8}), torch::randn({12, 8})};
  const auto of_pair = [&](const sm::AnyPairLoss& loss) {
    all.push_back({loss.name(), pair, [loss](const Inputs& x) { return loss(x[0], x[1]).total; }});
  };
  of_pair(sm::CosineLoss{});
  of_pair(sm::InfoNce{});
  of_pair(sm::NtXent{});
  of_pair(sm::SigmoidLoss{});
  of_pair(sm::SoftTargetClip{});
  of_pair(sm::ByolLoss{});
  of_pair(sm::SimSiamLoss{});
  of_pair(sm::MocoLoss{{.queue = 24, .dim = 8}});
  of_pair(sm::MocoV3Loss{});
  of_pair(sm::BarlowTwins{});
  of_pair(sm::VicReg{});
  of_pair(sm::KoLeo{});
  of_pair(sm::Predicted{sm::CosineLoss{}, {.dim = 8}});
  of_pair(sm::StopGradient{sm::InfoNce{}});
  const auto labels = torch::arange(12) % 2, classes = torch::arange(12) % 8;
  all.push_back({"sup_con", {pair[0]}, [=](const Inputs& x) { return sm::SupCon{}(x[0], labels); }});
  all.push_back(
      {"bce", {pair[0].select(1, 0)}, [=](const Inputs& x) { return sm::BinaryCrossEntropy{}(x[0], labels); }});
  all.push_back({"focal", {pair[0].select(1, 0)}, [=](const Inputs& x) { return sm::FocalLoss{}(x[0], labels); }});
  all.push_back({"cross_entropy", {pair[0]}, [=](const Inputs& x) { return sm::CrossEntropy{}(x[0], classes); }});
  const auto found = torch::randn({12, 2, 8});
  for (const auto& loss : {sm::RetrievalGuidedLoss{}, sm::retrieval_guided_reference()}) {
    all.push_back({"rgcl", {pair[0]}, [=](const Inputs& x) { return loss(x[0], labels, {found, -found}); }});
  }
  all.push_back({"swav", {pair[0].tanh(), pair[1].tanh()}, [](const Inputs& x) { return sm::SwavLoss{}(x, 2); }});
  const sm::DinoLoss dino{{.prototypes = 8}};
  all.push_back({"dino", {torch::randn({4, 3, 8}), torch::randn({2, 3, 8})}, [dino](const Inputs& x) {
                   return dino(x[0], x[1]).total;
                 }});
  return all;
}

}  // namespace

TEST_CASE("Losses of bf16 and fp16 are those of fp32 on the rounded input, gradients too") {
  for (const auto& [name, inputs, loss] : cases()) {
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
