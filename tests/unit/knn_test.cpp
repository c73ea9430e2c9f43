#include <sslmeme/core/error.hpp>
#include <sslmeme/eval/knn.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "close_to.hpp"
#include "evaluation_golden.hpp"
#include "tiny_classifier.hpp"
#include "tiny_run.hpp"

namespace sm = sslmeme;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using sm::Tensor;

namespace {

sm::Embeddings made(const Tensor& features, const Tensor& labels) {
  return {features, labels, torch::arange(labels.size(0))};
}

/// The vote, neighbour by neighbour.
std::int64_t by_hand(const sm::Embeddings& known, const Tensor& query, const sm::KnnOptions& o) {
  std::vector<std::pair<double, std::int64_t>> all;
  for (std::int64_t i = 0; i < known.labels.size(0); ++i) {
    const auto row = known.features[i];
    const auto cosine = (row.dot(query) / (row.norm() * query.norm())).item<double>();
    all.emplace_back(-cosine, known.labels[i].item<std::int64_t>());
  }
  std::sort(all.begin(), all.end());
  std::map<std::int64_t, double> votes;
  for (std::size_t i = 0; i < static_cast<std::size_t>(o.k); ++i)
    votes[all[i].second] += std::exp(-all[i].first / o.temperature);
  std::int64_t best = votes.begin()->first;
  for (const auto& [label, vote] : votes) best = vote > votes[best] ? label : best;
  return best;
}

}  // namespace

TEST_CASE("Nearest neighbours vote by their similarity") {
  const auto known = made(torch::randn({60, 5}), torch::randint(0, 4, {60}));
  const auto queries = torch::randn({1100, 5});  // more than one chunk
  for (const sm::KnnOptions options : {sm::KnnOptions{}, {.k = 1}, {.k = 7, .temperature = 0.5}}) {
    const auto labels = sm::knn_classify(known, queries, options);
    REQUIRE(labels.sizes() == torch::IntArrayRef{1100});
    for (std::int64_t i = 0; i < 1100; i += 37)
      CHECK(labels[i].item<std::int64_t>() == by_hand(known, queries[i], options));
  }
}

TEST_CASE("Nearest neighbours are scikit-learn's") {
  const auto golden = sm::test::evaluation_golden("nearest");
  const auto known =
      made(sm::test::matrix(golden.at("known")).to(torch::kFloat), sm::test::integers(golden.at("labels")));
  const auto queries = sm::test::matrix(golden.at("queries")).to(torch::kFloat);
  for (const auto& expected : golden.at("predicted")) {
    const auto found = sm::knn_classify(known, queries, {expected.at("k"), expected.at("temperature")});
    CHECK(torch::equal(found, sm::test::integers(expected.at("labels"))));
  }
}

TEST_CASE("Texts are embedded as the encoder does, in their order") {
  const auto encoder =
      sm::text_encoder("minilm_l6", {.vocabulary_size = 16, .max_tokens = 12, .width = 24, .depth = 1});
  const auto words = sm::test::tiny_words();
  const std::vector<std::string> texts{"a red rose", "a skunk", "not a rose, is it", "so red", ""};
  const auto features = sm::embed(*encoder, *words, texts, {.batch_size = 2});
  CHECK(encoder->is_training());
  CHECK_FALSE(features.requires_grad());
  encoder->eval();
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const auto [tokens, mask] = sm::tokenize(*words, {&texts[i], 1}, 12);
    CHECK_THAT(features[static_cast<std::int64_t>(i)],
               sm::test::AllCloseTo(encoder->forward(tokens, mask)[0], sm::test::fp32_rounding));
  }
  CHECK(sm::embed(*encoder, *words, {}).sizes() == torch::IntArrayRef{0, 24});
  CHECK_THROWS_AS(sm::embed(*encoder, *words, texts, {.max_tokens = 13}), sm::InvalidArgument);
  CHECK_THROWS_AS(sm::embed(*encoder, *words, texts, {.batch_size = 0}), sm::InvalidArgument);
  const torch::NoGradGuard no_grad;
  encoder->named_parameters()["embeddings.word_embeddings.weight"][5].fill_(NAN);  // "a"
  CHECK_THROWS_MATCHES(sm::embed(*encoder, *words, texts), sm::NonFiniteError,
                       MessageMatches(ContainsSubstring("the features of text 0 are not finite")));
}

