#include <sslmeme/core/error.hpp>
#include <sslmeme/train/optimizer.hpp>

#include <torch/nn.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <cmath>
#include <limits>
#include <string>

#include "close_to.hpp"

namespace sm = sslmeme;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::Message;
using Catch::Matchers::MessageMatches;
using Catch::Matchers::WithinRel;
using sm::Tensor;

namespace {

struct Net : torch::nn::Module {
  Tensor matrix = register_parameter("matrix", torch::ones({2, 3}));
  Tensor bias = register_parameter("bias", torch::ones({3}));
};

void set_gradients(Net& net, double value) {
  net.matrix.mutable_grad() = torch::full_like(net.matrix, value);
  net.bias.mutable_grad() = torch::full_like(net.bias, value);
}

}  // namespace

TEST_CASE("Decay shrinks matrices, never vectors") {
  Net net;
  sm::FusedAdamW optimizer{net, {.weight_decay = 0.5}};
  set_gradients(net, 0);
  optimizer.step(0.1);
  CHECK_THAT(net.matrix[0][0].item<double>(), WithinRel(0.95, 1e-6));
  CHECK(net.bias[0].item<double>() == 1);
}

TEST_CASE("The decay may rise to another along half a cosine") {
  const sm::AdamW rising{.weight_decay = 0.04, .final_weight_decay = 0.4};
  CHECK_THAT(rising.decay_at(0, 100), WithinRel(0.04, 1e-12));
  CHECK_THAT(rising.decay_at(50, 100), WithinRel(0.22, 1e-12));
  CHECK_THAT(rising.decay_at(25, 100), WithinRel(0.4 - 0.18 * (1 + std::sqrt(0.5)), 1e-12));
  CHECK_THAT(rising.decay_at(100, 100), WithinRel(0.4, 1e-12));
  CHECK(sm::AdamW{.weight_decay = 0.1}.decay_at(77, 100) == 0.1);
  Net net;
  CHECK_THROWS_AS((sm::FusedAdamW{net, {.final_weight_decay = -1}}), sm::InvalidArgument);
}

TEST_CASE("Gradients may be clipped each by itself") {
  Net net;
  sm::FusedAdamW optimizer{net, {}};
  set_gradients(net, 1);  // of norm √6 and √3
  optimizer.clip_each_gradient(2);
  CHECK_THAT(net.matrix.grad().norm().item<double>(), WithinRel(2, 1e-5));
  CHECK(torch::equal(net.bias.grad(), torch::ones({3})));
}

TEST_CASE("A parameter without gradient is left alone") {
  Net net;
  sm::FusedAdamW optimizer{net, {.weight_decay = 0.5}};
  set_gradients(net, 1);
  optimizer.zero_grad();
  CHECK_FALSE(net.matrix.grad().defined());
  net.bias.mutable_grad() = torch::ones({3});
  optimizer.step(0.1);
  CHECK(torch::equal(net.matrix, torch::ones({2, 3})));
  CHECK_THAT(net.bias[0].item<double>(), WithinRel(0.9, 1e-5));
}

TEST_CASE("A module that occurs twice is updated once a step") {
  torch::nn::Module both;
  const auto net = std::make_shared<Net>();
  both.register_module("a", net);
  both.register_module("b", net);
  sm::FusedAdamW optimizer{both, {.weight_decay = 0}};
  set_gradients(*net, 1);
  optimizer.step(0.1);
  CHECK_THAT(net->bias[0].item<double>(), WithinRel(0.9, 1e-5));
  CHECK(optimizer.state().size() == 6);
}

TEST_CASE("Frozen parameters are no part of it") {
  Net net;
  net.matrix.requires_grad_(false);
  CHECK(sm::FusedAdamW{net, {}}.state().size() == 3);
  net.bias.requires_grad_(false);
  CHECK_THROWS_MATCHES(sm::FusedAdamW(net, {}), sm::InvalidArgument,
                       Message("the method has no parameter that needs a gradient: nothing to train"));
}

TEST_CASE("The norm is that of all gradients together") {
  Net net;
  sm::FusedAdamW optimizer{net, {}};
  CHECK(optimizer.gradient_norm() == 0);
  set_gradients(net, 2);
  CHECK_THAT(optimizer.gradient_norm(), WithinRel(6.0, 1e-6));
  optimizer.scale_gradients(0.5);
  CHECK_THAT(optimizer.gradient_norm(), WithinRel(3.0, 1e-6));
  net.bias.mutable_grad()[1] = std::numeric_limits<float>::quiet_NaN();
  CHECK(std::isnan(optimizer.gradient_norm()));
}

TEST_CASE("State makes another optimizer go on bit by bit") {
  Net net, other;
  sm::FusedAdamW optimizer{net, {}}, again{other, {}};
  const auto step = [](Net& n, sm::FusedAdamW& o, double value) {
    set_gradients(n, value);
    o.step(0.01);
  };
  step(net, optimizer, 1);
  step(net, optimizer, -0.3);
  {
    const torch::NoGradGuard no_grad;
    other.matrix.copy_(net.matrix);
    other.bias.copy_(net.bias);
  }
  again.load_state(optimizer.state());
  step(net, optimizer, 0.7);
  step(other, again, 0.7);
  CHECK(torch::equal(net.matrix, other.matrix));
  CHECK(torch::equal(net.bias, other.bias));

  sm::NamedTensors state;
  for (const auto& [name, tensor] : optimizer.state()) state.emplace_back(name, tensor.clone());
  CHECK(state[0].first == "matrix/exp_avg");
  const auto refused = [&](const std::string& what) {
    CHECK_THROWS_MATCHES(again.load_state(state), sm::InvalidArgument,
                         MessageMatches(ContainsSubstring("does not fit the model") && ContainsSubstring(what)));
  };
  SECTION("missing") {
    state.pop_back();
    refused("resume with the model it was saved from");
  }
  SECTION("another shape") {
    state[3].second = torch::zeros({4});
    refused("bias/exp_avg");
  }
  SECTION("another name") {
    state[1].first = "matrix/second";
    refused("matrix/exp_avg_sq");
  }
}

TEST_CASE("Options out of range are refused by name") {
  Net net;
  const auto refused = [&](const sm::AdamW& options, const std::string& what) {
    CHECK_THROWS_MATCHES(sm::FusedAdamW(net, options), sm::InvalidArgument, MessageMatches(ContainsSubstring(what)));
  };
  constexpr double inf = std::numeric_limits<double>::infinity();
  refused({.lr = -1}, "AdamW::lr is -1; it must be zero or more");
  refused({.lr = NAN}, "AdamW::lr is nan");
  refused({.lr = inf}, "AdamW::lr is inf");
  refused({.beta1 = 1}, "AdamW::beta1 is 1; it must be in [0, 1)");
  refused({.beta2 = -0.1}, "AdamW::beta2 is -0.1");
  refused({.eps = 0}, "AdamW::eps is 0; it must be positive");
  refused({.weight_decay = -1}, "AdamW::weight_decay is -1");
  refused({.weight_decay = inf}, "AdamW::weight_decay is inf");
}
