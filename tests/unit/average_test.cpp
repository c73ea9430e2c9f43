// The moving average of weights.
#include <sslmeme/core/error.hpp>
#include <sslmeme/train/average.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <memory>
#include <stdexcept>

#include "tiny_run.hpp"

namespace sm = sslmeme;
using namespace sm::test;
using sm::ExistingRun;
using sm::Tensor;

namespace {

struct Net : torch::nn::Module {
  Tensor weight = register_parameter("weight", torch::zeros({2}));
  Tensor mean = register_buffer("mean", torch::zeros({2}));
  Tensor count = register_buffer("count", torch::zeros({}, torch::kLong));
};

}  // namespace

TEST_CASE("The average moves towards the weights, buffers included, counters are copied") {
  Net net;
  sm::AveragedWeights average{net, {.decay = 0.9, .warmup = false}};
  double expected = 0;
  for (int step = 0; step < 5; ++step) {
    const torch::NoGradGuard no_grad;
    net.weight.fill_(step + 1);
    net.mean.fill_(-step - 1);
    net.count.fill_(step);
    average.update(step);
    expected = 0.9 * expected + 0.1 * (step + 1);
  }
  CHECK(std::abs(average.state()[0].second[0].item<double>() - expected) < 1e-6);
  CHECK(std::abs(average.state()[1].second[0].item<double>() + expected) < 1e-6);
  CHECK(average.state()[2].second.item<std::int64_t>() == 4);
  CHECK_THROWS_AS((sm::AveragedWeights{net, {.decay = 1}}), sm::InvalidArgument);
}

TEST_CASE("Early on the average forgets sooner") {
  const sm::WeightAverage average{.decay = 0.99};
  CHECK(average.decay_at(0) == 0.1);
  CHECK(average.decay_at(8) == 0.5);
  CHECK(average.decay_at(100000) == 0.99);
}

TEST_CASE("The module has the average for a while, whatever happens") {
  Net net;
  sm::AveragedWeights average{net, {}};
  {
    const torch::NoGradGuard no_grad;
    net.weight.fill_(1);
  }
  average.during([&] { CHECK(net.weight[0].item<double>() == 0); });
  CHECK(net.weight[0].item<double>() == 1);
  CHECK_THROWS_AS(average.during([] { throw std::runtime_error{"oops"}; }), std::runtime_error);
  CHECK(net.weight[0].item<double>() == 1);
  CHECK(average.state()[0].second[0].item<double>() == 0);
}

TEST_CASE("A module that occurs twice is averaged once and gets its weights back") {
  torch::nn::Module both;
  const auto net = std::make_shared<Net>();
  both.register_module("a", net);
  both.register_module("b", net);
  sm::AveragedWeights average{both, {.decay = 0.5, .warmup = false}};
  {
    const torch::NoGradGuard no_grad;
    net->weight.fill_(1);
  }
  average.update(0);
  for (int time = 0; time < 2; ++time) {
    average.during([&] { CHECK(net->weight[0].item<double>() == 0.5); });
    CHECK(net->weight[0].item<double>() == 1);
  }
  // Under each of its names, for whoever reads one encoder of a saved average.
  REQUIRE(average.state().size() == 6);
  for (const auto& [name, tensor] : average.state()) {
    if (name.ends_with("weight")) CHECK(tensor[0].item<double>() == 0.5);
  }
  // A saved average goes back where it was.
  sm::NamedTensors saved;
  for (const auto& [name, tensor] : average.state()) saved.emplace_back(name, tensor.clone());
  average.update(1);
  average.load_state(saved);
  average.during([&] { CHECK(net->weight[0].item<double>() == 0.5); });
  CHECK(net->weight[0].item<double>() == 1);
}

TEST_CASE("A run keeps the average, in checkpoints too") {
  const TemporaryFolder temporary;
  auto how = options(temporary / "whole");
  how.average = sm::WeightAverage{.decay = 0.8};
  struct Look {
    void on_fit_end(const sm::StepInfo& info) const {
      info.session->with_average([] {});
    }
  };
  const auto expected = train(how, Look{});
  const auto average = sm::read_safetensors(temporary / "whole" / "average.safetensors").tensors;
  CHECK(average.size() == expected.state.size());
  CHECK_FALSE(same_state(average, expected.state));
  how.output_dir = temporary / "cut";
  train(how, StopAt{7});
  how.existing = ExistingRun::resume;
  check_same(train(how), expected, temporary / "cut");
  CHECK(same_state(sm::read_safetensors(temporary / "cut" / "average.safetensors").tensors, average));
  CHECK_THROWS_AS(train(options(""), Look{}), sm::InvalidArgument);
}
