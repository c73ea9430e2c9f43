// Our heads against lightly's: projections, predictions and DINO's (scripts/golden/heads.py).
#include <sslmeme/loss/predictive.hpp>
#include <sslmeme/nn/heads.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <torch/autograd.h>

#include <map>
#include <memory>
#include <string>

#include "close_to.hpp"
#include "parity/golden.hpp"
#include "state.hpp"

namespace sm = sslmeme;
using sm::Tensor;
using sm::test::AllCloseTo;
using sm::test::by_name;
using sm::test::fp32_rounding;
using sm::test::Golden;

namespace {

constexpr int in = 6, hidden = 10, out = 7;

/// By name, with prefixes of ours `renamed` to theirs. What lightly has not (biases before a BatchNorm) is 0.
void load(torch::nn::Module& module, const std::map<std::string, Tensor>& theirs,
          const std::map<std::string, std::string>& renamed = {}) {
  std::size_t used = 0;
  for (auto& [name, own] : by_name(module)) {
    auto key = name;
    for (const auto& [ours, lightlys] : renamed) {
      if (key.starts_with(ours)) key = lightlys + key.substr(ours.size());
    }
    const torch::NoGradGuard no_grad;
    auto tensor = own;
    if (const auto found = theirs.find(key); found != theirs.end()) {
      REQUIRE(tensor.sizes() == found->second.sizes());
      tensor.copy_(found->second);
      ++used;
    } else {
      REQUIRE(name.ends_with("bias"));
      tensor.zero_();
    }
  }
  CHECK(used > 0);
}

/// forward, its gradients, and evaluation with the statistics that training left.
template <class Head>
void check_projection(const std::string& name, const std::shared_ptr<Head>& head, const std::string& first) {
  const Golden golden{"heads"};
  const auto of = [&](const char* what) { return golden["projection/" + name + "/" + what]; };
  const auto x = of("x").clone().requires_grad_();
  head->train();
  const auto y = head->forward(x);
  CHECK_THAT(y, AllCloseTo(of("train"), fp32_rounding));
  const auto gradients = torch::autograd::grad({(y * of("probe")).sum()}, {x, head->named_parameters()[first]});
  CHECK_THAT(gradients[0], AllCloseTo(of("grad_x"), {1e-4, 1e-5}));
  CHECK_THAT(gradients[1], AllCloseTo(of("grad_first"), {1e-4, 1e-5}));
  head->eval();
  CHECK_THAT(head->forward(x), AllCloseTo(of("eval"), fp32_rounding));
}

}  // namespace

TEST_CASE("DINO's head is lightly's") {
  const std::string name = GENERATE("dino", "dino_batch_norm", "dino_free_norm");
  INFO(name);
  const auto head = std::make_shared<sm::DinoHead>(in, sm::DinoHeadOptions{.prototypes = out,
                                                                           .hidden = hidden,
                                                                           .bottleneck = 5,
                                                                           .norm_last_layer = name != "dino_free_norm",
                                                                           .batch_norm = name == "dino_batch_norm"});
  load(*head, Golden{"heads"}.all("projection/" + name + "/weights/"), {{"mlp", "layers"}});
  check_projection(name, head, "mlp.0.weight");
}

TEST_CASE("MLP projections are lightly's for BYOL, SimSiam and MoCo v3, names included") {
  const std::string name = GENERATE("byol", "simsiam", "moco_v3");
  INFO(name);
  const auto head = sm::make_projection(in, {.out = out,
                                             .kind = sm::ProjectionKind::mlp,
                                             .hidden = hidden,
                                             .layers = name == "byol" ? 2 : 3,
                                             .last_norm = name != "byol"});
  load(*head, Golden{"heads"}.all("projection/" + name + "/weights/"));
  check_projection(name, head, "layers.0.weight");
}

TEST_CASE("Predictors are lightly's for BYOL, SimSiam and MoCo v3") {
  const std::string name = GENERATE("byol", "simsiam", "moco_v3");
  INFO(name);
  const Golden golden{"heads"};
  const auto of = [&](const char* what) { return golden["prediction/" + name + "/" + what]; };
  const sm::Predicted loss{sm::SimSiamLoss{}, {.dim = out, .hidden = hidden, .last_norm = name == "moco_v3"}};
  load(*loss.module(), golden.all("prediction/" + name + "/weights/"),
       {{"predictor.fc1", "layers.0"}, {"predictor.norm_", "layers.1."}, {"predictor.fc2", "layers.3"}});
  const auto z_a = of("z_a").clone().requires_grad_();
  const auto value = loss(z_a, of("z_b")).total;
  CHECK_THAT(value, AllCloseTo(of("value"), fp32_rounding));
  CHECK_THAT(torch::autograd::grad({value}, {z_a})[0], AllCloseTo(of("grad_a"), {1e-4, 1e-6}));
}
