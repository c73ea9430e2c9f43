// Explanations find the patch and the word that a made classifier hangs on; rollout is that of the paper.
#include <sslmeme/core/error.hpp>
#include <sslmeme/eval/explain.hpp>

#include <torch/nn/modules/linear.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>

#include <cmath>
#include <numeric>

#include "close_to.hpp"
#include "tiny_classifier.hpp"

namespace sslmeme {
namespace {

using Catch::Matchers::WithinAbs;

/// Looks at the mean red of one cell of an 8 × 8 grid over 16 × 16 pixels alone.
class OnePatch final : public ImageBackbone {
 public:
  OnePatch(std::int64_t row, std::int64_t column) : row_{row}, column_{column} {
    register_parameter("weight", torch::ones({1}));
  }
  std::int64_t feature_dim() const override { return 2; }
  Tensor forward(const Tensor& images) override {
    const auto red = images.select(1, 0).narrow(1, 2 * row_, 2).narrow(2, 2 * column_, 2).mean({1, 2});
    return torch::stack({red, torch::ones_like(red)}, 1);
  }

 private:
  std::int64_t row_, column_;
};

/// Whether token `id` stands anywhere.
class OneWord final : public TextBackbone {
 public:
  explicit OneWord(std::int64_t id) : id_{id} { register_parameter("weight", torch::ones({1})); }
  std::int64_t feature_dim() const override { return 2; }
  Tensor forward(const Tensor& tokens, const Tensor& mask) override {
    const auto there = ((tokens == id_) & mask).any(1).to(torch::kFloat);
    return torch::stack({there, torch::ones_like(there)}, 1);
  }

