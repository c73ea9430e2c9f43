#include <sslmeme/core/error.hpp>
#include <sslmeme/eval/knn.hpp>
#include <sslmeme/eval/retrieval.hpp>
#include <sslmeme/text/clip_bpe.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <catch2/matchers/catch_matchers_vector.hpp>

#include <cmath>
#include <string>
#include <vector>

#include "close_to.hpp"
#include "evaluation_golden.hpp"
#include "one_thread.hpp"
#include "tiny_run.hpp"

namespace sm = sslmeme;
using Catch::Matchers::Approx;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using Catch::Matchers::WithinAbs;
using sm::Tensor;
using sm::test::AllCloseTo;

namespace {

using Numbers = std::vector<double>;

void check_recall(const sm::Recall& recall, const nlohmann::json& expected) {
  CHECK_THAT(recall.at, Approx(expected.at("at").get<Numbers>()).margin(1e-12));
  CHECK(recall.median_rank == expected.at("median"));
}

}  // namespace

TEST_CASE("Recall and median rank are those of sorted similarities") {
  const auto golden = sm::test::evaluation_golden("retrieval");
  const auto images = sm::test::matrix(golden.at("images")), texts = sm::test::matrix(golden.at("texts"));
  // [retrieval]
  const auto found = sm::retrieve(images, texts, {.k = {1, 5, 10}});
  const double first_found = found.image_to_text.at[0];
  // [/retrieval]
  CHECK(first_found == golden.at("paired").at("image_to_text").at("at")[0]);
  check_recall(found.image_to_text, golden.at("paired").at("image_to_text"));
  check_recall(found.text_to_image, golden.at("paired").at("text_to_image"));

  const auto several = sm::retrieve(
      images, sm::test::matrix(golden.at("captions")),
      {.image_ids = sm::test::integers(golden.at("image_ids")), .text_ids = sm::test::integers(golden.at("text_ids"))});
  check_recall(several.image_to_text, golden.at("with_ids").at("image_to_text"));
  check_recall(several.text_to_image, golden.at("with_ids").at("text_to_image"));
}

TEST_CASE("Retrieval in chunks is that of the whole matrix") {
  const std::int64_t n = 2600;  // 806 rows a chunk
  const auto images = torch::randn({n, 8}, torch::kDouble);
  const auto texts = images + torch::randn({n, 8}, torch::kDouble);
  const auto similarity = torch::matmul(sm::l2_normalize(images), sm::l2_normalize(texts).t());
  const auto ranks = (similarity >= similarity.diagonal().unsqueeze(1) - 1e-12).sum(1);
  const auto found = sm::retrieve(images, 3 * texts, {.k = {1, 100, n}});
  CHECK_THAT(found.image_to_text.at[0], WithinAbs((ranks <= 1).to(torch::kDouble).mean().item<double>(), 1e-12));
  CHECK_THAT(found.image_to_text.at[1], WithinAbs((ranks <= 100).to(torch::kDouble).mean().item<double>(), 1e-12));
  CHECK(found.image_to_text.at[2] == 1);
  CHECK_THAT(found.image_to_text.median_rank, WithinAbs(ranks.to(torch::kDouble).quantile(0.5).item<double>(), 1e-12));
}

TEST_CASE("Whatever has collapsed finds nothing") {
  const auto same = torch::randn({1, 33}).expand({50, 33});
  const auto found = sm::retrieve(same, same, {.k = {1, 49, 50}});
  for (const auto& recall : {found.image_to_text, found.text_to_image}) {
    CHECK(recall.at == Numbers{0, 0, 1});
    CHECK(recall.median_rank == 50);
  }
  SECTION("but copies of one's own match are no rivals") {
    const auto ids = torch::arange(50).div(25, "floor");
    const auto apart = torch::eye(2, 33).index_select(0, ids);
    CHECK(sm::retrieve(apart, apart, {.k = {1}}).image_to_text.at[0] == 0);
    CHECK(sm::retrieve(apart, apart, {.k = {1}, .image_ids = ids, .text_ids = ids}).image_to_text.at[0] == 1);
  }
}

