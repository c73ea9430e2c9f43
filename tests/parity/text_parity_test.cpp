// BERT and DistilBERT against transformers' (scripts/golden/text_encoders.py): states, attention maps, gradients.
#include <sslmeme/core/error.hpp>
#include <sslmeme/core/precision.hpp>
#include <sslmeme/nn/bert.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include "close_to.hpp"
#include "parity/golden.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
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

/// A family and what its golden is called.
struct Family {
  std::string golden;
  sm::TextEncoder (*make)(const sm::BertOptions&);
  std::string second_layer;
};

Family any_family() {
  return GENERATE(Family{"bert_states", sm::make_bert, "encoder.layer.1."},
                  Family{"distilbert", sm::make_distilbert, "transformer.layer.1."});
}

sm::BertOptions small(sm::Pooling pooling = sm::Pooling::mean) {
  return {.vocabulary_size = 70,
          .max_tokens = 16,
          .width = 32,
          .depth = 2,
          .heads = 4,
          .mlp_width = 64,
          .pooling = pooling};
}

sm::TextEncoder loaded(const Family& family, const Golden& golden, const sm::BertOptions& options = small()) {
  auto encoder = family.make(options);
  golden.load_into(*encoder, options.depth == 1 ? family.second_layer : "");
  encoder->eval();
  return encoder;
}

}  // namespace

TEST_CASE("Text encoders have transformers' hidden states and attention maps") {
  const auto family = any_family();
  INFO(family.golden);
  const Golden golden{family.golden};
  const auto encoder = loaded(family, golden);
  const auto tokens = golden["tokens"], mask = golden["mask"];
  const auto real = mask.unsqueeze(-1);

  const auto encoded = encoder->encode(tokens, mask, {.tokens = true, .attention = true});
  CHECK_THAT(encoded.tokens * real, AllCloseTo(golden["last_hidden_state"] * real, fp32_deep));
  CHECK_THAT(encoded.features, AllCloseTo(golden["mean"], fp32_deep));
  REQUIRE(encoded.attention.size() == 2);
  CHECK_THAT(encoded.attention[0], AllCloseTo(golden["attention/0"], fp32_deep));
  CHECK_THAT(encoded.attention[1], AllCloseTo(golden["attention/1"], fp32_deep));

  CHECK_THAT(encoder->forward(tokens, mask), AllCloseTo(golden["mean"], fp32_deep));
  const auto first = loaded(family, golden, small(sm::Pooling::first));
  CHECK_THAT(first->forward(tokens, mask), AllCloseTo(golden["last_hidden_state"].select(1, 0), fp32_deep));

  const auto tokens_alone = encoder->encode(tokens, mask, {.tokens = true});
  CHECK_THAT(tokens_alone.tokens, AllCloseTo(encoded.tokens, fp32_rounding));
  CHECK(tokens_alone.attention.empty());
  CHECK_FALSE(encoder->encode(tokens, mask, {.attention = true}).tokens.defined());

  auto options = small();
  options.depth = 1;
  const auto one_layer = loaded(family, golden, options);
  CHECK_THAT(one_layer->encode(tokens, mask, {.tokens = true}).tokens * real,
             AllCloseTo(golden["first_layer"] * real, fp32_deep));
}

TEST_CASE("Text encoders have transformers' gradients") {
  const auto family = any_family();
  const bool checkpointing = GENERATE(false, true), attention = GENERATE(false, true);
  INFO(family.golden << (checkpointing ? ", checkpointed" : "") << (attention ? ", attention maps asked for" : ""));
  const Golden golden{family.golden};
  const auto encoder = loaded(family, golden);
  encoder->set_grad_checkpointing(checkpointing);
  const auto encoded = encoder->encode(golden["tokens"], golden["mask"], {.tokens = true, .attention = attention});
  check_gradients(golden, *encoder, encoded.tokens);
}

TEST_CASE("Text encoders keep transformers' numbers in bfloat16") {
  const auto family = any_family();
  INFO(family.golden);
  const Golden golden{family.golden};
  const auto encoder = loaded(family, golden);
  const torch::NoGradGuard no_grad;
  SECTION("by autocast") {
    const sm::Autocast autocast{sm::Precision::bf16, torch::kCPU};
    const auto features = encoder->forward(golden["tokens"], golden["mask"]);
    CHECK(features.scalar_type() == torch::kFloat);
    CHECK(relative_error(features, golden["mean"]) < bf16_error);
  }
  SECTION("by weights") {
    encoder->to(torch::kBFloat16);
    const auto encoded = encoder->encode(golden["tokens"], golden["mask"], {.tokens = true, .attention = true});
    CHECK(encoded.tokens.scalar_type() == torch::kBFloat16);
    CHECK(encoded.attention[0].scalar_type() == torch::kFloat);
    CHECK(relative_error(encoded.features, golden["mean"]) < bf16_error);
    CHECK(relative_error(encoded.attention[1], golden["attention/1"]) < bf16_error);
  }
}

