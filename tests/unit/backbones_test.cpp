#include <sslmeme/core/error.hpp>
#include <sslmeme/core/precision.hpp>
#include <sslmeme/nn/backbone.hpp>
#include <sslmeme/nn/bert.hpp>
#include <sslmeme/nn/clip.hpp>
#include <sslmeme/nn/resnet.hpp>
#include <sslmeme/nn/vit.hpp>
#include <sslmeme/nn/weights.hpp>

#include <ATen/record_function.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "close_to.hpp"
#include "state.hpp"

namespace sm = sslmeme;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::Message;
using Catch::Matchers::MessageMatches;
using sm::Tensor;
using sm::test::AllCloseTo;
using sm::test::fp32_gradient;
using sm::test::fp32_rounding;
using sm::test::gradients_of;
using sm::test::same_state;

namespace {

const sm::ImageEncoderOptions small_vit{.image_size = 16, .patch_size = 8, .width = 24, .depth = 1};
const sm::ImageEncoderOptions small_resnet{.width = 4, .depth = 1};
const sm::TextEncoderOptions small_bert{.vocabulary_size = 30, .max_tokens = 8, .width = 24, .depth = 1};

/// A transformer that pools one token, and its features: of that token alone, or with all tokens beside them.
struct OneTokenPooled {
  std::string name;
  std::shared_ptr<sm::Backbone> encoder;
  std::function<Tensor()> forward;
  std::function<Tensor()> with_tokens;
};

std::vector<OneTokenPooled> poolers_of_one_token() {
  std::vector<OneTokenPooled> found;
  const auto add_picture = [&](const std::string& name, const sm::ImageEncoder& encoder) {
    const auto images = torch::randn({3, 3, 16, 16});
    found.push_back({name, encoder, [encoder, images] { return encoder->forward(images); },
                     [encoder, images] { return encoder->encode(images, {.tokens = true}).features; }});
  };
  const auto add_text = [&](const std::string& name, const sm::TextEncoder& encoder) {
    auto tokens = torch::randint(1, 29, {3, 8});
    auto mask = torch::ones({3, 8}, torch::kBool);
    for (std::int64_t row = 0; row < 3; ++row) {  // of 4, 6 and 8 tokens, the last of them CLIP's end
      tokens[row][3 + 2 * row] = 29;
      tokens[row].narrow(0, 4 + 2 * row, 4 - 2 * row).zero_();
      mask[row].narrow(0, 4 + 2 * row, 4 - 2 * row).fill_(false);
    }
    found.push_back({name, encoder, [=] { return encoder->forward(tokens, mask); },
                     [=] { return encoder->encode(tokens, mask, {.tokens = true}).features; }});
  };
  add_picture("ViT",
              sm::make_vit({.image_size = 16, .patch_size = 4, .width = 24, .depth = 3, .heads = 3, .num_classes = 5}));
  add_picture(
      "CLIP's ViT",
      sm::make_clip_vit({.image_size = 16, .patch_size = 4, .width = 24, .depth = 2, .heads = 3, .embed_dim = 8}));
  add_text("CLIP's text tower",
           sm::make_clip_text(
               {.vocabulary_size = 30, .max_tokens = 8, .width = 24, .depth = 2, .heads = 3, .embed_dim = 8}));
  const sm::BertOptions bert{.vocabulary_size = 30,
                             .max_tokens = 8,
                             .width = 24,
                             .depth = 2,
                             .heads = 3,
                             .mlp_width = 48,
                             .dropout = 0,
                             .pooling = sm::Pooling::first};
  add_text("BERT", sm::make_bert(bert));
  add_text("DistilBERT", sm::make_distilbert(bert));
  return found;
}

/// Rows that linear layers give while `work` runs.
std::int64_t rows_of_linear_layers(const std::function<Tensor()>& work) {
  static thread_local std::int64_t rows;
  rows = 0;
  const auto count = [](const at::RecordFunction& call, at::ObserverContext*) {
    if (std::string_view{call.name()} != "aten::linear") return;
    const auto& result = call.outputs().at(0).toTensor();
    rows += result.numel() / result.size(-1);
  };
  const auto handle = at::addThreadLocalCallback(at::RecordFunctionCallback{nullptr, count}.needsOutputs(true));
  work();
  at::removeCallback(handle);
  return rows;
}

/// A backbone of a user's own.
struct MeanColor : sm::ImageBackbone {
  std::int64_t feature_dim() const override { return 3; }
  Tensor forward(const Tensor& images) override { return images.mean({2, 3}); }
};

}  // namespace

