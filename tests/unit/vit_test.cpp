// What holds for every vision transformer: rates act in training alone, tokens and attention maps are those of
// forward().
#include <sslmeme/core/error.hpp>
#include <sslmeme/core/precision.hpp>
#include <sslmeme/core/random.hpp>
#include <sslmeme/nn/vit.hpp>
#include <sslmeme/nn/weights.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <string>
#include <vector>

#include "close_to.hpp"
#include "state.hpp"

namespace sm = sslmeme;
using sm::Tensor;
using sm::test::AllCloseTo;
using sm::test::bf16_rounding;
using sm::test::fp32_rounding;

namespace {

const sm::VitOptions small{.image_size = 32, .patch_size = 8, .width = 24, .depth = 3, .heads = 3};

/// A ViT in which every weight counts: initial ones leave the class token and biases at next to nothing.
sm::ImageEncoder vit(const sm::VitOptions& options) {
  const sm::TorchSeedScope seeded{3};
  auto encoder = sm::make_vit(options);
  const torch::NoGradGuard no_grad;
  for (auto& parameter : encoder->parameters()) parameter.add_(torch::randn_like(parameter) * 0.1);
  return encoder;
}

}  // namespace

TEST_CASE("Every rate of a ViT acts in training, and in training alone") {
  const torch::NoGradGuard no_grad;
  const auto images = torch::randn({3, 3, 32, 32});
  auto options = small;
  options.pooling = GENERATE(sm::Pooling::first, sm::Pooling::mean);
  const auto expected = vit(options)->forward(images);
  double sm::VitOptions::* const rate =
      GENERATE(&sm::VitOptions::drop_rate, &sm::VitOptions::pos_drop_rate, &sm::VitOptions::patch_drop_rate,
               &sm::VitOptions::proj_drop_rate, &sm::VitOptions::attn_drop_rate, &sm::VitOptions::drop_path_rate);
  options.*rate = 0.3;
  const auto encoder = vit(options);
  encoder->eval();
  CHECK(torch::equal(encoder->forward(images), expected));
  encoder->train();
  const auto draw = [&](std::uint64_t seed) {
    const sm::TorchSeedScope seeded{seed};
    return encoder->forward(images);
  };
  CHECK_FALSE(torch::equal(draw(1), expected));
  CHECK_FALSE(torch::equal(draw(1), draw(2)));
  CHECK(torch::equal(draw(1), draw(1)));
}

TEST_CASE("Patch dropout leaves the class token and the share of the patches that timm leaves") {
  const torch::NoGradGuard no_grad;
  const auto images = torch::randn({2, 3, 32, 32});  // 16 patches
  const std::pair<double, std::int64_t> rates[] = {{0.5, 8}, {0.4, 9}, {0.99, 1}, {0, 16}};
  for (const auto& [rate, kept] : rates) {
    auto options = small;
    options.patch_drop_rate = rate;
    const auto encoder = vit(options);
    const auto encoded = encoder->encode(images, {.tokens = true, .attention = true});
    CHECK(encoded.tokens.size(1) == 1 + kept);
    CHECK(encoded.attention[0].sizes() == torch::IntArrayRef({2, 3, 1 + kept, 1 + kept}));
    encoder->eval();
    CHECK(encoder->encode(images, {.tokens = true}).tokens.size(1) == 17);
  }
}

TEST_CASE("Patch dropout draws for each picture anew and never takes a patch twice") {
  const torch::NoGradGuard no_grad;
  // Without blocks' branches a token is its patch: the class token's attention is all that is left to see.
  auto options = small;
  options.depth = 1;
  options.patch_drop_rate = 0.5;
  options.pooling = sm::Pooling::mean;
  const auto encoder = vit(options);
  for (const auto& name :
       {"blocks.0.attn.proj.weight", "blocks.0.attn.proj.bias", "blocks.0.mlp.fc2.weight", "blocks.0.mlp.fc2.bias"}) {
    encoder->named_parameters()[name].zero_();
  }
  const auto image = torch::randn({1, 3, 32, 32});
  encoder->eval();
  const auto all = encoder->encode(image, {.tokens = true}).tokens[0];
  encoder->train();
  const auto left = encoder->encode(image.expand({6, -1, -1, -1}), {.tokens = true}).tokens;
  std::vector<Tensor> choices;
  for (std::int64_t i = 0; i < 6; ++i) {
    CHECK(torch::equal(left[i][0], all[0]));
    const auto same = (left[i].narrow(0, 1, 8).unsqueeze(1) == all.narrow(0, 1, 16).unsqueeze(0)).all(-1);  // (8, 16)
    CHECK(torch::equal(same.sum(1), torch::ones({8}, torch::kLong)));
    CHECK(same.sum(0).max().item<int>() == 1);
    choices.push_back(same.sum(0));
  }
  CHECK_FALSE(torch::equal(choices[0], choices[1]));
}