TEST_CASE("Attention weights of text encoders are dropped out at a rate of their own") {
  const auto family = any_family();
  INFO(family.golden);
  const Golden golden{family.golden};
  const auto tokens = golden["tokens"], mask = golden["mask"];
  const auto spread = [&](double dropout, std::optional<double> attention_dropout) {
    auto options = small();
    options.dropout = dropout;
    options.attention_dropout = attention_dropout;
    const auto encoder = loaded(family, golden, options);
    encoder->train();
    torch::manual_seed(3);
    const auto once = encoder->forward(tokens, mask), twice = encoder->forward(tokens, mask);
    return (once - twice).abs().max().item<double>();
  };
  CHECK(spread(0, {}) == 0);
  CHECK(spread(0, 0) == 0);
  CHECK(spread(0, 0.3) > 1e-3);
  CHECK(spread(0.3, {}) > 1e-3);
  CHECK(spread(0.3, 0.3) == spread(0.3, {}));
  CHECK(spread(0.3, 0) != spread(0.3, {}));

  auto options = small();
  options.dropout = 0;
  options.attention_dropout = 0.3;
  const auto encoder = loaded(family, golden, options);
  encoder->train();
  // The first layer's maps are those before dropout; no other dropout lies before them.
  CHECK_THAT(encoder->encode(tokens, mask, {.attention = true}).attention[0],
             AllCloseTo(golden["attention/0"], fp32_deep));
  encoder->eval();
  CHECK_THAT(encoder->forward(tokens, mask), AllCloseTo(golden["mean"], fp32_deep));
}

TEST_CASE("Text encoders refuse what they cannot take") {
  const auto family = any_family();
  const auto encoder = family.make(small());
  const auto forward = [&](const Tensor& tokens) {
    return encoder->forward(tokens, torch::ones(tokens.sizes(), torch::kBool));
  };
  const auto tokens = [](std::initializer_list<std::int64_t> ids) {
    return torch::tensor(std::vector<std::int64_t>{ids}, torch::kLong).unsqueeze(0);
  };
  CHECK_THROWS_MATCHES(
      forward(tokens({1, 70, 2})), sm::InvalidArgument,
      MessageMatches(ContainsSubstring("token id 70 is outside the vocabulary of 70: ids are 0 to 69")));
  CHECK_THROWS_MATCHES(forward(tokens({1, -3})), sm::InvalidArgument, MessageMatches(ContainsSubstring("token id -3")));
  CHECK(forward(tokens({0, 69})).sizes() == std::vector<std::int64_t>{1, 32});
  CHECK_THROWS_MATCHES(forward(torch::zeros({1, 17}, torch::kLong)), sm::InvalidArgument,
                       MessageMatches(ContainsSubstring("17 tokens") && ContainsSubstring("at most 16")));
  CHECK_THROWS_MATCHES(encoder->forward(tokens({1, 2}), torch::ones({1, 3}, torch::kBool)), sm::InvalidArgument,
                       MessageMatches(ContainsSubstring("(1, 2)") && ContainsSubstring("(1, 3)")));
  auto options = small();
  options.attention_dropout = 1;
  CHECK_THROWS_MATCHES(family.make(options), sm::InvalidArgument,
                       MessageMatches(ContainsSubstring("attention_dropout is 1")));
  options = small();
  options.heads = 5;
  CHECK_THROWS_AS(family.make(options), sm::InvalidArgument);
}

TEST_CASE("Options of text_encoder reach BERT and its kin") {
  const std::string name = GENERATE("bert_base", "distilbert", "minilm_l6");
  INFO(name);
  sm::TextEncoderOptions options{
      .vocabulary_size = 70, .max_tokens = 16, .width = 48, .depth = 1, .dropout = 0, .attention_dropout = 0.4};
  const auto tokens = torch::arange(1, 9).unsqueeze(0), mask = torch::ones({1, 8}, torch::kBool);
  const auto encoder = sm::text_encoder(name, options);
  encoder->train();
  CHECK_FALSE(torch::equal(encoder->forward(tokens, mask), encoder->forward(tokens, mask)));
  options.attention_dropout = 0;
  for (const auto pooling : {sm::Pooling::first, sm::Pooling::mean}) {
    options.pooling = pooling;
    const auto plain = sm::text_encoder(name, options);
    plain->train();
    const auto encoded = plain->encode(tokens, mask, {.tokens = true});
    const auto features = plain->forward(tokens, mask);  // without tokens the first one may be computed alone
    CHECK_THAT(encoded.features, AllCloseTo(features, fp32_rounding));
    const auto expected = pooling == sm::Pooling::first ? encoded.tokens.select(1, 0) : encoded.tokens.mean(1);
    CHECK_THAT(encoded.features, AllCloseTo(expected, fp32_rounding));
    CHECK(torch::equal(sm::text_encoder_from_json(plain->description())->forward(tokens, mask), features));
  }
}
