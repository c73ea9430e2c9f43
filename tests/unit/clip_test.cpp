// CLIP's towers: laws that need no reference, and what they refuse.
#include <sslmeme/core/error.hpp>
#include <sslmeme/nn/clip.hpp>
#include <sslmeme/nn/weights.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <cmath>
#include <set>
#include <string>

#include "close_to.hpp"
#include "state.hpp"

namespace sm = sslmeme;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::Message;
using Catch::Matchers::MessageMatches;
using sm::InvalidArgument;
using sm::Tensor;
using sm::test::AllCloseTo;
using sm::test::by_name;
using sm::test::fp32_deep;
using sm::test::fp32_gradient;
using sm::test::fp32_rounding;
using sm::test::gradients_of;
using sm::test::same_state;

namespace {

const sm::ImageEncoderOptions small_vit{.image_size = 32, .patch_size = 8, .width = 64, .depth = 2};
const sm::ImageEncoderOptions small_resnet{.image_size = 64, .width = 4, .depth = 1};
const sm::TextEncoderOptions small_text{.vocabulary_size = 50, .max_tokens = 12, .width = 32, .depth = 2};

Tensor captions() {
  return torch::tensor({{48, 3, 4, 49, 0, 0, 0, 0, 0, 0, 0, 0},
                        {48, 7, 1, 2, 9, 49, 0, 0, 0, 0, 0, 0},
                        {48, 49, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}});
}

Tensor mask_of(const Tensor& tokens) {
  return tokens != 0;
}

void check_deviation(const Tensor& tensor, double expected) {
  CHECK_THAT(tensor.mean(), AllCloseTo(torch::tensor(0.0), {0, 0.1 * expected}));
  CHECK_THAT(tensor.std(), AllCloseTo(torch::tensor(expected), {0.05, 0}));
}

void check_zero(const Tensor& tensor) {
  CHECK(tensor.count_nonzero().item<int>() == 0);
}

template <class Forward>
void check_checkpointing(sm::Backbone& encoder, const Forward& forward) {
  const auto plain = gradients_of(encoder, forward());
  encoder.set_grad_checkpointing();
  const auto again = gradients_of(encoder, forward());
  for (const auto& [name, gradient] : plain) {
    INFO(name);
    CHECK_THAT(again.at(name), AllCloseTo(gradient, fp32_gradient));
  }
}

}  // namespace

TEST_CASE("CLIP's towers share the space that their name says") {
  const torch::NoGradGuard no_grad;
  for (const std::string ending : {"", "-quickgelu"}) {
    for (const std::string name : {"ViT-B-16", "ViT-B-32"}) {
      INFO(name << ending);
      const auto picture = sm::image_encoder(name + ending, small_vit);
      CHECK(picture->feature_dim() == 512);
      CHECK(picture->forward(torch::randn({2, 3, 32, 32})).sizes() == torch::IntArrayRef({2, 512}));
      CHECK(sm::text_encoder(name + ending, small_text)->feature_dim() == 512);
    }
    const auto picture = sm::image_encoder("RN50" + ending, small_resnet);
    CHECK(picture->feature_dim() == 1024);
    CHECK(picture->forward(torch::randn({2, 3, 64, 64})).sizes() == torch::IntArrayRef({2, 1024}));
    const auto text = sm::text_encoder("RN50" + ending, small_text);
    CHECK(text->forward(captions(), mask_of(captions())).sizes() == torch::IntArrayRef({3, 1024}));
  }
}

TEST_CASE("A name of CLIP says its activation") {
  const auto exact = sm::image_encoder("ViT-B-32", small_vit);
  const auto quick = sm::image_encoder("ViT-B-32-quickgelu", small_vit);
  CHECK(same_state(*exact, *quick));
  const auto images = torch::randn({2, 3, 32, 32});
  CHECK_FALSE(torch::allclose(exact->forward(images), quick->forward(images)));
  for (const std::string name : {"ViT-B-16", "RN50"}) {
    const auto exact_text = sm::text_encoder(name, small_text),
               quick_text = sm::text_encoder(name + "-quickgelu", small_text);
    const auto mask = mask_of(captions());
    CHECK_FALSE(torch::equal(exact_text->forward(captions(), mask), quick_text->forward(captions(), mask)));
  }
}

