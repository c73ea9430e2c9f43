// Computing activations twice changes neither values nor gradients, only what is kept between.
#include <sslmeme/core/precision.hpp>
#include <sslmeme/core/random.hpp>
#include <sslmeme/nn/activation_checkpoint.hpp>
#include <sslmeme/nn/backbone.hpp>
#include <sslmeme/nn/weights.hpp>

#include <torch/autograd.h>
#include <torch/nn/modules/linear.h>
#include <torch/optim.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <functional>
#include <string>
#include <unordered_set>
#include <vector>

#include "state.hpp"

namespace sm = sslmeme;
using sm::Tensor;
using sm::test::same_state;

namespace {

struct Pass {
  Tensor features;
  std::vector<Tensor> gradients;
  sm::NamedTensors state;
  std::size_t nodes = 0;  ///< of the graph that the forward pass left
};

std::size_t nodes_of(const Tensor& tensor) {
  std::unordered_set<const torch::autograd::Node*> seen;
  const std::function<void(const torch::autograd::Node*)> visit = [&](const torch::autograd::Node* node) {
    if (node == nullptr || !seen.insert(node).second) return;
    for (const auto& edge : node->next_edges()) visit(edge.function.get());
  };
  visit(tensor.grad_fn().get());
  return seen.size();
}

Pass pass(torch::nn::Module& module, const std::function<Tensor()>& forward) {
  Pass result;
  module.zero_grad();
  {
    const sm::TorchSeedScope seeded{5};
    result.features = forward();
  }
  result.nodes = nodes_of(result.features);
  result.features.to(torch::kFloat).pow(2).sum().backward();
  for (const auto& parameter : module.parameters())
    result.gradients.push_back(parameter.grad().defined() ? parameter.grad().clone() : Tensor{});
  for (const auto& [name, tensor] : sm::state_of(module)) result.state.emplace_back(name, tensor.detach().clone());
  return result;
}

void check_same(const Pass& plain, const Pass& twice) {
  CHECK(torch::equal(plain.features, twice.features));
  CHECK(same_state(plain.state, twice.state));
  for (std::size_t i = 0; i < plain.gradients.size(); ++i) {
    REQUIRE(plain.gradients[i].defined() == twice.gradients[i].defined());
    if (plain.gradients[i].defined()) CHECK(torch::allclose(plain.gradients[i], twice.gradients[i], 1e-5, 1e-6));
  }
  CHECK(twice.nodes < plain.nodes / 2);
}

}  // namespace

TEST_CASE("Picture encoders: same features, gradients and running statistics, a much smaller graph") {
  const std::string name = GENERATE("resnet18", "resnet50", "vit_tiny_patch16_224");
  const auto precision = GENERATE(sm::Precision::fp32, sm::Precision::bf16);
  INFO(name);
  const auto make = [&] {
    return sm::image_encoder(
        name, {.image_size = name[0] == 'v' ? 32 : 0, .patch_size = name[0] == 'v' ? 8 : 0, .width = 24, .depth = 3});
  };
  const auto images = torch::randn({3, 3, 32, 32});
  const auto run = [&](bool checkpointing) {
    const auto encoder = make();
    encoder->set_grad_checkpointing(checkpointing);
    encoder->train();
    return pass(*encoder, [&] {
      const sm::Autocast autocast{precision, torch::kCPU};
      return encoder->forward(images);
    });
  };
  check_same(run(false), run(true));
}

TEST_CASE("Steps of the optimizer under autocast: each forward pass sees the weights of its own step") {
  const auto images = torch::randn({3, 3, 32, 32});
  const auto run = [&](bool checkpointing) {
    torch::manual_seed(4);
    const auto encoder =
        sm::image_encoder("vit_tiny_patch16_224", {.image_size = 32, .patch_size = 8, .width = 24, .depth = 3});
    encoder->set_grad_checkpointing(checkpointing);
    encoder->train();
    torch::optim::SGD optimizer{encoder->parameters(), 0.01};
    std::vector<Tensor> features;
    for (int step = 0; step < 3; ++step) {
      optimizer.zero_grad();
      {
        const sm::Autocast autocast{sm::Precision::bf16, torch::kCPU};
        features.push_back(encoder->forward(images));
      }
      features.back().to(torch::kFloat).square().sum().backward();
      optimizer.step();
    }
    return features;
  };
  const auto plain = run(false), checkpointed = run(true);
  for (std::size_t step = 0; step < plain.size(); ++step) CHECK(torch::equal(plain[step], checkpointed[step]));
  CHECK_FALSE(torch::equal(plain[0], plain[1]));
}

TEST_CASE("Text encoders: the same dice fall twice") {
  const auto tokens = torch::randint(0, 50, {3, 9});
  auto mask = torch::ones({3, 9}, torch::kBool);
  mask[1].slice(0, 5).fill_(false);
  const auto run = [&](bool checkpointing) {
    const auto encoder = sm::text_encoder(
        "minilm_l6", {.vocabulary_size = 50, .max_tokens = 12, .width = 24, .depth = 3, .dropout = 0.3});
    encoder->set_grad_checkpointing(checkpointing);
    encoder->train();
    return pass(*encoder, [&] { return encoder->forward(tokens, mask); });
  };
  check_same(run(false), run(true));
}

TEST_CASE("Gradient reaches the input, and the generator goes on as if nothing was") {
  torch::nn::Linear linear{4, 4};
  const auto x = torch::randn({2, 4}, torch::requires_grad());
  const auto segment = [&](const Tensor& y) { return torch::dropout(linear->forward(y), 0.5, true).tanh(); };
  torch::manual_seed(3);
  const auto plain = segment(x).sum();
  const auto next = torch::rand({1});
  torch::manual_seed(3);
  const auto twice = sm::checkpointed(*linear, segment, x).sum();
  CHECK(torch::equal(plain, twice));
  const auto expected = torch::autograd::grad({plain}, {x})[0];
  twice.backward();
  CHECK(torch::allclose(x.grad(), expected));
  CHECK(torch::equal(torch::rand({1}), next));
}

TEST_CASE("Without gradient a segment is simply called") {
  torch::nn::Linear linear{4, 4};
  const torch::NoGradGuard no_grad;
  CHECK_FALSE(sm::checkpointed(
                  *linear, [&](const Tensor& y) { return linear->forward(y); }, torch::randn({2, 4}))
                  .requires_grad());
}
