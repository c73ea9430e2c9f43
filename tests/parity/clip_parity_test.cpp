// CLIP's towers against open_clip's: same names, same numbers (scripts/golden/clip.py).
#include <sslmeme/core/precision.hpp>
#include <sslmeme/nn/clip.hpp>
#include <sslmeme/nn/weights.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <nlohmann/json.hpp>

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

sm::NamedTensors picture_weights(const Golden& golden) {
  const auto visual = golden.all("weights/visual.");
  return {visual.begin(), visual.end()};
}

sm::NamedTensors text_weights(const Golden& golden) {
  sm::NamedTensors weights;
  for (const auto& [name, tensor] : golden.all("weights/")) {
    if (!name.starts_with("visual.") && name != "logit_scale") weights.emplace_back(name, tensor);
  }
  return weights;
}

sm::ImageEncoder picture_tower(const Golden& golden, bool quick_gelu = false,
                               sm::Pooling pooling = sm::Pooling::first) {
  auto tower = sm::make_clip_vit({.image_size = 32,
                                  .patch_size = 8,
                                  .width = 24,
                                  .depth = 2,
                                  .heads = 3,
                                  .embed_dim = 20,
                                  .quick_gelu = quick_gelu,
                                  .pooling = pooling});
  sm::load_state(*tower, picture_weights(golden));
  return tower;
}

sm::TextEncoder text_tower(const Golden& golden, bool quick_gelu = false) {
  auto tower = sm::make_clip_text({.vocabulary_size = 60,
                                   .max_tokens = 10,
                                   .width = 24,
                                   .depth = 2,
                                   .heads = 3,
                                   .embed_dim = 20,
                                   .quick_gelu = quick_gelu});
  sm::load_state(*tower, text_weights(golden));
  return tower;
}

sm::ImageEncoder resnet_tower(const Golden& golden) {
  auto tower =
      sm::make_clip_resnet({.image_size = 64, .blocks = {1, 2, 1, 1}, .width = 2, .heads = 4, .embed_dim = 12});
  golden.load_into(*tower);
  return tower;
}

void check_attention(const Golden& golden, const std::string& prefix, const std::vector<Tensor>& maps) {
  REQUIRE(maps.size() == 2);
  for (std::size_t i = 0; i < maps.size(); ++i) {
    CHECK_THAT(maps[i], AllCloseTo(golden[prefix + std::to_string(i)], fp32_deep));
  }
}

Tensor mask_of(const Tensor& tokens) {
  return tokens != 0;
}

}  // namespace

TEST_CASE("CLIP's picture tower is open_clip's") {
  const Golden golden{"clip_towers"};
  const auto images = golden["images"];
  const auto tower = picture_tower(golden);
  const auto features = tower->forward(images);
  CHECK(tower->feature_dim() == features.size(1));
  CHECK_THAT(features, AllCloseTo(golden["gelu/image_features"], fp32_deep));
  check_gradients(golden, *tower, features, "image/", 5);

  const auto encoded = tower->encode(images, {.tokens = true, .attention = true});
  CHECK_THAT(encoded.features, AllCloseTo(golden["gelu/image_features"], fp32_deep));
  CHECK_THAT(encoded.tokens.narrow(1, 1, 16), AllCloseTo(golden["image_patches"], fp32_deep));
  check_attention(golden, "image_attention/", encoded.attention);

  const auto mean = picture_tower(golden, false, sm::Pooling::mean);
  CHECK_THAT(mean->forward(images), AllCloseTo(golden["mean/image_features"], fp32_deep));
}

TEST_CASE("CLIP's picture tower with QuickGELU is open_clip's") {
  const Golden golden{"clip_towers"};
  const auto tower = picture_tower(golden, true);
  const auto features = tower->forward(golden["images"]);
  CHECK_THAT(features, AllCloseTo(golden["quick/image_features"], fp32_deep));
  check_gradients(golden, *tower, features, "quick/", 2);
}

TEST_CASE("CLIP's text tower is open_clip's, trimmed or padded") {
  const Golden golden{"clip_towers"};
  const auto tokens = golden["tokens"], mask = mask_of(tokens);
  const auto tower = text_tower(golden);
  const auto features = tower->forward(tokens, mask);
  CHECK(tower->feature_dim() == features.size(1));
  CHECK_THAT(features, AllCloseTo(golden["gelu/text_features"], fp32_deep));
  check_gradients(golden, *tower, features, "text/", 5);
  CHECK_THAT(text_tower(golden, true)->forward(tokens, mask), AllCloseTo(golden["quick/text_features"], fp32_deep));

  const auto encoded = tower->encode(tokens, mask, {.tokens = true, .attention = true});
  CHECK_THAT(encoded.features, AllCloseTo(golden["gelu/text_features"], fp32_deep));
  CHECK_THAT(encoded.tokens, AllCloseTo(golden["text_tokens"], fp32_deep));
  check_attention(golden, "text_attention/", encoded.attention);

  SECTION("the short captions alone, cut at the longest of them") {
    const auto rows = torch::tensor({0, 2, 3});
    const auto few = tokens.index_select(0, rows).narrow(1, 0, 6);
    CHECK_THAT(tower->forward(few, mask_of(few)),
               AllCloseTo(golden["gelu/text_features"].index_select(0, rows), fp32_deep));
  }
}

