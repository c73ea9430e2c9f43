#include <sslmeme/core/error.hpp>
#include <sslmeme/nn/resnet.hpp>
#include <sslmeme/nn/vit.hpp>
#include <sslmeme/nn/weights.hpp>

#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "files.hpp"
#include "state.hpp"

namespace sm = sslmeme;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using sm::test::by_name;
using sm::test::copy_of_state;
using sm::test::same_state;
using sm::test::TemporaryFolder;

namespace {

torch::nn::Sequential small_net() {
  return torch::nn::Sequential(torch::nn::Linear(3, 4), torch::nn::BatchNorm1d(4), torch::nn::Linear(4, 2));
}

struct Small {
  std::int64_t image_size = 16;
  std::int64_t num_classes = 0;
};

sm::ImageEncoder small_vit(const Small& small = {}) {
  return sm::make_vit({.image_size = small.image_size,
                       .patch_size = 8,
                       .width = 8,
                       .depth = 1,
                       .heads = 2,
                       .num_classes = small.num_classes});
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
  const auto report = sm::load_state(*to, larger, {.prefix = "nodes.a."});
  CHECK(same_state(*from, *to));
  CHECK(report.prefix == "nodes.a.");
  CHECK(report.unknown.empty());
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
    given.erase(given.end() - 2);
    refused("missing: 1.running_var)");
  }
  SECTION("unknown") {
    given.emplace_back("3.weight", torch::zeros({1}));
    refused("unknown: 3.weight)");
  }
  SECTION("renamed: as many as needed, but another name") {
    given.rbegin()[1].first = "1.variance";
    refused("missing: 1.running_var; unknown: 1.variance)");
  }
  SECTION("of another shape") {
    given.front().second = torch::zeros({3, 4});
    refused("of another shape: 0.weight is (3, 4) in the file, (4, 3) in the model)");
  }
  SECTION("of another type") {
    given.front().second = torch::zeros({4, 3}, torch::kInt);
    refused("of another type: 0.weight is Int in the file, Float in the model)");
    given = before;
    given.back().second = torch::tensor(1.0);
    refused("of another type: 1.num_batches_tracked is Float in the file, Long in the model)");
  }
  SECTION("allowed by another name") {
    given.erase(given.end() - 2);
    CHECK_THROWS_AS(sm::load_state(*net, given, {.allow_missing = {"1.running", "2.*"}}), sm::InvalidArgument);
    given.emplace_back("3.weight", torch::zeros({1}));
    CHECK_THROWS_AS(sm::load_state(*net, given, {.allow_missing = {"1.running_var"}, .allow_unknown = {"3.weigh"}}),
                    sm::InvalidArgument);
    CHECK(same_state(sm::state_of(*net), before));
  }
  SECTION("all") {
    given.clear();
    refused("missing: 0.weight, 0.bias, 1.weight and 6 more");
  }
}

TEST_CASE("What may differ is named, and the report says what became of it") {
  auto net = small_net();
  const auto before = copy_of_state(*net);
  auto given = before;
  for (auto& [name, tensor] : given) tensor = torch::full_like(tensor, 9);
  given.pop_back();
  given.emplace_back("3.weight", torch::zeros({1}));
  given.emplace_back("3.bias", torch::zeros({1}));
  const auto report =
      sm::load_state(*net, given, {.allow_missing = {"1.num_batches_tracked"}, .allow_unknown = {"3.*"}});
  CHECK(report.format == sm::WeightFormat::own);
  CHECK(report.matched.size() == before.size() - 1);
  CHECK(report.missing == std::vector<std::string>{"1.num_batches_tracked"});
  CHECK(report.unknown == std::vector<std::string>{"3.bias", "3.weight"});
  CHECK(report.summary() ==
        "8 tensors from own; 1 kept as they were (1.num_batches_tracked); 2 left out (3.bias, 3.weight)");
  CHECK(torch::equal(net[0]->as<torch::nn::Linear>()->bias, torch::full({4}, 9.0)));
}

