// AdamW and the schedule against torch's (scripts/golden/optimizer.py).
#include <sslmeme/train/optimizer.hpp>
#include <sslmeme/train/schedule.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>

#include <cstdio>
#include <map>
#include <string>

#include "close_to.hpp"
#include "state.hpp"

namespace sm = sslmeme;
using sm::Tensor;
using sm::test::AllCloseTo;

namespace {

constexpr sm::test::Tolerance few_ulps{2e-6, 2e-7};
const std::vector<std::string> names{"matrix", "bias", "scalar", "late"};

std::map<std::string, Tensor> golden() {
  return sm::test::by_name(sm::read_safetensors(SSLMEME_TEST_DATA "/parity/optimizer.safetensors").tensors);
}

struct Parameters : torch::nn::Module {
  explicit Parameters(const std::map<std::string, Tensor>& values) {
    for (const auto& name : names) register_parameter(name, values.at("before/" + name).clone());
  }
};

}  // namespace

TEST_CASE("AdamW takes the steps of torch.optim.AdamW without decay of vectors and scalars") {
  auto expected = golden();
  const auto rates = expected.at("rates");
  Parameters module{expected};
  sm::FusedAdamW optimizer{module, {.beta1 = 0.8, .beta2 = 0.95, .eps = 1e-6, .weight_decay = 0.1}};
  for (std::int64_t step = 0; step < rates.size(0); ++step) {
    optimizer.zero_grad();
    for (const auto& name : names) {
      if (name != "late" || step >= 5)
        module.named_parameters()[name].mutable_grad() = expected.at("gradients/" + name)[step].clone();
    }
    optimizer.step(rates[step].item<double>());
    for (const auto& name : names) {
      INFO(name << " after step " << step);
      CHECK_THAT(module.named_parameters()[name], AllCloseTo(expected.at("after/" + name)[step], few_ulps));
    }
  }
  const auto pairs = optimizer.state();
  const std::map<std::string, Tensor> state{pairs.begin(), pairs.end()};
  for (const auto& name : names) {
    INFO(name);
    CHECK_THAT(state.at(name + "/exp_avg"), AllCloseTo(expected.at("exp_avg/" + name), few_ulps));
    CHECK_THAT(state.at(name + "/exp_avg_sq"), AllCloseTo(expected.at("exp_avg_sq/" + name), few_ulps));
    CHECK_THAT(state.at(name + "/step"), AllCloseTo(expected.at("step/" + name), {}));
  }
}

TEST_CASE("The schedule is torch's linear warmup followed by its cosine annealing") {
  int found = 0;
  for (const auto& [key, factors] : golden()) {
    int warmup = 0, epochs = 0, per_epoch = 0, percent = 0;
    if (std::sscanf(key.c_str(), "schedule/%d_%d_%d_%d", &warmup, &epochs, &per_epoch, &percent) != 4) continue;
    ++found;
    const sm::WarmupCosine schedule{.warmup_epochs = static_cast<double>(warmup), .final_factor = percent / 100.0};
    REQUIRE(factors.size(0) == epochs * per_epoch);
    for (std::int64_t step = 0; step < factors.size(0); ++step) {
      INFO(key << " step " << step);
      CHECK_THAT(schedule.factor(step, factors.size(0), per_epoch),
                 Catch::Matchers::WithinAbs(factors[step].item<double>(), 1e-12));
    }
  }
  CHECK(found == 5);
}
