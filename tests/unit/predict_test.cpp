// Evaluation over a loader: what only fills up a batch is left out, and nothing else may be missing.
#include <sslmeme/core/error.hpp>
#include <sslmeme/eval/knn.hpp>
#include <sslmeme/eval/predict.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "one_thread.hpp"

#include "letters.hpp"

namespace sslmeme {
namespace {

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

constexpr std::size_t count = 22;

struct Memes {
  std::size_t size() const { return count; }
  Sample get(std::size_t i) const {
    Sample sample{Image{20, 17}, "meme", static_cast<std::int64_t>(i % 2), static_cast<std::int64_t>(100 + i)};
    for (std::size_t k = 0; k < sample.picture.pixels.size(); ++k)
      sample.picture.pixels[k] = static_cast<std::uint8_t>(k * 7 + i * 31);
    return sample;
  }
};

DataLoader loader_of(LoaderOptions options) {
  options.shuffle = false;
  options.drop_last = false;
  options.tokenizer = std::make_shared<test::Letters>();
  return {Memes{}, eval_views({.size = 32}), std::move(options)};
}

TEST_CASE("rows that only fill up a batch are neither scored nor embedded") {
  const auto encoder = image_encoder("resnet18", {.width = 4, .depth = 1});
  Supervised classifier{encoder,
                        text_encoder("minilm_l6", {.vocabulary_size = 128, .max_tokens = 8, .width = 24, .depth = 1})};
  auto plain = loader_of({.batch_size = 8}), padded = loader_of({.batch_size = 8, .pad_last = true});
  const auto expected = predict(classifier, plain), scores = predict(classifier, padded);
  REQUIRE(expected.ids.size() == count);
  CHECK(scores.ids == expected.ids);
  CHECK(scores.labels == expected.labels);
  REQUIRE(scores.scores.size() == count);
  for (std::size_t i = 0; i < count; ++i) CHECK(std::abs(scores.scores[i] - expected.scores[i]) < 1e-6);
  const auto without = embed(*encoder, plain), with = embed(*encoder, padded);
  CHECK(torch::equal(with.ids, without.ids));
  CHECK(torch::equal(with.labels, without.labels));
  CHECK(torch::allclose(with.features, without.features, 1e-5, 1e-6));

  // Of three ranks that have 8 rows each the last has 6 samples; of those that have 11 it has none.
  auto last = loader_of({.batch_size = 8, .pad_last = true, .rank = 2, .ranks = 3});
  CHECK(predict(classifier, last).ids == std::vector<std::int64_t>{116, 117, 118, 119, 120, 121});
  auto nothing = loader_of({.batch_size = 11, .pad_last = true, .rank = 2, .ranks = 3});
  CHECK(predict(classifier, nothing).ids.empty());
  CHECK(embed(*encoder, nothing).features.size(0) == 0);
}

TEST_CASE("a loader that puts other samples in the place of unreadable ones does not measure a split") {
  const auto encoder = image_encoder("resnet18", {.width = 4, .depth = 1});
  auto loader = loader_of({.unreadable = {.policy = UnreadablePolicy::substitute}});
  CHECK_THROWS_MATCHES(embed(*encoder, loader), InvalidArgument,
                       MessageMatches(ContainsSubstring("UnreadablePolicy::fail")));
}

}  // namespace
}  // namespace sslmeme

TEST_CASE("AUROC is that of the logits, which keep their order where probabilities are 1") {
  const sslmeme::Predictions sure{{1, 1, 0.5, 0.2}, {1, 0, 1, 0}, {1, 2, 3, 4}, {50, 40, 0, -1.4}};
  CHECK(sslmeme::evaluate(sure, sure).auroc == 0.75);  // one of four pairs the wrong way round; of scores 0.625
  const sslmeme::Predictions without{sure.scores, sure.labels, sure.ids};
  CHECK(sslmeme::evaluate(without, without).auroc == 0.625);
}