TEST_CASE("Every named encoder gives features of the size it names") {
  torch::NoGradGuard no_grad;
  for (const auto& name : {"resnet18", "resnet34", "resnet50", "resnet101"}) {
    INFO(name);
    const auto encoder = sm::image_encoder(name, small_resnet);
    for (const auto& [h, w] : {std::pair{32, 32}, std::pair{33, 70}}) {  // any size runs
      CHECK(encoder->forward(torch::randn({2, 3, h, w})).sizes() == torch::IntArrayRef({2, encoder->feature_dim()}));
    }
  }
  for (const auto& name :
       {"vit_tiny_patch16_224", "vit_small_patch16_384", "vit_base_patch16_224", "vit_base_patch32_384"}) {
    INFO(name);
    const auto encoder = sm::image_encoder(name, {.image_size = 16, .patch_size = 8, .depth = 1, .num_classes = 7});
    CHECK(encoder->feature_dim() == 7);
    CHECK(encoder->forward(torch::randn({2, 3, 16, 16})).sizes() == torch::IntArrayRef({2, 7}));
  }
  for (const auto& name : {"minilm_l6", "bert_base"}) {
    INFO(name);
    const auto encoder = sm::text_encoder(name, small_bert);
    CHECK(encoder->feature_dim() == 24);
    const auto tokens = torch::randint(30, {2, 8});
    CHECK(encoder->forward(tokens, torch::ones({2, 8}, torch::kBool)).sizes() == torch::IntArrayRef({2, 24}));
  }
}

TEST_CASE("minilm_l6 pools by the mean over real tokens, bert_base at the first") {
  const auto tokens = torch::randint(30, {2, 6});
  auto mask = torch::ones({2, 6}, torch::kBool);
  mask[1].narrow(0, 3, 3).fill_(false);
  const auto make = [](sm::Pooling pooling) {
    return sm::make_bert({.vocabulary_size = 30,
                          .max_tokens = 8,
                          .width = 24,
                          .depth = 1,
                          .heads = 12,
                          .mlp_width = 96,
                          .pooling = pooling});
  };
  const std::pair<const char*, sm::Pooling> names[] = {{"minilm_l6", sm::Pooling::mean},
                                                       {"bert_base", sm::Pooling::first}};
  for (const auto& [name, pooling] : names) {
    const auto encoder = sm::text_encoder(name, small_bert);
    const auto same = make(pooling);
    sm::load_state(*same, sm::state_of(*encoder));
    encoder->eval();
    same->eval();
    CHECK(torch::equal(encoder->forward(tokens, mask), same->forward(tokens, mask)));
  }
}

TEST_CASE("A last block computed for the pooled token alone gives the same features and gradients") {
  torch::manual_seed(3);
  for (const auto& [name, encoder, forward, with_tokens] : poolers_of_one_token()) {
    INFO(name);
    {
      const torch::NoGradGuard no_grad;
      for (auto& parameter : encoder->parameters()) parameter.add_(torch::randn_like(parameter) * 0.1);
      const auto rows = rows_of_linear_layers(forward);
      CHECK(rows > 0);
      CHECK(rows < rows_of_linear_layers(with_tokens));
      const sm::Autocast bf16{sm::Precision::bf16, torch::kCPU};
      CHECK(sm::test::relative_error(forward(), with_tokens().to(torch::kFloat)) < sm::test::bf16_error);
    }
    for (const bool checkpointing : {false, true}) {
      CAPTURE(checkpointing);
      encoder->set_grad_checkpointing(checkpointing);
      const auto all = with_tokens(), alone = forward();
      CHECK_THAT(alone, AllCloseTo(all, fp32_rounding));
      const auto expected = gradients_of(*encoder, all), found = gradients_of(*encoder, alone);
      REQUIRE(found.size() == expected.size());
      REQUIRE_FALSE(found.empty());
      for (const auto& [parameter, gradient] : expected) {
        INFO(parameter);
        CHECK_THAT(found.at(parameter), AllCloseTo(gradient, fp32_gradient));
      }
    }
  }
}

