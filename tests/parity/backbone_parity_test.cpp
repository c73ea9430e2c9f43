// Our backbones against timm's and transformers': same names, same numbers (scripts/golden/backbones.py).
#include <sslmeme/nn/bert.hpp>
#include <sslmeme/nn/resnet.hpp>
#include <sslmeme/nn/vit.hpp>
#include <sslmeme/nn/weights.hpp>

#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>
#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>

#include <map>
#include <string>

#include "close_to.hpp"
#include "json_files.hpp"
#include "parity/golden.hpp"

namespace sm = sslmeme;
using sm::Tensor;
using sm::test::AllCloseTo;
using sm::test::fp32_deep;
using sm::test::fp32_gradient;
using sm::test::fp32_rounding;
using sm::test::Golden;

namespace {

void check_gradients(const Golden& golden, torch::nn::Module& module, const Tensor& features) {
  module.zero_grad();
  (features * golden["probe"]).sum().backward();
  const auto expected = golden.all("gradient/");
  REQUIRE(expected.size() == 2);
  const auto parameters = module.named_parameters();
  for (const auto& [name, gradient] : expected) {
    INFO(name);
    CHECK_THAT(parameters[name].grad(), AllCloseTo(gradient, fp32_gradient));
  }
}

void check_resnet(const std::string& name, sm::ResNetOptions options) {
  const Golden golden{name};
  const auto features = sm::make_resnet(options);
  golden.load_into(*features, "fc.");
  options.num_classes = 5;
  const auto classifier = sm::make_resnet(options);
  golden.load_into(*classifier);
  const auto images = golden["input"];

  features->eval();
  classifier->eval();
  CHECK_THAT(features->forward(images), AllCloseTo(golden["features"], fp32_deep));
  CHECK_THAT(classifier->forward(images), AllCloseTo(golden["logits"], fp32_deep));
  CHECK(features->feature_dim() == golden["features"].size(1));
  CHECK(classifier->feature_dim() == 5);

  const auto children = features->named_children();
  auto x = children["conv1"]->as<torch::nn::Conv2d>()->forward(images);
  x = torch::max_pool2d(children["bn1"]->as<torch::nn::BatchNorm2d>()->forward(x).relu(), 3, 2, 1);
  CHECK_THAT(children["layer1"]->as<torch::nn::Sequential>()->forward(x), AllCloseTo(golden["layer1"], fp32_deep));

  features->train();
  const auto trained = features->forward(images);
  CHECK_THAT(trained, AllCloseTo(golden["train/features"], fp32_deep));
  check_gradients(golden, *features, trained);
  const auto buffers = features->named_buffers();
  const auto expected = golden.all("train/state/");
  REQUIRE(expected.size() == buffers.size());
  for (const auto& [key, state] : expected) {
    INFO(key);
    CHECK_THAT(buffers[key], AllCloseTo(state, fp32_deep));
  }
}

}  // namespace

TEST_CASE("A ResNet of basic blocks is timm's") {
  check_resnet("resnet_basic", {.blocks = {1, 2, 1, 1}, .width = 6});
}

TEST_CASE("A ResNet of bottlenecks is timm's") {
  check_resnet("resnet_bottleneck", {.blocks = {1, 2, 1, 1}, .bottleneck = true, .width = 3});
}

TEST_CASE("A vision transformer is timm's") {
  const Golden golden{"vit"};
  sm::VitOptions options{.image_size = 32, .patch_size = 8, .width = 48, .depth = 2, .heads = 3};
  const auto features = sm::make_vit(options);
  golden.load_into(*features, "head.");
  options.num_classes = 5;
  const auto classifier = sm::make_vit(options);
  golden.load_into(*classifier);

  const auto blocks = features->named_children()["blocks"]->as<torch::nn::Sequential>();
  CHECK_THAT(blocks->forward(golden["blocks_in"]), AllCloseTo(golden["blocks_out"], fp32_deep));
  CHECK_THAT(classifier->forward(golden["input"]), AllCloseTo(golden["logits"], fp32_deep));
  const auto output = features->forward(golden["input"]);
  CHECK_THAT(output, AllCloseTo(golden["features"], fp32_deep));
  check_gradients(golden, *features, output);
}

TEST_CASE("A vision transformer takes other sizes as timm's does") {
  const Golden golden{"vit_dynamic"};
  const auto encoder =
      sm::make_vit({.image_size = 32, .patch_size = 8, .width = 48, .depth = 1, .heads = 3, .dynamic_img_size = true});
  golden.load_into(*encoder);
  CHECK_THAT(encoder->forward(golden["input_48"]), AllCloseTo(golden["features_48"], fp32_deep));
  const auto output = encoder->forward(golden["input"]);
  CHECK_THAT(output, AllCloseTo(golden["features"], fp32_deep));
  check_gradients(golden, *encoder, output);
}

TEST_CASE("A text encoder is transformers' BERT, padding and both poolings included") {
  const Golden golden{"bert"};
  sm::BertOptions options{
      .vocabulary_size = 90, .max_tokens = 20, .width = 48, .depth = 2, .heads = 12, .mlp_width = 192};
  const auto first = sm::make_bert(options);
  golden.load_into(*first);
  options.pooling = sm::Pooling::mean;
  const auto mean = sm::make_bert(options);
  golden.load_into(*mean);
  first->eval();
  mean->eval();

  const auto tokens = golden["tokens"], mask = golden["mask"];
  CHECK_THAT(first->forward(tokens, mask), AllCloseTo(golden["first"], fp32_deep));
  const auto row = tokens.narrow(0, 0, 1);
  CHECK_THAT(first->forward(row, mask.narrow(0, 0, 1)), AllCloseTo(golden["first_unpadded"], fp32_deep));
  const auto output = mean->forward(tokens, mask);
  CHECK_THAT(output, AllCloseTo(golden["mean"], fp32_deep));
  check_gradients(golden, *mean, output);

  SECTION("what stands in the padding changes nothing") {
    const auto other = torch::where(mask, tokens, torch::full_like(tokens, 89));
    CHECK_THAT(mean->forward(other, mask), AllCloseTo(output, fp32_rounding));
  }
}

TEST_CASE("The state of every named encoder has the reference's names and shapes") {
  const auto golden = sm::test::json_of(SSLMEME_TEST_DATA "/parity/state_names.json");
  const auto registry = sm::BackboneRegistry::built_in();
  const auto check = [&](const std::string& name, const torch::nn::Module& module) {
    INFO(name);
    nlohmann::json state = nlohmann::json::object();
    for (const auto& [key, tensor] : sm::state_of(module)) state[key] = tensor.sizes().vec();
    REQUIRE(golden.contains(name));
    CHECK(nlohmann::json::diff(golden.at(name), state) == nlohmann::json::array());
  };
  for (const auto& name : registry.image_names()) check(name, *sm::image_encoder(name));
  for (const auto& name : registry.text_names()) check(name, *sm::text_encoder(name));
}