TEST_CASE("Tokens and attention maps are those that the features come from") {
  auto options = small;
  options.pooling = GENERATE(sm::Pooling::first, sm::Pooling::mean);
  options.num_classes = GENERATE(0, 4);
  const auto encoder = vit(options);
  encoder->eval();
  const auto images = torch::randn({2, 3, 32, 32});
  const auto features = encoder->forward(images);
  const auto encoded = encoder->encode(images, {.tokens = true, .attention = true});
  CHECK_THAT(encoded.features, AllCloseTo(features, fp32_rounding));
  REQUIRE(encoded.tokens.sizes() == torch::IntArrayRef({2, 17, 24}));
  const auto parameters = encoder->named_parameters();
  auto pooled = encoded.tokens.select(1, 0);
  if (options.pooling == sm::Pooling::mean) {
    pooled = torch::layer_norm(encoded.tokens.narrow(1, 1, 16).mean(1), {24}, parameters["fc_norm.weight"],
                               parameters["fc_norm.bias"], options.norm_eps);
  }
  if (options.num_classes > 0) pooled = torch::linear(pooled, parameters["head.weight"], parameters["head.bias"]);
  CHECK_THAT(encoded.features, AllCloseTo(pooled, fp32_rounding));

  REQUIRE(encoded.attention.size() == 3);
  for (const auto& map : encoded.attention) {
    CHECK(map.sizes() == torch::IntArrayRef({2, 3, 17, 17}));
    CHECK_FALSE(map.requires_grad());
    CHECK_THAT(map.sum(-1), AllCloseTo(torch::ones({2, 3, 17}), fp32_rounding));
  }
  const auto plain = encoder->encode(images, {});
  CHECK(torch::equal(plain.features, features));
  CHECK_FALSE(plain.tokens.defined());
  CHECK(plain.attention.empty());
}

TEST_CASE("Attention maps in bf16 come in fp32 and their rows sum to 1") {
  const torch::NoGradGuard no_grad;
  const auto encoder = vit(small);
  const auto images = torch::randn({2, 3, 32, 32});
  const auto expected = encoder->encode(images, {.attention = true});
  const sm::Autocast autocast{sm::Precision::bf16, torch::kCPU};
  const auto encoded = encoder->encode(images, {.attention = true});
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(encoded.attention[i].scalar_type() == torch::kFloat);
    CHECK_THAT(encoded.attention[i].sum(-1), AllCloseTo(torch::ones({2, 3, 17}), fp32_rounding));
    CHECK_THAT(encoded.attention[i], AllCloseTo(expected.attention[i], bf16_rounding));
  }
  CHECK_THAT(encoded.features, AllCloseTo(expected.features, {0.03, 0.03}));
}

TEST_CASE("Features of a ViT whose weights are bf16 come close to those of fp32") {
  const torch::NoGradGuard no_grad;
  auto options = small;
  options.pooling = GENERATE(sm::Pooling::first, sm::Pooling::mean);
  options.dynamic_img_size = true;
  const auto images = torch::randn({2, 3, 40, 24});  // the positions interpolated
  const auto expected = vit(options)->forward(images);
  const auto half = vit(options);
  half->to(torch::kBFloat16);
  CHECK_THAT(half->forward(images.to(torch::kBFloat16)), AllCloseTo(expected, {0.03, 0.06}));
}

TEST_CASE("Checkpointed blocks draw the same random numbers the second time") {
  auto options = small;
  options.drop_path_rate = 0.5;
  options.proj_drop_rate = options.attn_drop_rate = 0.2;
  const auto images = torch::randn({4, 3, 32, 32});
  const auto gradients = [&](bool checkpointing) {
    const auto encoder = vit(options);
    encoder->set_grad_checkpointing(checkpointing);
    {
      const sm::TorchSeedScope seeded{7};
      encoder->forward(images).pow(2).sum().backward();
    }
    std::vector<Tensor> all;
    for (const auto& parameter : encoder->parameters()) all.push_back(parameter.grad());
    return all;
  };
  const auto plain = gradients(false), twice = gradients(true);
  for (std::size_t i = 0; i < plain.size(); ++i) CHECK_THAT(twice[i], AllCloseTo(plain[i], {1e-5, 1e-5, 1e-6}));
}

TEST_CASE("Positions that cannot be a square grid for this ViT are none of its business") {
  const auto encoder = vit(small);
  const auto stored = torch::randn({1, 1 + 36, 24});
  CHECK(encoder->resampled("pos_embed", stored).sizes() == torch::IntArrayRef({1, 17, 24}));
  CHECK(torch::equal(encoder->resampled("pos_embed", stored).select(1, 0), stored.select(1, 0)));
  const auto fitting = torch::randn({1, 17, 24});
  CHECK(torch::equal(encoder->resampled("pos_embed", fitting), fitting));
  CHECK_FALSE(encoder->resampled("cls_token", stored).defined());
  for (const auto& other :
       {torch::randn({1, 36, 24}), torch::randn({1, 37, 12}), torch::randn({2, 37, 24}), torch::randn({37, 24}),
        torch::randn({1, 1, 24}), torch::randn({1, 0, 24}), torch::ones({1, 37, 24}, torch::kLong)}) {
    CHECK_FALSE(encoder->resampled("pos_embed", other).defined());
  }
}

TEST_CASE("A constant grid of positions stays constant at every size") {
  const auto encoder = vit(small);
  const auto stored = torch::cat({torch::zeros({1, 1, 24}), torch::full({1, 49, 24}, 2.5)}, 1);
  const auto resampled = encoder->resampled("pos_embed", stored);
  CHECK_THAT(resampled.narrow(1, 1, 16), AllCloseTo(torch::full({1, 16, 24}, 2.5), fp32_rounding));
}