TEST_CASE("Each direction ranks its own candidates") {
  // Text 2 is nearest to every picture; every text is nearest to its own picture.
  const auto images = torch::tensor({{1.0, 0.0, 0.0}, {0.0, 1.0, 0.0}, {0.0, 0.0, 1.0}});
  const auto texts = torch::tensor({{1.0, 0.0, 4.0}, {0.0, 1.0, 4.0}, {2.0, 2.0, 3.0}});
  const auto found = sm::retrieve(images, texts, {.k = {1, 2, 3}});
  CHECK_THAT(found.image_to_text.at, Approx(Numbers{0, 2.0 / 3, 1}));
  CHECK_THAT(found.text_to_image.at, Approx(Numbers{1.0 / 3, 1, 1}));
  CHECK((found.image_to_text.median_rank == 2 && found.text_to_image.median_rank == 2));
}

TEST_CASE("Zero-shot classification is cosine with the mean of normalised prompts") {
  const auto golden = sm::test::evaluation_golden("retrieval");
  std::vector<Tensor> prompts;
  for (const auto& of_class : golden.at("prompts")) prompts.push_back(sm::test::matrix(of_class));
  const auto images = sm::test::matrix(golden.at("images"));
  const auto classes = sm::zero_shot_classes(prompts);
  CHECK_THAT(classes, AllCloseTo(sm::test::matrix(golden.at("classes")), sm::test::fp64_exact));
  const auto logits = sm::zero_shot_logits(images, classes);
  CHECK_THAT(logits, AllCloseTo(sm::test::matrix(golden.at("logits")), sm::test::fp64_exact));
  CHECK_THAT(sm::zero_shot_logits(5 * images, 2 * classes, 1), AllCloseTo(logits / 100, sm::test::fp64_exact));
}

TEST_CASE("Prompts become classes, and pictures get one of them") {
  // In a program both come with .weights of open_clip.
  const auto pictures =
      sm::image_encoder("ViT-B-32", {.image_size = 32, .patch_size = 16, .width = 64, .depth = 1, .seed = 1});
  const auto texts =
      sm::text_encoder("ViT-B-32", {.vocabulary_size = 49408, .max_tokens = 16, .width = 64, .depth = 1, .seed = 2});
  const auto merges = SSLMEME_TEST_DATA "/text/bpe_simple_vocab_16e6.txt.gz";
  sm::DataLoader memes{sm::test::Noise{},
                       sm::clip_eval({.size = 32}),
                       {.batch_size = 8, .workers = 1, .shuffle = false, .drop_last = false}};
  // [zero_shot]
  const auto tokenizer = sm::ClipBpe::from_file(merges);
  const auto prompts = [&](const std::vector<std::string>& lines) { return sm::embed(*texts, tokenizer, lines); };
  const auto classes = sm::zero_shot_classes(
      {prompts({"a harmless meme", "a friendly joke"}), prompts({"a hateful meme", "a meme that mocks someone"})});
  const auto found = sm::embed(*pictures, memes);
  const auto harmful = sm::zero_shot_logits(found.features, classes).softmax(1).select(1, 1);  // a probability each
  // [/zero_shot]
  REQUIRE(harmful.sizes() == torch::IntArrayRef{20});
  CHECK((harmful.min().item<double>() >= 0 && harmful.max().item<double>() <= 1));
  const auto line = [&](const std::string& text) {
    const auto row = prompts({text})[0].to(torch::kDouble);
    return row / row.norm();
  };
  const auto friendly = line("a harmless meme") + line("a friendly joke");
  CHECK_THAT(classes[0], AllCloseTo(friendly / friendly.norm(), sm::test::fp32_rounding));
  CHECK((harmful.max() - harmful.min()).item<double>() > 1e-4);
}