TEST_CASE("CLIP's ResNet is open_clip's") {
  const Golden golden{"clip_resnet"};
  const auto tower = resnet_tower(golden);
  const auto images = golden["input"];
  tower->eval();
  CHECK_THAT(tower->forward(images), AllCloseTo(golden["features"], fp32_deep));
  const auto encoded = tower->encode(images, {.tokens = true});
  CHECK_THAT(encoded.features, AllCloseTo(golden["features"], fp32_deep));
  CHECK_THAT(encoded.tokens, AllCloseTo(golden["tokens"], fp32_deep));

  tower->train();
  const auto trained = tower->forward(images);
  CHECK(tower->feature_dim() == trained.size(1));
  CHECK_THAT(trained, AllCloseTo(golden["train/features"], fp32_deep));
  check_gradients(golden, *tower, trained, "", 6);
  const auto buffers = tower->named_buffers();
  const auto expected = golden.all("train/state/");
  REQUIRE(expected.size() == buffers.size());
  for (const auto& [key, state] : expected) {
    INFO(key);
    CHECK_THAT(buffers[key], AllCloseTo(state, fp32_deep));
  }
}

TEST_CASE("CLIP's towers together give open_clip's logits") {
  const Golden golden{"clip_towers"};
  const auto quick_gelu = GENERATE(false, true);
  const auto picture = sm::l2_normalize(picture_tower(golden, quick_gelu)->forward(golden["images"]));
  const auto tokens = golden["tokens"];
  const auto text = sm::l2_normalize(text_tower(golden, quick_gelu)->forward(tokens, mask_of(tokens)));
  const auto logits = golden["weights/logit_scale"].exp() * torch::matmul(picture, text.t());
  CHECK_THAT(logits, AllCloseTo(golden[quick_gelu ? "quick/logits_per_image" : "gelu/logits_per_image"], fp32_deep));
}

TEST_CASE("CLIP's towers in bf16 come close to open_clip's in fp32") {
  const torch::NoGradGuard no_grad;
  const Golden golden{"clip_towers"};
  const Golden resnet_golden{"clip_resnet"};
  const auto images = golden["images"], tokens = golden["tokens"];
  const auto quick_gelu = GENERATE(false, true);
  const std::string variant = quick_gelu ? "quick/" : "gelu/";
  const auto picture = picture_tower(golden, quick_gelu);
  const auto text = text_tower(golden, quick_gelu);
  const auto resnet = resnet_tower(resnet_golden);
  resnet->eval();
  const auto check = [&](const Tensor& features, const Tensor& expected) {
    CHECK(relative_error(features, expected) < bf16_error);
  };
  SECTION("by autocast") {
    const sm::Autocast autocast{sm::Precision::bf16, torch::kCPU};
    check(picture->forward(images), golden[variant + "image_features"]);
    check(text->forward(tokens, mask_of(tokens)), golden[variant + "text_features"]);
    check(resnet->forward(resnet_golden["input"]), resnet_golden["features"]);
  }
  SECTION("with weights in bf16") {
    picture->to(torch::kBFloat16);
    text->to(torch::kBFloat16);
    const auto features = picture->forward(images.to(torch::kBFloat16));
    CHECK(features.scalar_type() == torch::kBFloat16);
    check(features, golden[variant + "image_features"]);
    check(text->forward(tokens, mask_of(tokens)), golden[variant + "text_features"]);
    resnet->to(torch::kBFloat16);
    const auto of_resnet = resnet->forward(resnet_golden["input"].to(torch::kBFloat16));
    CHECK(of_resnet.scalar_type() == torch::kBFloat16);
    check(of_resnet, resnet_golden["features"]);
  }
}

TEST_CASE("Positions stored for another size are interpolated as open_clip does") {
  const Golden golden{"clip_towers"};
  const auto picture = picture_tower(golden);
  const auto text = text_tower(golden);
  const std::string name = "positional_embedding";
  for (const std::string direction : {"down", "up"}) {
    INFO(direction);
    const auto of_picture = "resize/image_" + direction, of_text = "resize/text_" + direction;
    CHECK_THAT(picture->resampled(name, golden[of_picture + "/given"]),
               AllCloseTo(golden[of_picture + "/result"], fp32_rounding));
    CHECK_THAT(text->resampled(name, golden[of_text + "/given"]),
               AllCloseTo(golden[of_text + "/result"], fp32_rounding));
  }
}

TEST_CASE("The state of every CLIP tower has open_clip's names and shapes") {
  const auto golden = sm::test::json_of(SSLMEME_TEST_DATA "/parity/clip_state_names.json");
  const auto check = [&](const nlohmann::json& expected, const torch::nn::Module& module) {
    nlohmann::json state = nlohmann::json::object();
    for (const auto& [key, tensor] : sm::state_of(module)) state[key] = tensor.sizes().vec();
    CHECK(nlohmann::json::diff(expected, state) == nlohmann::json::array());
  };
  REQUIRE(golden.at("image").size() == 3);
  for (const auto& [name, state] : golden.at("image").items()) {
    INFO(name);
    for (const auto* ending : {"", "-quickgelu"}) check(state, *sm::image_encoder(name + ending));
  }
  REQUIRE(golden.at("text").size() == 3);
  for (const auto& [name, state] : golden.at("text").items()) {
    INFO(name);
    for (const auto* ending : {"", "-quickgelu"}) check(state, *sm::text_encoder(name + ending));
  }
}
