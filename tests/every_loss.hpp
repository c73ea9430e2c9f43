// Every loss that is shipped, as a function of its inputs.
#pragma once

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

#include <torch/nn/module.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace sslmeme::test {

using Inputs = std::vector<Tensor>;

struct LossCase {
  std::string name;
  Inputs inputs;  ///< fp32
  std::function<Tensor(const Inputs&)> loss;
  std::shared_ptr<torch::nn::Module> module = nullptr;  ///< the loss's own, if it has state
};

/// On inputs drawn from LibTorch's generator.
inline std::vector<LossCase> every_loss() {
  std::vector<LossCase> all;
  const Inputs pair{torch::randn({12, 8}), torch::randn({12, 8})};
  const auto of_pair = [&](const AnyPairLoss& loss) {
    all.push_back({loss.name(), pair, [loss](const Inputs& x) { return loss(x[0], x[1]).total; }, loss.module()});
  };
  of_pair(CosineLoss{});
  of_pair(InfoNce{});
  of_pair(NtXent{});
  of_pair(SigmoidLoss{});
  of_pair(SoftTargetClip{});
  of_pair(ByolLoss{});
  of_pair(SimSiamLoss{});
  of_pair(MocoLoss{{.queue = 24, .dim = 8}});
  of_pair(MocoV3Loss{});
  of_pair(BarlowTwins{});
  of_pair(VicReg{});
  of_pair(KoLeo{});
  of_pair(Predicted{CosineLoss{}, {.dim = 8}});
  of_pair(StopGradient{InfoNce{}});
  const auto of = [](const Tensor& t, const Tensor& x) { return t.to(x.device()); };
  const auto labels = torch::arange(12) % 2, classes = torch::arange(12) % 8;
  all.push_back({"sup_con", {pair[0]}, [=](const Inputs& x) { return SupCon{}(x[0], of(labels, x[0])); }});
  all.push_back(
      {"bce", {pair[0].select(1, 0)}, [=](const Inputs& x) { return BinaryCrossEntropy{}(x[0], of(labels, x[0])); }});
  all.push_back(
      {"focal", {pair[0].select(1, 0)}, [=](const Inputs& x) { return FocalLoss{}(x[0], of(labels, x[0])); }});
  all.push_back({"cross_entropy", {pair[0]}, [=](const Inputs& x) { return CrossEntropy{}(x[0], of(classes, x[0])); }});
  const auto found = torch::randn({12, 2, 8});
  for (const auto& loss : {RetrievalGuidedLoss{}, retrieval_guided_reference()}) {
    all.push_back({"rgcl", {pair[0]}, [=](const Inputs& x) {
                     return loss(x[0], of(labels, x[0]), {of(found, x[0]), of(-found, x[0])});
                   }});
  }
  all.push_back({"swav", {pair[0].tanh(), pair[1].tanh()}, [](const Inputs& x) { return SwavLoss{}(x, 2); }});
  const DinoLoss dino{{.prototypes = 8}};
  all.push_back({"dino",
                 {torch::randn({4, 3, 8}), torch::randn({2, 3, 8})},
                 [dino](const Inputs& x) { return dino(x[0], x[1]).total; },
                 dino.module()});
  return all;
}

}  // namespace sslmeme::test