TEST_CASE("A ViT that computes the pooled token alone draws the same random numbers") {
  sm::VitOptions options{.image_size = 16, .patch_size = 4, .width = 24, .depth = 3, .heads = 3};
  SECTION("of drop path and patch dropout") {
    options.drop_path_rate = 0.5;
    options.patch_drop_rate = 0.4;
  }
  SECTION("of dropout in the blocks, for which it computes all tokens") {
    options.proj_drop_rate = 0.3;
    options.attn_drop_rate = 0.3;
  }
  const auto encoder = sm::make_vit(options);
  const auto images = torch::randn({4, 3, 16, 16});
  torch::manual_seed(11);
  const auto alone = encoder->forward(images);
  torch::manual_seed(11);
  CHECK_THAT(alone, AllCloseTo(encoder->encode(images, {.tokens = true}).features, fp32_rounding));
}

TEST_CASE("Initial weights depend on the seed alone") {
  const auto a = sm::image_encoder("vit_tiny_patch16_224", small_vit);
  torch::manual_seed(123);
  (void)torch::rand({3});
  CHECK(same_state(*a, *sm::image_encoder("vit_tiny_patch16_224", small_vit)));
  auto other = small_vit;
  other.seed = 1;
  CHECK_FALSE(same_state(*a, *sm::image_encoder("vit_tiny_patch16_224", other)));
  torch::manual_seed(123);
  const auto expected = torch::rand({3});
  torch::manual_seed(123);
  (void)sm::text_encoder("minilm_l6", small_bert);
  CHECK(torch::equal(torch::rand({3}), expected));  // the caller's random numbers are left alone
}

TEST_CASE("The initial weights are those of the families") {
  const auto vit = sm::image_encoder("vit_tiny_patch16_224", {.image_size = 32, .depth = 1, .num_classes = 10});
  for (const auto& [name, tensor] : sm::state_of(*vit)) {
    INFO(name);
    if (name.ends_with("fc1.weight") || name.ends_with("qkv.weight") || name == "head.weight" || name == "pos_embed") {
      CHECK_THAT(tensor.std(), AllCloseTo(torch::tensor(0.02), {0.15, 0}));
    }
    if (name == "head.bias" || name.ends_with("fc1.bias")) CHECK(tensor.count_nonzero().item<int>() == 0);
  }
  const auto resnet = sm::image_encoder("resnet18", {.depth = 1});
  for (const auto& [name, tensor] : sm::state_of(*resnet)) {
    INFO(name);
    if (name == "layer4.0.conv1.weight")
      CHECK_THAT(tensor.std(), AllCloseTo(torch::tensor(std::sqrt(2.0 / (512 * 9))), {0.05, 0}));
    if (name == "layer4.0.bn2.weight") CHECK(tensor.count_nonzero().item<int>() == 0);
  }
}