TEST_CASE("A file that does not fit, or is none, is a DataError that names it") {
  const TemporaryFolder folder;
  const auto file = folder / "weights.safetensors";
  sm::save_weights(file, *small_net());
  const auto resnet = sm::make_resnet({.blocks = {1, 1, 1, 1}, .width = 2});
  const auto before = copy_of_state(*resnet);
  CHECK_THROWS_MATCHES(
      sm::load_weights(file, *resnet), sm::DataError,
      MessageMatches(
          ContainsSubstring(file.string()) &&
          ContainsSubstring("none of the 9 tensors (0.weight, 0.bias, 1.weight and 6 more) has a place in "
                            "this ResNet; tried: timm, torchvision, hugging_face, dino; look at the names")));
  CHECK_THROWS_MATCHES(sm::load_weights(file, *resnet, {.format = sm::WeightFormat::timm}), sm::DataError,
                       MessageMatches(ContainsSubstring("the weights, read as timm, do not fit the model (missing: "
                                                        "conv1.weight")));
  CHECK(same_state(sm::state_of(*resnet), before));
  CHECK_THROWS_AS(sm::load_weights(folder.write("none.safetensors", "words"), *resnet), sm::DataError);
  CHECK_THROWS_AS(sm::load_weights(folder / "missing.safetensors", *resnet), sm::IoError);
}

TEST_CASE("A prefix that all names have is proposed") {
  const auto from = small_vit(), to = small_vit();
  sm::NamedTensors wrapped;
  for (const auto& [name, tensor] : sm::state_of(*from)) wrapped.emplace_back("state_dict.model." + name, tensor);
  CHECK_THROWS_MATCHES(sm::load_state(*to, wrapped), sm::InvalidArgument,
                       MessageMatches(ContainsSubstring("set LoadOptions::prefix to \"state_dict.model.\"")));
  sm::load_state(*to, wrapped, {.prefix = "state_dict.model."});
  CHECK(same_state(*from, *to));
}

TEST_CASE("A format that a module cannot have is the caller's mistake") {
  const TemporaryFolder folder;
  const auto file = folder / "weights.safetensors";
  const auto vit = small_vit();
  sm::save_weights(file, *vit);
  const auto refused = [](const auto& call, const std::string& what) {
    CHECK_THROWS_MATCHES(call(), sm::InvalidArgument, MessageMatches(ContainsSubstring(what)));
  };
  refused([&] { sm::load_weights(file, *vit, {.format = sm::WeightFormat::open_clip}); },
          "weights of open_clip are not known for a ViT: choose timm, torchvision, hugging_face, dino");
  refused([&] { sm::load_weights(file, *small_net(), {.format = sm::WeightFormat::timm}); },
          "weights of timm are not known for a module of its own kind: choose own");
  refused([&] { sm::state_as(*vit, sm::WeightFormat::dino); }, "cannot be written as dino");
  refused([&] { sm::state_as(*vit, sm::WeightFormat::automatic); }, "cannot be written as automatic");
  refused(
      [&] {
        sm::state_as(
            *sm::make_vit(
                {.image_size = 16, .patch_size = 8, .width = 8, .depth = 1, .heads = 2, .pooling = sm::Pooling::mean}),
            sm::WeightFormat::torchvision);
      },
      "torchvision has no tensor for \"fc_norm.weight\" of this ViT");
  sm::load_weights(file, *vit, {.format = sm::WeightFormat::own});
}