TEST_CASE("What stands behind the end of a text changes nothing") {
  const torch::NoGradGuard no_grad;
  const auto text = sm::text_encoder("ViT-B-32", small_text);
  const auto tokens = captions();
  const auto padded = text->forward(tokens, mask_of(tokens));
  const auto trimmed = tokens.narrow(1, 0, 6);
  CHECK_THAT(text->forward(trimmed, mask_of(trimmed)), AllCloseTo(padded, fp32_rounding));
  auto other = tokens.clone();
  other.narrow(1, 6, 6).fill_(30);
  CHECK_THAT(text->forward(other, mask_of(other)), AllCloseTo(padded, fp32_rounding));
  CHECK_THAT(text->encode(tokens, mask_of(tokens), {.tokens = true}).features, AllCloseTo(padded, fp32_rounding));
  for (std::int64_t row = 0; row < 3; ++row) {
    const auto alone = tokens.narrow(0, row, 1);
    CHECK_THAT(text->forward(alone, mask_of(alone)), AllCloseTo(padded.narrow(0, row, 1), fp32_deep));
  }
  other = tokens.clone();
  other[0][1] = 5;
  CHECK_FALSE(torch::allclose(text->forward(other, mask_of(tokens))[0], padded[0]));
  CHECK(text->forward(tokens.narrow(0, 0, 0), mask_of(tokens).narrow(0, 0, 0)).sizes() == torch::IntArrayRef({0, 512}));

  // Nor is anything computed there: what is not a number would spread over the whole text.
  by_name(*text).at("positional_embedding").narrow(0, 6, 6).fill_(std::nan(""));
  CHECK_THAT(text->forward(tokens, mask_of(tokens)), AllCloseTo(padded, fp32_rounding));
}

TEST_CASE("Attention maps of CLIP's towers are rows of probabilities, causal in texts") {
  const torch::NoGradGuard no_grad;
  const auto check = [](const std::vector<Tensor>& maps, torch::IntArrayRef sizes) {
    REQUIRE(maps.size() == 2);
    for (const auto& map : maps) {
      CHECK(map.sizes() == sizes);
      CHECK(map.scalar_type() == torch::kFloat);
      CHECK_THAT(map.sum(-1), AllCloseTo(torch::ones(sizes.slice(0, 3)), fp32_rounding));
    }
  };
  const auto picture = sm::image_encoder("ViT-B-32", small_vit);
  const auto of_picture = picture->encode(torch::randn({2, 3, 32, 32}), {.attention = true});
  check(of_picture.attention, {2, 1, 17, 17});
  CHECK_FALSE(of_picture.tokens.defined());
  const auto text = sm::text_encoder("ViT-B-32", small_text);
  const auto of_text = text->encode(captions(), mask_of(captions()), {.attention = true});
  check(of_text.attention, {3, 8, 12, 12});
  for (const auto& map : of_text.attention) check_zero(map.triu(1));
}