TEST_CASE("An encoder describes itself well enough to be made again") {
  auto options = small_vit;
  options.seed = 5;
  options.num_classes = 3;
  options.pooling = sm::Pooling::mean;
  options.norm_eps = 1e-12;
  options.pos_drop_rate = 0.125;
  options.drop_path_rate = 0.25;
  const auto image = sm::image_encoder("vit_tiny_patch16_224", options);
  CHECK(same_state(*image, *sm::image_encoder_from_json(image->description())));
  CHECK(sm::image_encoder_from_json(image->description())->description() == image->description());
  auto text_options = small_bert;
  text_options.dropout = 0.25;
  text_options.seed = 6;
  const auto text = sm::text_encoder("bert_base", text_options);
  const auto again = sm::text_encoder_from_json(text->description());
  CHECK(same_state(*text, *again));
  CHECK(again->description() == text->description());

  CHECK_THROWS_MATCHES(sm::text_encoder_from_json(image->description()), sm::DataError,
                       Message("the encoder is described as \"image\" where a text encoder is needed"));
  CHECK_THROWS_MATCHES(sm::image_encoder_from_json("{"), sm::DataError,
                       MessageMatches(ContainsSubstring("cannot read an encoder's description")));
  CHECK_THROWS_AS(sm::image_encoder_from_json("null"), sm::DataError);
  CHECK_THROWS_MATCHES(sm::image_encoder_from_json(R"({"modality":"image","name":"resnet18","options":{"widht":4}})"),
                       sm::DataError,
                       Message("an encoder is described with the option \"widht\", which this version does not know"));
  CHECK_THROWS_AS(sm::image_encoder_from_json(R"({"modality":"image","name":"resnet18","options":{"width":"4"}})"),
                  sm::DataError);
  CHECK_THROWS_AS(sm::image_encoder_from_json(R"({"modality":"image","name":"resnet18"})"), sm::DataError);
  // An older description lacks the options that came later: they have their defaults.
  const auto older = sm::image_encoder_from_json(R"({"modality":"image","name":"resnet18","options":{"width":4}})");
  CHECK(same_state(*older, *sm::image_encoder("resnet18", {.width = 4})));
  CHECK_THROWS_AS(sm::image_encoder_from_json(R"({"modality":"image","name":7,"options":{}})"), sm::DataError);
}

TEST_CASE("norm_eps and pos_drop_rate reach the named ViTs, through a description too") {
  const torch::NoGradGuard no_grad;
  torch::manual_seed(4);
  const auto images = torch::randn({2, 3, 16, 16});
  auto options = small_vit;
  options.norm_eps = 0.5;
  options.pos_drop_rate = 0.5;
  const auto plain = sm::image_encoder("vit_tiny_patch16_224", small_vit);
  const auto named = sm::image_encoder("vit_tiny_patch16_224", options);
  const auto again = sm::image_encoder_from_json(named->description());
  const auto direct = sm::make_vit({.image_size = 16, .patch_size = 8, .width = 24, .depth = 1, .norm_eps = 0.5});
  sm::load_state(*direct, sm::state_of(*named));
  for (const auto& encoder : {plain, named, again, direct}) encoder->eval();
  const auto expected = direct->forward(images);
  CHECK(torch::equal(named->forward(images), expected));
  CHECK(torch::equal(again->forward(images), expected));
  CHECK_FALSE(torch::allclose(plain->forward(images), expected, 1e-2, 1e-2));  // of the same weights with 1e-6
  for (const auto& encoder : {named, again}) {
    encoder->train();
    CHECK_FALSE(torch::equal(encoder->forward(images), expected));
  }
  const auto older = sm::image_encoder_from_json(R"({"modality":"image","name":"vit_tiny_patch16_224",)"
                                                 R"("options":{"image_size":16,"patch_size":8,"width":24,"depth":1}})");
  CHECK(torch::equal(older->forward(images), plain->forward(images)));
  CHECK_THROWS_MATCHES(sm::image_encoder("vit_tiny_patch16_224", {.norm_eps = -1}), sm::InvalidArgument,
                       Message("VitOptions::norm_eps is -1; it must be zero or more"));
  CHECK_THROWS_MATCHES(sm::image_encoder("vit_tiny_patch16_224", {.pos_drop_rate = 1}), sm::InvalidArgument,
                       Message("pos_drop_rate is 1; it must be in [0, 1)"));
  CHECK_THROWS_MATCHES(sm::image_encoder("resnet18", {.norm_eps = 1e-6}), sm::InvalidArgument,
                       Message("a ResNet has no layer norm: leave ImageEncoderOptions::norm_eps unset"));
  CHECK_THROWS_MATCHES(sm::image_encoder("ViT-B-32", {.norm_eps = 1e-6}), sm::InvalidArgument,
                       MessageMatches(ContainsSubstring("CLIP's towers have no norm_eps")));
  CHECK_THROWS_MATCHES(sm::image_encoder("ViT-B-32", {.pos_drop_rate = 0.1}), sm::InvalidArgument,
                       MessageMatches(ContainsSubstring("CLIP's towers have no pos_drop_rate")));
}

