#include <sslmeme/core/error.hpp>
#include <sslmeme/method/supervised.hpp>
#include <sslmeme/nn/weights.hpp>
#include <sslmeme/train/optimizer.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <nlohmann/json.hpp>

#include <string>

#include "close_to.hpp"
#include "state.hpp"

namespace sm = sslmeme;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using sm::Tensor;
using sm::test::AllCloseTo;
using sm::test::copy_of_state;

namespace {

sm::ImageEncoder resnet() {
  return sm::image_encoder("resnet18", {.width = 4, .depth = 1});
}
sm::TextEncoder bert() {
  return sm::text_encoder("minilm_l6", {.vocabulary_size = 30, .max_tokens = 8, .width = 24, .depth = 1});
}

sm::Batch make_batch() {
  sm::Batch batch;
  batch.views = {torch::randn({6, 3, 32, 32})};
  batch.tokens = torch::randint(1, 30, {6, 8});
  batch.mask = torch::ones({6, 8}, torch::kBool);
  batch.labels = torch::tensor({0, 1, 1, 0, 1, 0});
  batch.ids = torch::arange(6);
  return batch;
}

}  // namespace

TEST_CASE("The loss is binary cross-entropy of the fused logit") {
  const auto image = resnet();
  const auto text = bert();
  sm::Supervised method{image, text};
  method.module()->eval();
  const auto batch = make_batch();
  const auto z = method.logits(batch);
  REQUIRE(z.sizes() == torch::IntArrayRef({6}));
  const auto y = batch.labels.to(torch::kFloat);
  const auto expected = -(y * torch::log_sigmoid(z) + (1 - y) * torch::log_sigmoid(-z)).mean();
  const auto output = method.step(batch, {});
  CHECK_THAT(output.total, AllCloseTo(expected, sm::test::fp32_rounding));
  REQUIRE(output.parts.size() == 1);
  CHECK(output.parts[0].first == "bce");

  const auto children = method.module()->named_children();
  const auto head = std::dynamic_pointer_cast<sm::FusionHead>(children["fusion"]);
  REQUIRE(head);
  CHECK_THAT(z, AllCloseTo(head->forward(image->forward(batch.views[0]), text->forward(batch.tokens, batch.mask)),
                           sm::test::fp32_rounding));
  CHECK(children["image"] == image);
  CHECK(children["text"] == text);
}

TEST_CASE("Either modality may be absent, and is then not looked at") {
  auto batch = make_batch();
  sm::Supervised words{nullptr, bert()}, picture{resnet(), nullptr};
  CHECK(words.views_required() == 0);
  CHECK(picture.views_required() == 1);
  auto no_picture = batch, no_words = batch;
  no_picture.views.clear();
  no_words.tokens = no_words.mask = Tensor{};
  CHECK(words.step(no_picture, {}).total.requires_grad());
  CHECK(picture.step(no_words, {}).total.requires_grad());
  CHECK_THROWS_AS(words.step(no_words, {}), sm::InvalidArgument);
  CHECK_THROWS_AS(picture.step(no_picture, {}), sm::InvalidArgument);
  CHECK_THROWS_MATCHES((sm::Supervised{nullptr, nullptr}), sm::InvalidArgument,
                       MessageMatches(ContainsSubstring("picture features, text features or both")));
}

TEST_CASE("Frozen encoders get no gradient, keep their statistics and run without dropout") {
  const auto image = resnet();
  const auto text = bert();
  sm::Supervised method{
      image, text, {.fusion = {.map_dropout = 0, .fusion_dropout = 0, .layer_dropout = 0}, .train_encoders = false}};
  const auto batch = make_batch();
  const auto before_image = copy_of_state(*image), before_text = copy_of_state(*text);
  sm::Optimizer optimizer{*method.module(), sm::AdamW{.lr = 1, .weight_decay = 0.1}};
  method.module()->train();
  const auto loss = method.step(batch, {}).total;
  CHECK(loss.item<double>() == method.step(batch, {}).total.item<double>());
  loss.backward();
  optimizer.step(0.1);
  const auto unchanged = [](const torch::nn::Module& module, const sm::NamedTensors& before) {
    return sm::test::same_state(sm::state_of(module), before);
  };
  CHECK(unchanged(*image, before_image));
  CHECK(unchanged(*text, before_text));
  CHECK(method.step(batch, {}).total.item<double>() != loss.item<double>());  // the head did learn

  sm::Supervised trained{image, text};
  trained.module()->train();
  trained.step(batch, {}).total.backward();
  CHECK_FALSE(unchanged(*image, before_image));  // batch statistics move
  CHECK(image->parameters().front().grad().defined());
}