TEST_CASE("Tokens of CLIP's towers give the features") {
  const torch::NoGradGuard no_grad;
  const auto picture = sm::image_encoder("ViT-B-32", small_vit);
  const auto images = torch::randn({2, 3, 32, 32});
  const auto of_picture = picture->encode(images, {.tokens = true});
  CHECK(of_picture.tokens.sizes() == torch::IntArrayRef({2, 17, 64}));
  CHECK(of_picture.attention.empty());
  CHECK_THAT(torch::matmul(of_picture.tokens.select(1, 0), by_name(*picture).at("proj")),
             AllCloseTo(picture->forward(images), fp32_rounding));
  const auto text = sm::text_encoder("ViT-B-32", small_text);
  const auto of_text = text->encode(captions(), mask_of(captions()), {.tokens = true});
  CHECK(of_text.tokens.sizes() == torch::IntArrayRef({3, 12, 32}));
  CHECK_THAT(torch::matmul(of_text.tokens[1][5], by_name(*text).at("text_projection")),
             AllCloseTo(of_text.features[1], fp32_rounding));
  const auto resnet = sm::image_encoder("RN50", small_resnet);
  CHECK(resnet->encode(torch::randn({2, 3, 64, 64}), {.tokens = true}).tokens.sizes() ==
        torch::IntArrayRef({2, 4, 128}));
}

TEST_CASE("Patch dropout of CLIP's tower keeps the class token and distinct patches, in training alone") {
  const torch::NoGradGuard no_grad;
  auto options = small_vit;
  options.depth = 1;
  const auto [rate, kept] = GENERATE(std::pair{0.5, 8}, std::pair{0.7, 4}, std::pair{0.99, 1});
  options.patch_drop_rate = rate;
  const auto tower = sm::image_encoder("ViT-B-32", options);
  // With branches at zero a token ends as it begins, so that it can be found again.
  for (const auto& [name, tensor] : sm::state_of(*tower)) {
    if (name.find("out_proj") != std::string::npos || name.find("c_proj") != std::string::npos) tensor.zero_();
  }
  const auto images = torch::randn({3, 3, 32, 32});
  tower->eval();
  const auto all = tower->encode(images, {.tokens = true}).tokens;
  REQUIRE(all.size(1) == 17);
  tower->train();
  const auto some = tower->encode(images, {.tokens = true}).tokens;
  REQUIRE(some.size(1) == 1 + kept);
  const auto distances = torch::cdist(some, all);
  CHECK_THAT(distances.amin(-1), AllCloseTo(torch::zeros({3, 1 + kept}), {0, 1e-2}));
  const auto places = distances.argmin(-1);
  std::set<std::string> choices;
  for (std::int64_t picture = 0; picture < 3; ++picture) {
    CHECK(places[picture][0].item<int>() == 0);
    CHECK(std::get<0>(torch::_unique2(places[picture])).numel() == 1 + kept);
    choices.insert(std::string(torch::str(places[picture])));
  }
  if (kept > 1) CHECK(choices.size() == 3);  // another choice for each picture
}

TEST_CASE("Gradient checkpointing of CLIP's towers gives the same gradients") {
  const auto images = torch::randn({2, 3, 32, 32});
  const auto picture = sm::image_encoder("ViT-B-32-quickgelu", small_vit);
  check_checkpointing(*picture, [&] { return picture->forward(images); });
  const auto text = sm::text_encoder("ViT-B-32", small_text);
  check_checkpointing(*text, [&] { return text->forward(captions(), mask_of(captions())); });
  const auto resnet = sm::image_encoder("RN50", small_resnet);
  resnet->eval();
  const auto large = torch::randn({2, 3, 64, 64});
  check_checkpointing(*resnet, [&] { return resnet->forward(large); });
}

