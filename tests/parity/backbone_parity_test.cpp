// Our backbones against timm's and transformers': same names, same numbers (scripts/golden/backbones.py).
#include <sslmeme/core/precision.hpp>
#include <sslmeme/nn/bert.hpp>
#include <sslmeme/nn/resnet.hpp>
#include <sslmeme/nn/vit.hpp>
#include <sslmeme/nn/weights.hpp>

#include <ATen/Context.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/normalization.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>

#include "close_to.hpp"
#include "json_files.hpp"
#include "parity/golden.hpp"

namespace sm = sslmeme;
using sm::Tensor;
using sm::test::AllCloseTo;
using sm::test::bf16_error;
using sm::test::check_gradients;
using sm::test::fp32_deep;
using sm::test::fp32_rounding;
using sm::test::Golden;
using sm::test::relative_error;

namespace {

/// Tokens are a view of the last feature map: its places lie one behind the other only where channels vary fastest.
bool runs_channels_last(sm::ImageBackbone& resnet, const Tensor& images) {
  return resnet.encode(images, {.tokens = true}).tokens.is_contiguous();
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
  CHECK_FALSE(runs_channels_last(*features, images));  // too narrow

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

/// The weights that scripts/golden/backbones.py computes in randomise_by_formula().
void set_by_formula(torch::nn::Module& module) {
  const torch::NoGradGuard no_grad;
  for (auto& [name, tensor] : sm::state_of(module)) {
    if (tensor.scalar_type() == torch::kLong) continue;
    std::int64_t n = 0;
    for (std::size_t place = 0; place < name.size(); ++place) n += static_cast<std::int64_t>(place + 1) * name[place];
    const auto i = torch::arange(tensor.numel(), torch::kLong);
    const auto values = ((31 * i * i + (2 * n + 17) * i + 7919 * n).remainder(65521) / 65521.0).view(tensor.sizes());
    if (tensor.dim() > 1) {
      tensor.copy_((2 * values - 1) * (2.5 / std::sqrt(static_cast<double>(tensor[0].numel()))));
    } else if (name.ends_with("weight") || name.ends_with("running_var")) {
      tensor.copy_(0.5 + values);
    } else {
      tensor.copy_(0.6 * values - 0.3);
    }
  }
}

/// The encoder that a golden is of, with its weights; it gives features.
sm::ImageEncoder encoder_of(const std::string& name, const Golden& golden) {
  if (name == "resnet_channels_last") {
    auto resnet = sm::make_resnet({.blocks = {1, 2, 1, 1}, .bottleneck = true, .width = 16});
    set_by_formula(*resnet);
    return resnet;
  }
  const bool is_resnet = name == "resnet_basic", mean = name == "vit_mean";
  auto encoder = is_resnet ? sm::make_resnet({.blocks = {1, 2, 1, 1}, .width = 6})
                           : sm::make_vit({.image_size = 32,
                                           .patch_size = 8,
                                           .width = mean ? 24 : 48,
                                           .depth = mean ? 3 : 2,
                                           .heads = 3,
                                           .pooling = mean ? sm::Pooling::mean : sm::Pooling::first});
  golden.load_into(*encoder, is_resnet ? "fc." : "head.");
  return encoder;
}

/// Random numbers that LibTorch draws from a seed are those that Python's torch draws, but dropout's without MKL.
bool draws_as_the_reference() {
  return at::hasMKL();
}

}  // namespace

TEST_CASE("A ResNet of basic blocks is timm's") {
  check_resnet("resnet_basic", {.blocks = {1, 2, 1, 1}, .width = 6});
}

TEST_CASE("A ResNet of bottlenecks is timm's") {
  check_resnet("resnet_bottleneck", {.blocks = {1, 2, 1, 1}, .bottleneck = true, .width = 3});
}

TEST_CASE("A ResNet wide enough for channels last is timm's, its rates included") {
  const Golden golden{"resnet_channels_last"};
  const std::string prefix = GENERATE("train/", "rates/");
  sm::ResNetOptions options{.blocks = {1, 2, 1, 1}, .bottleneck = true, .width = 16};
  if (prefix == "rates/") {
    options.drop_rate = 0.1;
    options.drop_path_rate = 0.5;
  }
  const auto features = sm::make_resnet(options);
  set_by_formula(*features);
  options.num_classes = 5;
  const auto classifier = sm::make_resnet(options);
  set_by_formula(*classifier);
  const auto images = golden["input"];

  features->eval();
  classifier->eval();
  const auto encoded = features->encode(images, {.tokens = true});
  CHECK_THAT(encoded.features, AllCloseTo(golden["features"], fp32_deep));
  CHECK_THAT(encoded.tokens, AllCloseTo(golden["tokens"], {1e-4, 1e-5, 1e-6}));  // up to 80, of both signs before ReLU
  CHECK(runs_channels_last(*features, images));
  CHECK_THAT(classifier->forward(images), AllCloseTo(golden["logits"], fp32_deep));

  if (options.drop_rate > 0 && !draws_as_the_reference()) SKIP("this LibTorch draws other random numbers");
  features->train();
  torch::manual_seed(22);
  const auto trained = features->forward(images);
  CHECK_THAT(trained, AllCloseTo(golden[prefix + "features"], fp32_deep));
  check_gradients(golden, *features, trained, prefix);
  const auto buffers = features->named_buffers();
  for (const auto& [key, state] : golden.all(prefix + "state/")) {
    INFO(key);
    CHECK_THAT(buffers[key], AllCloseTo(state, fp32_deep));
  }
}

TEST_CASE("Both poolings of a vision transformer, its tokens, attention maps and rates are timm's") {
  const auto pooling = GENERATE(sm::Pooling::mean, sm::Pooling::first);
  const Golden golden{pooling == sm::Pooling::mean ? "vit_mean" : "vit_rates"};
  sm::VitOptions options{.image_size = 32,
                         .patch_size = 8,
                         .width = 24,
                         .depth = 3,
                         .heads = 3,
                         .pooling = pooling,
                         .drop_rate = 0.1,
                         .pos_drop_rate = 0.05,
                         .patch_drop_rate = 0.4,
                         .proj_drop_rate = 0.15,
                         .attn_drop_rate = 0.2,
                         .drop_path_rate = 0.5};
  const auto features = sm::make_vit(options);
  golden.load_into(*features, "head.");
  options.num_classes = 5;
  const auto classifier = sm::make_vit(options);
  golden.load_into(*classifier);
  const auto images = golden["input"];

  features->eval();
  classifier->eval();
  CHECK_THAT(classifier->forward(images), AllCloseTo(golden["logits"], fp32_deep));
  const auto output = features->forward(images);
  CHECK_THAT(output, AllCloseTo(golden["features"], fp32_deep));
  check_gradients(golden, *features, output);
  const auto encoded = features->encode(images, {.tokens = true, .attention = true});
  CHECK_THAT(encoded.tokens, AllCloseTo(golden["tokens"], fp32_deep));
  REQUIRE(encoded.attention.size() == 3);
  for (std::size_t i = 0; i < 3; ++i)
    CHECK_THAT(encoded.attention[i], AllCloseTo(golden["attention/" + std::to_string(i)], fp32_deep));

  if (!draws_as_the_reference()) SKIP("this LibTorch draws other random numbers");
  features->train();
  torch::manual_seed(21);
  const auto trained = features->forward(images);
  CHECK_THAT(trained, AllCloseTo(golden["train/features"], fp32_deep));
  check_gradients(golden, *features, trained, "train/");
}

TEST_CASE("Stored positions become those of another image size as timm loads them") {
  const Golden golden{"vit_positions"};
  for (const std::int64_t side : {7, 24}) {
    const auto encoder = sm::make_vit({.image_size = 16 * side, .patch_size = 16, .width = 6, .depth = 1, .heads = 1});
    const auto name = "grid_" + std::to_string(side);
    CHECK_THAT(encoder->resampled("pos_embed", golden["stored"]), AllCloseTo(golden[name], fp32_rounding));
    const auto half = encoder->resampled("pos_embed", golden["stored"].to(torch::kBFloat16));
    CHECK(half.scalar_type() == torch::kBFloat16);
    CHECK_THAT(half, AllCloseTo(golden[name + "_bf16"], {4e-3, 1e-4}));  // one step of bf16
  }

  const Golden smaller{"vit_dynamic"};  // weights for pictures of 32 pixels
  const auto encoder = sm::make_vit({.image_size = 48, .patch_size = 8, .width = 48, .depth = 1, .heads = 3});
  sm::NamedTensors weights;
  for (const auto& [name, stored] : smaller.all("weights/")) {
    const auto resampled = encoder->resampled(name, stored);
    weights.emplace_back(name, resampled.defined() ? resampled : stored);
  }
  sm::load_state(*encoder, weights);
  CHECK_THAT(encoder->named_parameters()["pos_embed"], AllCloseTo(smaller["resized/pos_embed"], fp32_rounding));
  CHECK_THAT(encoder->forward(smaller["input_48"]), AllCloseTo(smaller["resized/features"], fp32_deep));
}

TEST_CASE("A vision transformer is timm's") {
  const Golden golden{"vit"};
  sm::VitOptions options{.image_size = 32, .patch_size = 8, .width = 48, .depth = 2, .heads = 3};
  const auto features = sm::make_vit(options);
  golden.load_into(*features, "head.");
  options.num_classes = 5;
  const auto classifier = sm::make_vit(options);
  golden.load_into(*classifier);

  const auto norm = features->named_children()["norm"]->as<torch::nn::LayerNorm>();
  CHECK_THAT(features->encode(golden["input"], {.tokens = true}).tokens,
             AllCloseTo(norm->forward(golden["blocks_out"]), fp32_deep));
  CHECK_THAT(classifier->forward(golden["input"]), AllCloseTo(golden["logits"], fp32_deep));
  const auto output = features->forward(golden["input"]);
  CHECK_THAT(output, AllCloseTo(golden["features"], fp32_deep));
  check_gradients(golden, *features, output);

  options.depth = 1;
  const auto one_block = sm::make_vit(options);
  golden.load_into(*one_block, "blocks.1.");
  CHECK_THAT(one_block->encode(golden["input"], {.tokens = true}).tokens,
             AllCloseTo(norm->forward(golden["first_block"]), fp32_deep));
}

TEST_CASE("Picture encoders keep timm's numbers in bfloat16") {
  const std::string name = GENERATE("vit", "vit_mean", "resnet_basic", "resnet_channels_last");
  INFO(name);
  const Golden golden{name};
  const auto encoder = encoder_of(name, golden);
  encoder->eval();
  const torch::NoGradGuard no_grad;
  SECTION("by autocast") {
    const sm::Autocast autocast{sm::Precision::bf16, torch::kCPU};
    CHECK(relative_error(encoder->forward(golden["input"]), golden["features"]) < bf16_error);
  }
  SECTION("by weights") {
    encoder->to(torch::kBFloat16);
    const auto features = encoder->forward(golden["input"].to(torch::kBFloat16));
    CHECK(features.scalar_type() == torch::kBFloat16);
    CHECK(relative_error(features, golden["features"]) < bf16_error);
  }
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

TEST_CASE("The state of named encoders has the reference's names and shapes") {
  const auto golden = sm::test::json_of(SSLMEME_TEST_DATA "/parity/state_names.json");
  const auto registry = sm::BackboneRegistry::built_in();
  const auto pictures = registry.image_names();
  CHECK(golden.size() == 1 + 12 + 3);  // made_by, pictures, texts
  for (const auto& [name, expected] : golden.items()) {
    if (name == "made_by") continue;
    INFO(name);
    const bool picture = std::find(pictures.begin(), pictures.end(), name) != pictures.end();
    const auto state = picture ? sm::state_of(*sm::image_encoder(name)) : sm::state_of(*sm::text_encoder(name));
    nlohmann::json found = nlohmann::json::object();
    for (const auto& [key, tensor] : state) found[key] = tensor.sizes().vec();
    CHECK(nlohmann::json::diff(expected, found) == nlohmann::json::array());
  }
}