TEST_CASE("A classifier is left out by without_head and kept by with_fresh_head") {
  const auto trained = small_vit({.num_classes = 7}), features = small_vit(), fresh = small_vit({.num_classes = 3});
  const auto given = copy_of_state(*trained);
  CHECK_THROWS_MATCHES(sm::load_state(*features, given), sm::InvalidArgument,
                       MessageMatches(ContainsSubstring("unknown: head.weight, head.bias)") ||
                                      ContainsSubstring("unknown: head.bias, head.weight)")));
  CHECK(sm::load_state(*features, given, sm::without_head()).unknown.size() == 2);
  CHECK(torch::equal(by_name(*features).at("pos_embed"), by_name(*trained).at("pos_embed")));

  const auto head = by_name(*fresh).at("head.weight").detach().clone();
  CHECK_THROWS_MATCHES(
      sm::load_state(*fresh, given, sm::without_head()), sm::InvalidArgument,
      MessageMatches(ContainsSubstring("of another shape: head.weight is (7, 8) in the file, (3, 8)")));
  const auto report = sm::load_state(*fresh, given, sm::with_fresh_head());
  CHECK(report.missing == std::vector<std::string>{"head.weight", "head.bias"});
  CHECK(torch::equal(by_name(*fresh).at("head.weight"), head));
  CHECK(torch::equal(by_name(*fresh).at("pos_embed"), by_name(*trained).at("pos_embed")));
  CHECK(sm::load_state(*fresh, copy_of_state(*features), sm::with_fresh_head()).missing.size() == 2);

  // A classifier of equal size is another task's all the same.
  const auto other = small_vit({.num_classes = 3});
  {
    const torch::NoGradGuard no_grad;
    for (auto& parameter : other->parameters()) parameter.add_(1);
  }
  const auto of_other = sm::load_state(*fresh, copy_of_state(*other), sm::with_fresh_head());
  CHECK(of_other.missing == std::vector<std::string>{"head.weight", "head.bias"});
  CHECK(of_other.unknown.size() == 2);
  CHECK(torch::equal(by_name(*fresh).at("head.weight"), head));
  CHECK(torch::equal(by_name(*fresh).at("pos_embed"), by_name(*other).at("pos_embed")));
}

TEST_CASE("A file older than the counter of batches is loaded, as PyTorch loads it") {
  const auto resnet = sm::image_encoder("resnet18", {.width = 4, .depth = 1});
  auto given = copy_of_state(*resnet);
  std::erase_if(given, [](const auto& item) { return item.first.ends_with("num_batches_tracked"); });
  const auto report = sm::load_state(*resnet, given);
  CHECK_FALSE(report.missing.empty());
  CHECK(report.matched.size() == given.size());
}

TEST_CASE("A tensor that is given twice is refused") {
  const auto vit = small_vit();
  auto given = copy_of_state(*vit);
  given.push_back(given.front());
  CHECK_THROWS_MATCHES(sm::load_state(*vit, given), sm::InvalidArgument,
                       MessageMatches(ContainsSubstring("two tensors are called")));
}

TEST_CASE("Whole numbers of another type are refused: values could be lost") {
  const auto resnet = sm::image_encoder("resnet18", {.width = 4, .depth = 1});
  auto given = copy_of_state(*resnet);
  for (auto& [name, tensor] : given)
    if (name == "bn1.num_batches_tracked") tensor = tensor.to(torch::kInt);
  CHECK_THROWS_MATCHES(sm::load_state(*resnet, given), sm::InvalidArgument,
                       MessageMatches(ContainsSubstring("of another type: bn1.num_batches_tracked")));
}

TEST_CASE("Towers that do not belong together make no model") {
  const auto pictures = sm::image_encoder("ViT-B-32", {.image_size = 32, .width = 64, .depth = 1});
  const auto texts = sm::text_encoder("RN50", {.vocabulary_size = 50, .width = 64, .depth = 1});
  const sm::test::TemporaryFolder folder;
  CHECK_THROWS_MATCHES(sm::save_clip(folder / "x.safetensors", *pictures, *texts, 2.0), sm::InvalidArgument,
                       MessageMatches(ContainsSubstring("pictures have 512 features, texts 1024")));
  const auto fitting = sm::text_encoder("ViT-B-32", {.vocabulary_size = 50, .width = 64, .depth = 1});
  CHECK_THROWS_AS(sm::save_clip(folder / "x.safetensors", *pictures, *fitting, NAN), sm::InvalidArgument);
  CHECK(folder.entries() == 0);
}