TEST_CASE("CLIP's towers start with open_clip's deviations") {
  const double width = 256;
  SECTION("picture") {
    const auto state =
        by_name(*sm::image_encoder("ViT-B-32", {.image_size = 64, .patch_size = 8, .width = 256, .depth = 1}));
    for (const auto* name : {"class_embedding", "positional_embedding", "proj"}) {
      INFO(name);
      CHECK_THAT(state.at(name).std(), AllCloseTo(torch::tensor(1 / std::sqrt(width)), {0.15, 0}));
    }
    const std::string block = "transformer.resblocks.0.";
    // Uniform on ±√(6 / (in + out)) (Xavier) and on ±1/√in: the deviation is the bound over √3.
    check_deviation(state.at(block + "attn.in_proj_weight"), std::sqrt(2 / (width + 3 * width)));
    check_deviation(state.at(block + "attn.out_proj.weight"), 1 / std::sqrt(3 * width));
    check_deviation(state.at(block + "mlp.c_fc.weight"), 1 / std::sqrt(3 * width));
    check_deviation(state.at(block + "mlp.c_proj.weight"), 1 / std::sqrt(3 * 4 * width));
    check_deviation(state.at("conv1.weight"), 1 / std::sqrt(3.0 * 3 * 64));
    check_zero(state.at(block + "attn.in_proj_bias"));
    check_zero(state.at(block + "attn.out_proj.bias"));
    CHECK(state.at(block + "mlp.c_fc.bias").count_nonzero().item<int>() > 0);
  }
  SECTION("text") {
    const auto state = by_name(*sm::text_encoder("ViT-B-32", {.vocabulary_size = 500, .width = 256, .depth = 2}));
    check_deviation(state.at("token_embedding.weight"), 0.02);
    check_deviation(state.at("positional_embedding"), 0.01);
    check_deviation(state.at("text_projection"), 1 / std::sqrt(width));
    for (const std::string block : {"transformer.resblocks.0.", "transformer.resblocks.1."}) {
      check_deviation(state.at(block + "attn.in_proj_weight"), 1 / std::sqrt(width));
      check_deviation(state.at(block + "attn.out_proj.weight"), 1 / std::sqrt(width) / std::sqrt(2.0 * 2));
      check_deviation(state.at(block + "mlp.c_fc.weight"), 1 / std::sqrt(2 * width));
      check_deviation(state.at(block + "mlp.c_proj.weight"), 1 / std::sqrt(width) / std::sqrt(2.0 * 2));
      check_zero(state.at(block + "attn.in_proj_bias"));
    }
  }
  SECTION("ResNet") {
    const auto state = by_name(*sm::image_encoder("RN50", {.image_size = 64, .width = 8, .depth = 1}));
    for (const auto* name : {"attnpool.q_proj.weight", "attnpool.k_proj.weight", "attnpool.v_proj.weight",
                             "attnpool.c_proj.weight", "attnpool.positional_embedding"}) {
      INFO(name);
      CHECK_THAT(state.at(name).std(), AllCloseTo(torch::tensor(1 / std::sqrt(256.0)), {0.08, 0}));
    }
    check_deviation(state.at("layer4.0.conv2.weight"), 1 / std::sqrt(3.0 * 64 * 9));
    for (const std::string stage : {"1", "2", "3", "4"}) check_zero(state.at("layer" + stage + ".0.bn3.weight"));
    CHECK(state.at("bn3.weight").eq(1).all().item<bool>());
  }
}

TEST_CASE("A CLIP tower describes itself well enough to be made again") {
  auto options = small_vit;
  options.seed = 3;
  options.pooling = sm::Pooling::mean;
  options.patch_drop_rate = 0.5;
  const auto picture = sm::image_encoder("ViT-B-16", options);
  const auto again = sm::image_encoder_from_json(picture->description());
  CHECK(same_state(*picture, *again));
  picture->eval();
  again->eval();
  const auto images = torch::randn({1, 3, 32, 32});
  CHECK(torch::equal(picture->forward(images), again->forward(images)));
  const auto text = sm::text_encoder("RN50-quickgelu", small_text);
  CHECK(same_state(*text, *sm::text_encoder_from_json(text->description())));
}