TEST_CASE("A description that says what cannot be is refused") {
  for (const auto* options : {R"({"pooling":"token"})", R"({"pooling":7})", R"({"width":4.7})", R"({"heads":3})"}) {
    INFO(options);
    CHECK_THROWS_AS(sm::image_encoder_from_json(R"({"modality":"image","name":"vit_tiny_patch16_224","options":)" +
                                                std::string{options} + "}"),
                    sm::DataError);
  }
  auto registry = sm::BackboneRegistry::built_in();
  registry.add_image("none", [](const sm::ImageEncoderOptions&) { return sm::ImageEncoder{}; });
  CHECK_THROWS_AS(sm::image_encoder("none", {}, registry), sm::InvalidArgument);
  CHECK(sm::image_encoder("resnet18", {.image_size = 96, .width = 4, .depth = 1})->image_size() == 96);
}

TEST_CASE("An unknown name is answered with the nearest") {
  CHECK_THROWS_MATCHES(
      sm::image_encoder("resnet5"), sm::InvalidArgument,
      MessageMatches(ContainsSubstring("no image encoder is called \"resnet5\"; did you mean: resnet50")));
  CHECK_THROWS_MATCHES(sm::image_encoder("vit_smal_patch16_224"), sm::InvalidArgument,
                       MessageMatches(ContainsSubstring("did you mean: vit_small_patch16_224")));
  CHECK_THROWS_MATCHES(sm::text_encoder("minilm"), sm::InvalidArgument,
                       MessageMatches(ContainsSubstring("did you mean: minilm_l6")));
  CHECK_THROWS_MATCHES(
      sm::text_encoder("zzzzzzzzzzzzzzzzzzzzzz"), sm::InvalidArgument,
      MessageMatches(ContainsSubstring("bert_base") && ContainsSubstring("minilm_l6")));  // all: none is near
}

TEST_CASE("A user's own encoders join the registry") {
  auto registry = sm::BackboneRegistry::built_in();
  const auto built_in = registry.image_names().size();
  registry.add_image("mean_color", [](const sm::ImageEncoderOptions&) { return std::make_shared<MeanColor>(); });
  const auto encoder = sm::image_encoder("mean_color", {}, registry);
  CHECK(encoder->feature_dim() == 3);
  CHECK(sm::image_encoder_from_json(encoder->description(), registry)->feature_dim() == 3);
  CHECK_THROWS_AS(sm::image_encoder("mean_color"), sm::InvalidArgument);  // the built-in registry is untouched
  CHECK_THROWS_MATCHES(
      registry.add_image("resnet18", [](const sm::ImageEncoderOptions&) { return std::make_shared<MeanColor>(); }),
      sm::InvalidArgument, Message("an encoder called \"resnet18\" is registered already: choose another name"));
  CHECK_THROWS_AS(registry.add_text("empty", {}), sm::InvalidArgument);
  CHECK(registry.image_names().size() == built_in + 1);
}

