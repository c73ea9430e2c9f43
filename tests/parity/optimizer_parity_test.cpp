// Optimizers and schedules against those of torch, lightly and timm (scripts/golden/optimizer.py).
#include <sslmeme/train/optimizer.hpp>
#include <sslmeme/train/schedule.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>

#include <cmath>
#include <cstdio>
#include <map>
#include <string>

#include "close_to.hpp"
#include "json_files.hpp"
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
  sm::Optimizer optimizer{module, sm::AdamW{.lr = 1, .beta1 = 0.8, .beta2 = 0.95, .eps = 1e-6, .weight_decay = 0.1}};
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
    const sm::Schedule schedule =
        sm::WarmupCosine{.warmup = sm::Epochs{static_cast<double>(warmup)}, .final_factor = percent / 100.0};
    REQUIRE(factors.size(0) == epochs * per_epoch);
    for (std::int64_t step = 0; step < factors.size(0); ++step) {
      INFO(key << " step " << step);
      CHECK_THAT(schedule.factor({step, factors.size(0), per_epoch}),
                 Catch::Matchers::WithinAbs(factors[step].item<double>(), 1e-12));
    }
  }
  CHECK(found == 5);
}

TEST_CASE("SGD, LARS and LAMB take the steps of torch's, lightly's and timm's, in double") {
  const std::map<std::string, sm::OptimizerOptions> all{
      {"sgd", sm::Sgd{.lr = 1, .weight_decay = 0.1}},
      {"nesterov", sm::Sgd{.lr = 1, .momentum = 0.8, .nesterov = true, .weight_decay = 0.1}},
      {"plain", sm::Sgd{.lr = 1, .momentum = 0, .weight_decay = 0.1}},
      {"lars", sm::Lars{.lr = 1, .weight_decay = 0.01}},
      {"lars_nesterov", sm::Lars{.lr = 1, .nesterov = true, .trust = 0.02, .weight_decay = 0.01}},
      {"lamb", sm::Lamb{.lr = 1, .beta1 = 0.8, .beta2 = 0.95, .weight_decay = 0.1}}};
  auto expected = golden();
  const auto rates = expected.at("rates");
  for (const auto& [name, options] : all) {
    torch::nn::Module module;
    const std::vector<std::string> keys{"matrix", "zeros", "bias"};
    for (const auto& key : keys) module.register_parameter(key, expected.at(name + "/before/" + key).clone());
    sm::Optimizer optimizer{module, options};
    for (std::int64_t step = 0; step < rates.size(0); ++step) {
      for (const auto& key : keys) {
        module.named_parameters()[key].mutable_grad() = expected.at(name + "/gradients/" + key)[step].clone();
      }
      optimizer.step(rates[step].item<double>());
      for (const auto& key : keys) {
        INFO(name << ", " << key << " after step " << step);
        const auto wanted = expected.at(name + "/after/" + key)[step];
        CHECK_THAT(module.named_parameters()[key], AllCloseTo(wanted, {1e-10, 1e-12}));
      }
    }
  }
}

TEST_CASE("Schedules have the shapes of torch's and timm's") {
  const std::map<std::string, sm::Schedule> all{
      {"wave", sm::CosineWave{.half_period = sm::Steps{16}, .final_factor = 1e-3}},
      {"restarts", sm::CosineRestarts{.first_period = sm::Steps{10}, .growth = 2, .final_factor = 0.05}},
      {"milestones", sm::Milestones{.at = {sm::Steps{30}, sm::Epochs{6}, sm::Steps{90}}, .factor = 0.2}},
      {"polynomial", sm::WarmupPolynomial{.power = 1.5}},
      {"linear", sm::Constant{.warmup = sm::Epochs{2}, .warmup_from = 0.25}},
      {"timm", sm::WarmupCosine{.warmup = sm::Steps{20}, .warmup_from = 0.1, .final_factor = 0.01}}};
  const auto expected = golden();
  for (const auto& [name, schedule] : all) {
    const auto& factors = expected.at("shape/" + name);
    REQUIRE(factors.size(0) == 100);
    for (std::int64_t step = 0; step < 100; ++step) {
      INFO(name << " step " << step);
      CHECK_THAT(schedule.factor({step, 100, 10}), Catch::Matchers::WithinAbs(factors[step].item<double>(), 1e-12));
    }
  }
}

TEST_CASE("Layers are numbered from the end as timm's layer decay does") {
  const auto golden = sm::test::json_of(SSLMEME_TEST_DATA "/parity/layer_decay.json");
  CHECK(golden.size() == 5);
  for (const auto& [model, factors] : golden.items()) {
    for (const std::string prefix : {"", "nodes.image.encoder."}) {
      std::vector<std::string> keys;
      for (const auto& [key, factor] : factors.items()) keys.push_back(prefix + key);
      keys.emplace_back("projection.weight");  // behind all encoders
      const auto layers = sm::layers_from_the_end(keys);
      std::size_t i = 0;
      for (const auto& [key, factor] : factors.items()) {
        INFO(model << ": " << key);
        CHECK(std::ldexp(1, -static_cast<int>(layers[i++])) == factor.get<double>());
      }
      CHECK(layers.back() == 0);
    }
  }
  const auto bert = sm::layers_from_the_end(
      {"nodes.text.encoder.embeddings.word_embeddings.weight", "nodes.text.encoder.encoder.layer.0.output.dense.weight",
       "nodes.text.encoder.encoder.layer.1.output.dense.weight", "nodes.text.projection.0.weight"});
  CHECK(bert == std::vector<std::int64_t>{2, 1, 0, 0});
}