TEST_CASE("Positions that fit no grid of CLIP's tower are not interpolated") {
  const auto picture = sm::image_encoder("ViT-B-32", small_vit);
  const std::string name = "positional_embedding";
  CHECK(picture->resampled(name, torch::randn({50, 64})).sizes() == torch::IntArrayRef({17, 64}));
  CHECK(picture->resampled(name, torch::randn({50, 64}, torch::kHalf)).scalar_type() == torch::kHalf);
  CHECK_FALSE(picture->resampled(name, torch::randn({51, 64})).defined());  // 50 is no square
  CHECK_FALSE(picture->resampled(name, torch::randn({1, 64})).defined());
  CHECK_FALSE(picture->resampled(name, torch::randn({50, 32})).defined());
  CHECK_FALSE(picture->resampled("proj", torch::randn({50, 64})).defined());
  const auto text = sm::text_encoder("ViT-B-32", small_text);
  CHECK(text->resampled(name, torch::randn({77, 32})).sizes() == torch::IntArrayRef({12, 32}));
  CHECK_FALSE(text->resampled(name, torch::randn({77, 64})).defined());
  CHECK_FALSE(text->resampled(name, torch::randn({0, 32})).defined());
  // open_clip leaves those of its ResNet alone
  CHECK_FALSE(sm::image_encoder("RN50", small_resnet)
                  ->resampled("attnpool.positional_embedding", torch::randn({50, 128}))
                  .defined());
}

TEST_CASE("Weight decay spares no matrix of CLIP") {
  CHECK(sm::image_encoder("ViT-B-32", small_vit)->no_decay().empty());
  CHECK(sm::image_encoder("RN50", small_resnet)->no_decay().empty());
  CHECK(sm::text_encoder("ViT-B-32", small_text)->no_decay().empty());
}

TEST_CASE("Options that CLIP's towers lack are refused with the remedy") {
  const auto refused = [](sm::ImageEncoderOptions options, const std::string& message) {
    INFO(message);
    CHECK_THROWS_MATCHES(sm::image_encoder("ViT-B-32", options), InvalidArgument, Message(message));
  };
  refused({.num_classes = 5},
          "CLIP's towers have no classifier: leave ImageEncoderOptions::num_classes at 0 and put a head on the "
          "features");
  refused({.dynamic_img_size = true},
          "CLIP's towers have no dynamic_img_size: give the size of the pictures as image_size");
  refused({.drop_rate = 0.1}, "CLIP's towers have no drop_rate: leave it at 0");
  refused({.proj_drop_rate = 0.1}, "CLIP's towers have no proj_drop_rate: leave it at 0");
  refused({.attn_drop_rate = 0.1}, "CLIP's towers have no attn_drop_rate: leave it at 0");
  refused({.drop_path_rate = 0.1}, "CLIP's towers have no drop_path_rate: leave it at 0");
  refused({.image_size = 100}, "image_size 100 is no multiple of patch_size 32: choose 96 or 128");
  refused({.image_size = 20}, "image_size 20 is no multiple of patch_size 32: choose 32");
  refused({.width = 32}, "the width is 32, less than one of CLIP's heads, which are 64 wide");
  refused({.width = 193}, "width 193 is no multiple of the 3 heads");
  refused({.patch_drop_rate = 1}, "ClipVitOptions::patch_drop_rate is 1; it must be in [0, 1)");
  refused({.depth = -1}, "the encoder's depth is -1; it must be positive, or 0 for what the name says");

  const auto refused_resnet = [](sm::ImageEncoderOptions options, const std::string& message) {
    INFO(message);
    CHECK_THROWS_MATCHES(sm::image_encoder("RN50", options), InvalidArgument, Message(message));
  };
  refused_resnet({.patch_size = 8}, "CLIP's ResNet has no patches: leave patch_size and patch_drop_rate at 0");
  refused_resnet({.patch_drop_rate = 0.5}, "CLIP's ResNet has no patches: leave patch_size and patch_drop_rate at 0");
  refused_resnet({.pooling = sm::Pooling::mean},
                 "CLIP's ResNet pools by attention: leave ImageEncoderOptions::pooling unset");
  refused_resnet({.image_size = 100}, "image_size 100 is no multiple of 32: choose 96 or 128");
  refused_resnet({.image_size = 16}, "image_size 16 is no multiple of 32: choose 32");
  refused_resnet({.width = 3}, "ClipResNetOptions::width is 3; it must be even: the stem begins with half of it");
  refused_resnet({.drop_rate = 0.1}, "CLIP's towers have no drop_rate: leave it at 0");

  const auto refused_text = [](sm::TextEncoderOptions options, const std::string& message) {
    INFO(message);
    CHECK_THROWS_MATCHES(sm::text_encoder("ViT-B-32", options), InvalidArgument, Message(message));
  };
  refused_text({.dropout = 0.1},
               "CLIP's towers have no dropout: leave TextEncoderOptions::dropout and attention_dropout unset");
  refused_text({.attention_dropout = 0.1},
               "CLIP's towers have no dropout: leave TextEncoderOptions::dropout and attention_dropout unset");
  refused_text({.pooling = sm::Pooling::first},
               "CLIP's text tower pools at the end of the text: leave TextEncoderOptions::pooling unset");
  refused_text({.width = 100}, "width 100 is no multiple of the 8 heads");
  CHECK(sm::text_encoder("ViT-B-32", {.vocabulary_size = 50, .width = 32, .depth = 1, .dropout = 0.0}) != nullptr);

  CHECK_THROWS_AS(sm::make_clip_vit({.embed_dim = 0}), InvalidArgument);
  CHECK_THROWS_AS(sm::make_clip_text({.vocabulary_size = 0}), InvalidArgument);
  CHECK_THROWS_AS(sm::make_clip_resnet({.blocks = {1, 0, 1, 1}}), InvalidArgument);
}