 private:
  std::int64_t id_;
};

MemeScorer one_patch_one_word() {
  const Supervised classifier{std::make_shared<OnePatch>(5, 2),
                              std::make_shared<OneWord>(7),  // rose
                              {.fusion = {.kind = FusionKind::concat, .norm = FusionNorm::batch, .seed = 4}}};
  return {classifier, test::tiny_words(), test::tiny_settings};
}

Image bright() {
  Image picture{16, 16};
  std::ranges::fill(picture.pixels, std::uint8_t{250});
  return picture;
}

TEST_CASE("occlusion finds the one patch that the answer hangs on, and nothing else") {
  const auto found = explain(one_patch_one_word(), bright(), "a red rose");
  REQUIRE(found.picture_occlusion);
  const auto& map = *found.picture_occlusion;
  CHECK(map.rows == 8);
  CHECK(map.columns == 8);
  REQUIRE(map.values.size() == 64);
  for (std::size_t i = 0; i < 64; ++i) {
    INFO(i);
    if (i == 5 * 8 + 2) {
      CHECK(std::abs(map.values[i]) > 1e-3);
    } else {
      CHECK_THAT(map.values[i], WithinAbs(0, 1e-6));
    }
  }
  CHECK_FALSE(found.picture_attention);  // neither encoder has any
  CHECK_FALSE(found.words.front().attention);
}

TEST_CASE("occlusion finds the one word that the answer hangs on, left out or masked") {
  const auto scorer = one_patch_one_word();
  for (const bool masked : {false, true}) {
    const auto found = explain(scorer, bright(), " not a\trose,  is it ", {.mask_words = masked});
    REQUIRE(found.words.size() == 5);
    CHECK(found.words[2].word == "rose,");
    for (std::size_t i = 0; i < 5; ++i) {
      REQUIRE(found.words[i].occlusion);
      if (i == 2) {
        CHECK(std::abs(*found.words[i].occlusion) > 1e-3);
      } else {
        CHECK_THAT(*found.words[i].occlusion, WithinAbs(0, 1e-6));
      }
    }
  }
  // What hiding takes away is the difference of two verdicts.
  const auto found = explain(scorer, bright(), "red rose");
  CHECK_THAT(*found.words[1].occlusion, WithinAbs(found.verdict.logit - scorer.score(bright(), "red").logit, 1e-6));
}

TEST_CASE("one cell at a time or all at once makes no difference") {
  const auto scorer = one_patch_one_word();
  const auto whole = explain(scorer, bright(), "a rose", {.batch_size = 64});
  const auto single = explain(scorer, bright(), "a rose", {.batch_size = 1});
  for (std::size_t i = 0; i < 64; ++i)
    CHECK_THAT(whole.picture_occlusion->values[i], WithinAbs(single.picture_occlusion->values[i], 1e-6));
}

TEST_CASE("attention rollout is the product of (A + I) / 2, in double") {
  // Two layers of two heads over three tokens, multiplied out by hand: A1 = mean of heads, R = (A2 + I)/2 (A1 + I)/2.
  const auto kind = torch::dtype(torch::kDouble);
  const auto first = torch::tensor({0.5, 0.25, 0.25, 0.2, 0.6, 0.2, 0.1, 0.1, 0.8,   //
                                    0.3, 0.35, 0.35, 0.4, 0.2, 0.4, 0.3, 0.5, 0.2},  //
                                   kind)
                         .reshape({1, 2, 3, 3});
  const auto second = torch::tensor({1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0,  //
                                     0.2, 0.4, 0.4, 0.5, 0.1, 0.4, 0.6, 0.3, 0.1},
                                    kind)
                          .reshape({1, 2, 3, 3});
  // (A1 + I)/2 = [.7 .15 .15; .15 .7 .15; .1 .15 .75], (A2 + I)/2 = [.8 .1 .1; .125 .775 .1; .15 .075 .775]
  const auto expected = torch::tensor({0.585, 0.205, 0.21,        //
                                       0.21375, 0.57625, 0.21,    //
                                       0.19375, 0.19125, 0.615},  //
                                      kind)
                            .reshape({1, 3, 3});
  const std::array layers{first, second};
  const auto rollout = attention_rollout(layers);
  CHECK(rollout.scalar_type() == torch::kDouble);
  CHECK_THAT(rollout, test::AllCloseTo(expected, test::fp64_exact));
  CHECK_THROWS_AS(attention_rollout({}), InvalidArgument);
  const std::array wrong{first, second.narrow(2, 0, 2)};
  CHECK_THROWS_AS(attention_rollout(wrong), InvalidArgument);
}

double sum_of(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0);
}

TEST_CASE("attention over patches and words is that of the rows that are pooled, a word having its tokens' sum") {
  const MemeScorer scorer{test::tiny_classifier(), test::tiny_words(), test::tiny_settings};
  const auto meme = test::TinyMemes{}.get(1);
  const auto found = explain(scorer, meme.picture, "a skunk !", {.grid = 4});
  REQUIRE(found.picture_attention);
  CHECK(found.picture_attention->rows == 4);
  CHECK_THAT(sum_of(found.picture_attention->values), WithinAbs(1, 1e-9));
  REQUIRE(found.words.size() == 3);

  const torch::NoGradGuard no_grad;
  const auto batch = scorer.prepare({&meme, 1});
  const auto of_picture =
      attention_rollout(scorer.classifier().image()->encode(batch.views[0], {.attention = true}).attention)[0][0];
  const auto patches = of_picture.narrow(0, 1, 16) / of_picture.narrow(0, 1, 16).sum();
  for (std::int64_t i = 0; i < 16; ++i) {
    CHECK_THAT(found.picture_attention->values[static_cast<std::size_t>(i)],
               WithinAbs(patches[i].item<double>(), 1e-9));
  }
  // [CLS] a sku ##nk ! [SEP], mean pooling: the mean of all rows.
  const std::string text = "a skunk !";
  const auto [tokens, mask] = tokenize(*scorer.tokenizer(), {&text, 1}, 12);
  REQUIRE(tokens.size(1) == 6);
  const auto of_words =
      attention_rollout(scorer.classifier().text()->encode(tokens, mask, {.attention = true}).attention)[0].mean(0);
  const auto all = of_words.narrow(0, 1, 4).sum();
  CHECK_THAT(*found.words[0].attention, WithinAbs((of_words[1] / all).item<double>(), 1e-9));
  CHECK_THAT(*found.words[1].attention, WithinAbs(((of_words[2] + of_words[3]) / all).item<double>(), 1e-9));
  CHECK_THAT(*found.words[2].attention, WithinAbs((of_words[4] / all).item<double>(), 1e-9));
}

TEST_CASE("words beyond max_tokens have no weight") {
  auto settings = test::tiny_settings;
  settings.max_tokens = 5;  // [CLS] a red rose [SEP]
  const MemeScorer scorer{test::tiny_classifier(), test::tiny_words(), settings};
  const auto found = explain(scorer, test::TinyMemes{}.get(1).picture, "a red rose is red", {.grid = 2});
  REQUIRE(found.words.size() == 5);
  CHECK(*found.words[4].attention == 0);
  CHECK_THAT(*found.words[4].occlusion, WithinAbs(0, 1e-6));
  CHECK_THAT(*found.words[0].attention + *found.words[1].attention + *found.words[2].attention, WithinAbs(1, 1e-9));
}

TEST_CASE("a prepared picture is explained as the picture, and what cannot be is refused") {
  const MemeScorer scorer{test::tiny_classifier(), test::tiny_words(), test::tiny_settings};
  const auto meme = test::TinyMemes{}.get(2);
  const auto a = explain(scorer, meme.picture, meme.text, {.grid = 2});
  const auto b = explain(scorer, scorer.prepare({&meme, 1}).views[0][0], meme.text, {.grid = 2});
  CHECK((a.picture_occlusion->values == b.picture_occlusion->values));
  CHECK(a.verdict.logit == b.verdict.logit);
  CHECK_THROWS_AS(explain(scorer, torch::zeros({3, 8, 8}), meme.text), InvalidArgument);
  CHECK_THROWS_AS(explain(scorer, meme.picture, meme.text, {.grid = 17}), InvalidArgument);
  CHECK_THROWS_AS(explain(scorer, meme.picture, meme.text, {.batch_size = 0}), InvalidArgument);
  const auto quiet = explain(scorer, meme.picture, meme.text, {.attention = false, .occlusion = false});
  CHECK_FALSE(quiet.picture_attention);
  CHECK_FALSE(quiet.picture_occlusion);
  CHECK(quiet.verdict.logit == a.verdict.logit);
}

}  // namespace
}  // namespace sslmeme
