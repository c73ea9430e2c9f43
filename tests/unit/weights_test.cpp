#include <sslmeme/core/error.hpp>
#include <sslmeme/nn/resnet.hpp>
#include <sslmeme/nn/weights.hpp>

#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <string>
#include <vector>

#include "files.hpp"
#include "state.hpp"

namespace sm = sslmeme;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using sm::test::copy_of_state;
using sm::test::same_state;
using sm::test::TemporaryFolder;

namespace {

torch::nn::Sequential small_net() {
  return torch::nn::Sequential(torch::nn::Linear(3, 4), torch::nn::BatchNorm1d(4), torch::nn::Linear(4, 2));
}

}  // namespace

TEST_CASE("The state of a module is its parameters, then its buffers, and shares their memory") {
  auto net = small_net();
  const auto state = sm::state_of(*net);
  std::vector<std::string> names;
  for (const auto& [name, tensor] : state) names.push_back(name);
  CHECK(names == std::vector<std::string>{"0.weight", "0.bias", "1.weight", "1.bias", "2.weight", "2.bias",
                                          "1.running_mean", "1.running_var", "1.num_batches_tracked"});
  CHECK(state.front().second.data_ptr() == net[0]->as<torch::nn::Linear>()->weight.data_ptr());
}

TEST_CASE("Weights travel through a file, buffers included") {
  const TemporaryFolder folder;
  const auto file = folder / "weights.safetensors";
  auto from = small_net(), to = small_net();
  from->forward(torch::randn({8, 3}));
  REQUIRE_FALSE(same_state(*from, *to));
  sm::save_weights(file, *from, {{"epoch", "3"}});
  CHECK(sm::read_safetensors(file).metadata.at("epoch") == "3");
  sm::load_weights(file, *to);
  CHECK(same_state(*from, *to));
  CHECK(to[0]->as<torch::nn::Linear>()->weight.requires_grad());
}

TEST_CASE("Weights of another type are converted") {
  auto net = small_net();
  sm::NamedTensors halves;
  for (const auto& [name, tensor] : sm::state_of(*net)) {
    halves.emplace_back(
        name, tensor.is_floating_point() ? torch::full_like(tensor, 0.5).to(torch::kBFloat16) : tensor.clone());
  }
  sm::load_state(*net, halves);
  const auto& weight = net[0]->as<torch::nn::Linear>()->weight;
  CHECK(weight.scalar_type() == torch::kFloat);
  CHECK(torch::equal(weight, torch::full({4, 3}, 0.5)));
}

TEST_CASE("A prefix picks one module out of a larger state") {
  auto from = small_net(), to = small_net();
  sm::NamedTensors larger{{"other.weight", torch::zeros({7})}};
  for (const auto& [name, tensor] : sm::state_of(*from)) larger.emplace_back("nodes.a." + name, tensor);
  sm::load_state(*to, larger, "nodes.a.");
  CHECK(same_state(*from, *to));
}

TEST_CASE("Weights that do not fit are listed and change nothing") {
  auto net = small_net();
  const auto before = copy_of_state(*net);
  auto given = before;
  for (auto& [name, tensor] : given) tensor = torch::full_like(tensor, 9);
  const auto refused = [&](const std::string& what) {
    CHECK_THROWS_MATCHES(sm::load_state(*net, given), sm::InvalidArgument, MessageMatches(ContainsSubstring(what)));
    CHECK(same_state(sm::state_of(*net), before));
  };
  SECTION("missing") {
    given.pop_back();
    refused("missing: 1.num_batches_tracked)");
  }
  SECTION("unknown") {
    given.emplace_back("3.weight", torch::zeros({1}));
    refused("unknown: 3.weight)");
  }
  SECTION("renamed: as many as needed, but another name") {
    given.back().first = "1.counter";
    refused("missing: 1.num_batches_tracked; unknown: 1.counter)");
  }
  SECTION("of another shape") {
    given.front().second = torch::zeros({3, 4});
    refused("of another shape: 0.weight is (3, 4) in the file, (4, 3) in the model)");
  }
  SECTION("all") {
    given.clear();
    refused("missing: 0.weight, 0.bias, 1.weight and 6 more");
  }
}

TEST_CASE("The message of weights that do not fit names the file") {
  const TemporaryFolder folder;
  const auto file = folder / "weights.safetensors";
  sm::save_weights(file, *small_net());
  const auto resnet = sm::make_resnet({.blocks = {1, 1, 1, 1}, .width = 2});
  CHECK_THROWS_MATCHES(sm::load_weights(file, *resnet), sm::InvalidArgument,
                       MessageMatches(ContainsSubstring(file.string()) && ContainsSubstring("missing: conv1.weight")));
}