TEST_CASE("Positions of another image size are resampled when asked, and told") {
  const auto small = small_vit({.image_size = 16}), large = small_vit({.image_size = 32});
  const auto given = copy_of_state(*small);
  CHECK_THROWS_MATCHES(
      sm::load_state(*large, given), sm::InvalidArgument,
      MessageMatches(ContainsSubstring("pos_embed is (1, 5, 8) in the file, (1, 17, 8) in the model")));
  const auto report = sm::load_state(*large, given, {.resample = true});
  CHECK(report.resampled == std::vector<std::string>{"pos_embed (1, 5, 8) → (1, 17, 8)"});
  CHECK(report.summary() == "18 tensors from timm; 1 resampled (pos_embed (1, 5, 8) → (1, 17, 8))");
  CHECK(torch::equal(by_name(*large).at("pos_embed"), large->resampled("pos_embed", by_name(given).at("pos_embed"))));

  SECTION("within a larger module too") {
    const auto outer = std::make_shared<torch::nn::SequentialImpl>();
    const auto inner = small_vit({.image_size = 32});
    outer->register_module("encoder", inner);
    sm::NamedTensors below;
    for (const auto& [name, tensor] : given) below.emplace_back("encoder." + name, tensor);
    CHECK(sm::load_state(*outer, below, {.resample = true}).resampled.size() == 1);
    CHECK(same_state(*inner, *large));
  }
  SECTION("but no other tensor") {
    auto wrong = given;
    for (auto& [name, tensor] : wrong)
      if (name == "norm.weight") tensor = torch::ones({9});
    CHECK_THROWS_MATCHES(sm::load_state(*large, wrong, {.resample = true}), sm::InvalidArgument,
                         MessageMatches(ContainsSubstring("of another shape: norm.weight is (9)")));
  }
}

TEST_CASE("Half precision is read into full and the other way round") {
  const TemporaryFolder folder;
  const auto file = folder / "half.safetensors";
  const auto type = GENERATE(torch::kBFloat16, torch::kHalf);
  const auto from = small_vit(), to = small_vit();
  sm::NamedTensors halves;
  for (const auto& [name, tensor] : sm::state_of(*from)) halves.emplace_back(name, tensor.to(type));
  sm::write_safetensors(file, halves);
  sm::load_weights(file, *to);
  for (const auto& [name, tensor] : by_name(*to)) {
    CHECK(tensor.scalar_type() == torch::kFloat);
    CHECK(torch::equal(tensor, by_name(halves).at(name).to(torch::kFloat)));
  }
  to->to(type);
  sm::load_state(*to, sm::state_of(*from));
  CHECK(same_state(sm::state_of(*to), halves));
}

TEST_CASE("A file that says one tensor twice, or a part of one, is refused") {
  const auto vit = small_vit();
  const auto before = copy_of_state(*vit);
  auto given = sm::state_as(*vit, sm::WeightFormat::hugging_face);
  const auto refused = [&](const std::string& what) {
    CHECK_THROWS_MATCHES(sm::load_state(*vit, given, {.format = sm::WeightFormat::hugging_face}), sm::InvalidArgument,
                         MessageMatches(ContainsSubstring(what)));
    CHECK(same_state(sm::state_of(*vit), before));
  };
  const auto at = [&](const std::string& name) {
    return std::find_if(given.begin(), given.end(), [&](const auto& item) { return item.first == name; });
  };
  const std::string key = "encoder.layer.0.attention.attention.key.weight";
  SECTION("twice") {
    given.emplace_back("layers.0.attention.k_proj.weight", at(key)->second);
    refused("both mean \"blocks.0.attn.qkv.weight\"");
  }
  SECTION("a part") {
    given.erase(at(key));
    refused(
        "missing: blocks.0.attn.qkv.weight; unknown: encoder.layer.0.attention.attention.query.weight, "
        "encoder.layer.0.attention.attention.value.weight)");
  }
  SECTION("parts of different shapes") {
    at(key)->second = torch::zeros({4, 8});
    refused("of another shape: blocks.0.attn.qkv.weight is put together of (8, 8), (4, 8)");
  }
}