TEST_CASE("Padding changes no logit, whatever the fusion") {
  const auto batch = make_batch();
  auto padded = batch;
  padded.tokens = torch::cat({batch.tokens.narrow(1, 0, 5), torch::randint(0, 30, {6, 3})}, 1);
  padded.mask = (torch::arange(8) < 5).expand({6, 8});
  auto trimmed = batch;
  trimmed.tokens = batch.tokens.narrow(1, 0, 5);
  trimmed.mask = batch.mask.narrow(1, 0, 5);
  for (const auto kind : {sm::FusionKind::concat, sm::FusionKind::align, sm::FusionKind::cross, sm::FusionKind::cmaf}) {
    INFO(sm::name_of(kind));
    sm::Supervised method{resnet(), bert(), {.fusion = {.kind = kind, .dim = 16}}};
    method.module()->eval();
    CHECK_THAT(method.logits(padded), AllCloseTo(method.logits(trimmed), sm::test::fp32_deep));
  }
}

TEST_CASE("The embedding is what the last layer before the logit gives") {
  sm::Supervised method{resnet(), bert(), {.fusion = {.dim = 16, .hidden = 12, .layers = 2}}};
  method.module()->eval();
  const auto batch = make_batch();
  const auto [logits, embedding] = method.fuse(batch);
  CHECK(method.embedding_dim() == 12);
  REQUIRE(embedding.sizes() == torch::IntArrayRef({6, 12}));
  CHECK(torch::equal(logits, method.logits(batch)));
  const auto w = sm::test::by_name(*method.module());
  const auto again = embedding.relu().matmul(w.at("fusion.mlp.6.weight").t()) + w.at("fusion.mlp.6.bias");
  CHECK_THAT(again.squeeze(1), AllCloseTo(logits, sm::test::fp32_rounding));
}

TEST_CASE("Every sample needs a label of 0 or 1") {
  sm::Supervised method{resnet(), nullptr};
  auto batch = make_batch();
  for (const std::int64_t label : {-1, 2}) {
    batch.labels[3] = label;
    CHECK_THROWS_MATCHES(method.step(batch, {}), sm::InvalidArgument,
                         MessageMatches(ContainsSubstring("needs a label 0 or 1 for every sample")));
  }
  batch.labels = Tensor{};
  CHECK_THROWS_AS(method.step(batch, {}), sm::InvalidArgument);
}

TEST_CASE("Supervised describes itself") {
  const auto json = nlohmann::json::parse(
      sm::Supervised{resnet(), nullptr, {.fusion = {.kind = sm::FusionKind::cross, .dim = 9, .map_dropout = 0.2}}}
          .describe());
  CHECK(json.at("method") == "supervised");
  CHECK(json.at("image").at("name") == "resnet18");
  CHECK(json.at("text").is_null());
  CHECK(json.at("fusion").at("kind") == "cross");
  CHECK(json.at("fusion").at("dim") == 9);
  CHECK(json.at("fusion").at("map_dropout") == 0.2);
  CHECK(nlohmann::json::parse(sm::supervised_from_json(json.dump()).describe()) == json);
  auto older = json;  // without rates: the defaults
  for (const auto* rate : {"map_dropout", "fusion_dropout", "layer_dropout"}) older.at("fusion").erase(rate);
  const auto read = nlohmann::json::parse(sm::supervised_from_json(older.dump()).describe());
  CHECK(read.at("fusion").at("map_dropout") == sm::FusionOptions{}.map_dropout);
}