TEST_CASE("Alignment and uniformity are those of the paper") {
  const auto golden = sm::test::evaluation_golden("retrieval");
  const auto images = sm::test::matrix(golden.at("images")), texts = sm::test::matrix(golden.at("texts"));
  CHECK_THAT(sm::alignment(images, texts), WithinAbs(golden.at("alignment").at("2"), 1e-12));
  CHECK_THAT(sm::alignment(images, 3 * texts, 1), WithinAbs(golden.at("alignment").at("1"), 1e-12));
  CHECK_THAT(sm::uniformity(images), WithinAbs(golden.at("uniformity").at("2"), 1e-12));
  CHECK_THAT(sm::uniformity(2 * images, 1), WithinAbs(golden.at("uniformity").at("1"), 1e-12));
  CHECK(sm::alignment(images, images) == 0);
  CHECK_THAT(sm::uniformity(torch::ones({5, 3})), WithinAbs(0, 1e-12));
  CHECK_THAT(sm::uniformity(torch::tensor({{1.0, 0.0}, {-3.0, 0.0}})), WithinAbs(-8, 1e-12));
  CHECK_THAT(sm::uniformity(torch::tensor({{1.0, 0.0}, {-3.0, 0.0}}), 1000), WithinAbs(-4000, 1e-9));
  CHECK_THAT(sm::uniformity(torch::tensor({{0.0, 0.0}, {-3.0, 0.0}})), WithinAbs(-2, 1e-12));  // zero stays zero
  SECTION("in chunks as at once") {
    const auto many = torch::randn({2500, 5}, torch::kDouble);
    const auto distance = torch::pdist(sm::l2_normalize(many));
    CHECK_THAT(sm::uniformity(many), WithinAbs(distance.square().mul(-2).exp().mean().log().item<double>(), 1e-10));
  }
}

TEST_CASE("Embeddings that cannot be judged are refused") {
  const auto refused = [](const std::string& why, auto call) {
    INFO(why);
    CHECK_THROWS_MATCHES(call(), sm::InvalidArgument, MessageMatches(ContainsSubstring(why)));
  };
  const auto x = torch::randn({4, 3}), wide = torch::randn({4, 5});
  auto broken = x.clone();
  broken[3][0] = INFINITY;
  refused("the shape of images is (3)", [&] { return sm::retrieve(torch::randn({3}), x); });
  refused("the shape of texts is (0, 3)", [&] { return sm::retrieve(x, torch::empty({0, 3})); });
  refused("the same width", [&] { return sm::retrieve(x, wide); });
  refused("row 3 of texts is not finite", [&] { return sm::retrieve(x, broken); });
  refused("without ids row i matches row i", [&] { return sm::retrieve(x, torch::randn({5, 3})); });
  refused("k has 0", [&] { return sm::retrieve(x, x, {.k = {1, 0}}); });
  const auto ids = torch::tensor({7, 8, 9, 10});
  refused("text_ids are undefined", [&] { return sm::retrieve(x, x, {.image_ids = ids}); });
  refused("image_ids are (3)",
          [&] { return sm::retrieve(x, x, {.image_ids = torch::tensor({1, 2, 3}), .text_ids = ids}); });
  refused("image 2 has id 5, which nothing on the other side has",
          [&] { return sm::retrieve(x, x, {.image_ids = torch::tensor({7, 8, 5, 10}), .text_ids = ids}); });
  refused("there is no class", [] { return sm::zero_shot_classes({}); });
  refused("the same width", [&] { return sm::zero_shot_classes({x, wide}); });
  refused("row 3 of prompts", [&] { return sm::zero_shot_classes({x, broken}); });
  refused("the same width", [&] { return sm::zero_shot_logits(x, wide); });
  refused("a is (4, 3), b is (4, 5)", [&] { return sm::alignment(x, wide); });
  refused("row 3 of b", [&] { return sm::alignment(x, broken); });
  refused("at least two rows", [] { return sm::uniformity(torch::randn({1, 3})); });
  refused("row 3 of x", [&] { return sm::uniformity(broken); });
}