TEST_CASE("Inputs of a wrong shape are refused with the remedy") {
  const auto vit = sm::image_encoder("vit_tiny_patch16_224", small_vit);
  CHECK_THROWS_MATCHES(
      vit->forward(torch::zeros({2, 3, 24, 24})), sm::InvalidArgument,
      Message("this ViT takes pictures (N, 3, 16, 16), got (2, 3, 24, 24): make the views of that size, or the encoder "
              "with {.image_size = 24}"));
  CHECK_THROWS_AS(vit->forward(torch::zeros({3, 16, 16})), sm::InvalidArgument);
  const auto resnet = sm::image_encoder("resnet18", small_resnet);
  CHECK_THROWS_MATCHES(resnet->forward(torch::zeros({2, 1, 24, 24})), sm::InvalidArgument,
                       Message("a ResNet takes pictures (N, 3, H, W), got (2, 1, 24, 24)"));
  const auto bert = sm::text_encoder("minilm_l6", small_bert);
  const auto mask = torch::ones({2, 9}, torch::kBool);
  CHECK_THROWS_MATCHES(bert->forward(torch::zeros({2, 9}, torch::kLong), mask), sm::InvalidArgument,
                       Message("9 tokens, this text encoder takes at most 8: tokenize with that max_tokens"));
  CHECK_THROWS_MATCHES(bert->forward(torch::zeros({2, 7}, torch::kLong), mask), sm::InvalidArgument,
                       Message("tokens are (2, 7), mask is (2, 9); both must be (N, L), L at least 1"));
}

TEST_CASE("Options that cannot work are refused") {
  using sm::InvalidArgument;
  CHECK_THROWS_MATCHES(sm::image_encoder("vit_tiny_patch16_224", {.image_size = 100}), InvalidArgument,
                       Message("image_size 100 is no multiple of patch_size 16: choose 96 or 112"));
  CHECK_THROWS_MATCHES(sm::image_encoder("vit_tiny_patch16_224", {.width = 100}), InvalidArgument,
                       Message("width 100 is no multiple of the 3 heads"));
  CHECK_THROWS_AS(sm::image_encoder("resnet18", {.width = -4}), InvalidArgument);
  CHECK_THROWS_MATCHES(
      sm::image_encoder("resnet18", {.patch_size = 8}), InvalidArgument,
      Message("a ResNet has no patches and no attention: leave ImageEncoderOptions::patch_size unset"));
  for (const auto& [what, options] :
       std::vector<std::pair<std::string, sm::ImageEncoderOptions>>{{"pooling", {.pooling = sm::Pooling::first}},
                                                                    {"pos_drop_rate", {.pos_drop_rate = 0.1}},
                                                                    {"proj_drop_rate", {.proj_drop_rate = 0.1}},
                                                                    {"attn_drop_rate", {.attn_drop_rate = 0.1}},
                                                                    {"patch_drop_rate", {.patch_drop_rate = 0.1}}}) {
    CHECK_THROWS_MATCHES(sm::image_encoder("resnet50", options), InvalidArgument,
                         MessageMatches(ContainsSubstring("leave ImageEncoderOptions::" + what + " unset")));
  }
  for (const auto& name : {"resnet18", "vit_tiny_patch16_224"}) {
    CHECK_THROWS_MATCHES(sm::image_encoder(name, {.drop_rate = 1}), InvalidArgument,
                         Message("drop_rate is 1; it must be in [0, 1)"));
    CHECK_THROWS_MATCHES(sm::image_encoder(name, {.drop_path_rate = -0.1}), InvalidArgument,
                         Message("drop_path_rate is -0.1; it must be in [0, 1)"));
  }
  CHECK_THROWS_AS(sm::image_encoder("vit_tiny_patch16_224", {.proj_drop_rate = NAN}), InvalidArgument);
  CHECK_THROWS_AS(sm::image_encoder("vit_tiny_patch16_224", {.attn_drop_rate = 2}), InvalidArgument);
  CHECK_THROWS_AS(sm::image_encoder("vit_tiny_patch16_224", {.patch_drop_rate = 1}), InvalidArgument);
  CHECK_THROWS_AS(sm::make_vit({.pos_drop_rate = 1}), InvalidArgument);
  CHECK_THROWS_MATCHES(sm::make_vit({.norm_eps = -1}), InvalidArgument,
                       Message("VitOptions::norm_eps is -1; it must be zero or more"));
  CHECK_THROWS_AS(sm::image_encoder("resnet18", {.num_classes = -1}), InvalidArgument);
  CHECK_THROWS_AS(sm::make_resnet({.blocks = {1, 1, 0, 1}}), InvalidArgument);
  CHECK_THROWS_AS(sm::text_encoder("minilm_l6", {.width = 100}), InvalidArgument);
  CHECK_THROWS_MATCHES(sm::text_encoder("minilm_l6", {.dropout = 1}), InvalidArgument,
                       Message("dropout is 1; it must be in [0, 1)"));
  CHECK_THROWS_AS(sm::text_encoder("minilm_l6", {.dropout = NAN}), InvalidArgument);
}