TEST_CASE("Classes that lie apart are told apart, whatever the vectors' lengths") {
  const auto labels = torch::arange(90).remainder(3);
  const auto centers = torch::eye(3).index_select(0, labels);
  const auto known = made(centers + 0.1 * torch::randn({90, 3}), labels);
  const auto queries = made(7 * (centers + 0.1 * torch::randn({90, 3})), labels);
  CHECK(sm::knn_accuracy(known, queries) == 1);
  CHECK(sm::knn_accuracy(known, queries, {.k = 1000}) == 1);  // no more than there are
  CHECK(sm::knn_accuracy(known, made(queries.features, (labels + 1).remainder(3))) == 0);
}

TEST_CASE("A vote that cannot be taken is refused") {
  const auto known = made(torch::randn({4, 3}), torch::tensor({0, 1, 1, 0}));
  const auto refused = [](const std::string& what, auto call) {
    CHECK_THROWS_MATCHES(call(), sm::InvalidArgument, MessageMatches(ContainsSubstring(what)));
  };
  refused("queries (2, 4)", [&] { return sm::knn_classify(known, torch::randn({2, 4})); });
  refused("k is 0", [&] { return sm::knn_classify(known, known.features, {.k = 0}); });
  refused("temperature is 0", [&] { return sm::knn_classify(known, known.features, {.temperature = 0}); });
  refused("a known sample has no label",
          [&] { return sm::knn_classify(made(known.features, torch::tensor({0, 1, -1, 0})), known.features); });
  refused("both must be of one type", [&] { return sm::knn_classify(known, torch::randn({2, 3}, torch::kDouble)); });
  const auto broken = known.features.clone();
  broken[2][1] = NAN;
  refused("row 2 of the queries is not finite", [&] { return sm::knn_classify(known, broken); });
  refused("row 2 of the known features is not finite",
          [&] { return sm::knn_classify(made(broken, known.labels), known.features); });
  refused("a query has no label",
          [&] { return sm::knn_accuracy(known, made(known.features, torch::tensor({0, 1, -1, 0}))); });
  refused("or there is none",
          [&] { return sm::knn_accuracy(known, made(torch::empty({0, 3}), torch::empty({0}, torch::kLong))); });
}

TEST_CASE("Embeddings are the encoder's features in the dataset's order") {
  const auto encoder =
      sm::image_encoder("vit_tiny_patch16_224", {.image_size = 16, .patch_size = 8, .width = 12, .depth = 1});
  const auto loader = [](bool drop_last) {
    return sm::DataLoader{sm::test::Noise{},
                          sm::eval_views({.size = 16}),
                          {.batch_size = 8, .workers = 1, .shuffle = false, .drop_last = drop_last}};
  };
  auto all = loader(false);
  encoder->train();
  const auto embeddings = sm::embed(*encoder, all);
  CHECK(encoder->is_training());
  CHECK(torch::equal(embeddings.ids, torch::arange(20)));
  CHECK(embeddings.labels.eq(-1).all().item<bool>());
  CHECK_FALSE(embeddings.features.requires_grad());
  all.start_epoch(0);
  const auto first = all.next();
  CHECK_THAT(embeddings.features.narrow(0, 0, 8),
             sm::test::AllCloseTo(encoder->forward(first->views[0]), sm::test::fp32_rounding));
  auto some = loader(true);
  CHECK_THROWS_MATCHES(sm::embed(*encoder, some), sm::InvalidArgument, MessageMatches(ContainsSubstring(".drop_last")));
  {
    const torch::NoGradGuard no_grad;
    encoder->parameters().back().fill_(NAN);
  }
  CHECK_THROWS_MATCHES(sm::embed(*encoder, all), sm::NonFiniteError,
                       MessageMatches(ContainsSubstring("the features of sample 0 are not finite")));
}