TEST_CASE("Inputs that CLIP's towers cannot take are refused with the remedy") {
  const auto picture = sm::image_encoder("ViT-B-32", small_vit);
  CHECK_THROWS_MATCHES(picture->forward(torch::zeros({2, 3, 24, 24})), InvalidArgument,
                       Message("this CLIP tower takes pictures (N, 3, 32, 32), got (2, 3, 24, 24): make the views of "
                               "that size, or the encoder with their .image_size"));
  CHECK_THROWS_AS(picture->forward(torch::zeros({3, 32, 32})), InvalidArgument);
  const auto resnet = sm::image_encoder("RN50", small_resnet);
  CHECK_THROWS_MATCHES(resnet->forward(torch::zeros({2, 3, 64, 32})), InvalidArgument,
                       MessageMatches(ContainsSubstring("takes pictures (N, 3, 64, 64), got (2, 3, 64, 32)")));
  CHECK_THROWS_MATCHES(resnet->encode(torch::zeros({2, 3, 64, 64}), {.attention = true}), InvalidArgument,
                       MessageMatches(ContainsSubstring("CLIP's ResNet gives no attention maps")));

  const auto text = sm::text_encoder("ViT-B-32", small_text);
  const auto mask = torch::ones({2, 13}, torch::kBool);
  const auto long_text = torch::zeros({2, 13}, torch::kLong);
  CHECK_THROWS_MATCHES(text->forward(long_text, mask), InvalidArgument,
                       Message("13 tokens, this text encoder takes at most 12: tokenize with that max_tokens"));
  CHECK_THROWS_MATCHES(text->forward(long_text.narrow(1, 0, 7), mask), InvalidArgument,
                       Message("tokens are (2, 7), mask is (2, 13); both must be (N, L), L at least 1"));
  CHECK_THROWS_AS(text->forward(long_text.narrow(1, 0, 0), mask.narrow(1, 0, 0)), InvalidArgument);
  for (const std::int64_t id : {std::int64_t{-1}, std::int64_t{50}}) {
    const auto wrong = torch::full({1, 3}, id, torch::kLong);
    CHECK_THROWS_MATCHES(text->forward(wrong, torch::ones({1, 3}, torch::kBool)), InvalidArgument,
                         MessageMatches(ContainsSubstring("token id " + std::to_string(id) +
                                                          " is outside the vocabulary of 50: ids are 0 to 49")));
  }
}