TEST_CASE("Under autocast features come close to those in fp32") {
  const torch::NoGradGuard no_grad;
  const auto vit = sm::image_encoder("vit_tiny_patch16_224", {.image_size = 32, .patch_size = 8, .depth = 2});
  const auto bert = sm::text_encoder("minilm_l6", {.vocabulary_size = 50, .depth = 2});
  bert->eval();
  const auto images = torch::randn({2, 3, 32, 32});
  const auto tokens = torch::randint(50, {3, 6});
  auto mask = torch::ones({3, 6}, torch::kBool);
  mask[0].narrow(0, 2, 4).fill_(false);
  const auto image = vit->forward(images), text = bert->forward(tokens, mask);
  const sm::Autocast autocast{sm::Precision::bf16, torch::kCPU};
  CHECK_THAT(vit->forward(images), AllCloseTo(image, {0.03, 0.03}));
  CHECK_THAT(bert->forward(tokens, mask), AllCloseTo(text, {0.03, 0.03}));
}

TEST_CASE("Dropout of a text encoder acts in training alone") {
  const auto bert = sm::text_encoder("minilm_l6", small_bert);
  const auto tokens = torch::randint(30, {2, 8});
  const auto mask = torch::ones({2, 8}, torch::kBool);
  bert->train();
  CHECK_FALSE(torch::equal(bert->forward(tokens, mask), bert->forward(tokens, mask)));
  bert->eval();
  CHECK(torch::equal(bert->forward(tokens, mask), bert->forward(tokens, mask)));
}

TEST_CASE("Tokens of a ResNet are the places of its last feature map, row by row") {
  const torch::NoGradGuard no_grad;
  const auto resnet = sm::image_encoder("resnet18", {.width = 16, .depth = 1});
  resnet->eval();
  const auto images = torch::randn({2, 3, 64, 96});
  const auto encoded = resnet->encode(images, {.tokens = true});
  CHECK(torch::equal(encoded.features, resnet->forward(images)));
  CHECK(encoded.tokens.sizes() == torch::IntArrayRef({2, 2 * 3, 128}));
  CHECK_THAT(encoded.tokens.mean(1), AllCloseTo(encoded.features, sm::test::fp32_rounding));
  CHECK_FALSE(resnet->encode(images, {}).tokens.defined());
  CHECK_THROWS_MATCHES(resnet->encode(images, {.attention = true}), sm::InvalidArgument,
                       Message("a ResNet has no attention maps: ask for its features or tokens"));
}

TEST_CASE("A backbone of one's own gives features alone until it overrides encode()") {
  MeanColor encoder;
  const auto images = torch::rand({2, 3, 4, 4});
  CHECK(torch::equal(encoder.encode(images, {}).features, encoder.forward(images)));
  CHECK_THROWS_MATCHES(encoder.encode(images, {.tokens = true}), sm::InvalidArgument,
                       Message("this encoder gives no tokens: ask for its features alone"));
  CHECK_THROWS_AS(encoder.encode(images, {.attention = true}), sm::InvalidArgument);
  CHECK(encoder.no_decay().empty());
  CHECK_FALSE(encoder.resampled("pos_embed", images).defined());
}
