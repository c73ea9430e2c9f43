#include <sslmeme/core/error.hpp>
#include <sslmeme/eval/embedding_map.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <ATen/Parallel.h>

#include <cmath>
#include <string>
#include <vector>

#include "close_to.hpp"
#include "evaluation_golden.hpp"

namespace sm = sslmeme;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using Catch::Matchers::WithinAbs;
using Catch::Matchers::WithinRel;
using sm::Tensor;
using sm::test::AllCloseTo;

namespace {

/// KL(P ‖ Q) straight from the definition, P by bisection in its own way.
double kl_by_hand(const Tensor& x, const Tensor& y, double perplexity) {
  const auto n = x.size(0);
  const auto distances = torch::cdist(x, x).square();
  std::vector<Tensor> rows;
  for (std::int64_t i = 0; i < n; ++i) {
    double low = -20, high = 20;  // the log of the precision
    Tensor p;
    for (int step = 0; step < 80; ++step) {
      const double middle = (low + high) / 2;
      p = (-std::exp(middle) * distances[i]).index_fill(0, torch::tensor({i}), -INFINITY).softmax(0);
      (torch::special_entr(p).sum().item<double>() > std::log(perplexity) ? low : high) = middle;
    }
    rows.push_back(p);
  }
  const auto conditional = torch::stack(rows);
  const auto p = (conditional + conditional.t()) / static_cast<double>(2 * n);
  const auto w = (1 / (1 + torch::cdist(y, y).square())).fill_diagonal_(0);
  const auto off = torch::eye(n, torch::kBool).logical_not();
  const auto q = (w / w.sum()).masked_select(off), given = p.masked_select(off);
  return (torch::xlogy(given, given) - given * q.log()).sum().item<double>();
}

/// The part of points whose nearest neighbour is of the same class.
double neighbours_agree(const Tensor& points, const Tensor& labels) {
  const auto nearest = torch::cdist(points, points).fill_diagonal_(INFINITY).argmin(1);
  return (labels.index_select(0, nearest) == labels).to(torch::kDouble).mean().item<double>();
}

}  // namespace

TEST_CASE("PCA is that of scikit-learn, its signs fixed") {
  const auto golden = sm::test::evaluation_golden("map");
  const auto map = sm::pca_map(sm::test::matrix(golden.at("features")));
  CHECK_THAT(map.axes, AllCloseTo(sm::test::matrix(golden.at("axes")), sm::test::fp64_exact));
  CHECK_THAT(map.points, AllCloseTo(sm::test::matrix(golden.at("points")), {1e-9, 1e-10}));
  CHECK_THAT(map.explained, AllCloseTo(torch::tensor(golden.at("explained").get<std::vector<double>>(), torch::kDouble),
                                       sm::test::fp64_exact));
}

TEST_CASE("PCA of a line, of few rows and of nothing") {
  const auto line = torch::linspace(0, 1, 5).unsqueeze(1) * torch::tensor({{3.0, -4.0}}) + 10;
  const auto map = sm::pca_map(line);
  CHECK_THAT(map.axes[0], AllCloseTo(torch::tensor({-0.6, 0.8}, torch::kDouble), sm::test::fp32_rounding));
  CHECK_THAT(map.explained, AllCloseTo(torch::tensor({1.0, 0.0}), sm::test::fp32_rounding));
  CHECK_THAT(map.points.select(1, 0), AllCloseTo(torch::linspace(2.5, -2.5, 5), sm::test::fp32_rounding));
  const auto few = sm::pca_map(torch::randn({2, 9}));
  CHECK_THAT(few.explained[0], AllCloseTo(torch::tensor(1.0), sm::test::fp64_exact));
  CHECK(sm::pca_map(torch::ones({4, 3})).explained.eq(0).all().item<bool>());
}

TEST_CASE("t-SNE reaches scikit-learn's divergence and keeps clusters apart") {
  const auto golden = sm::test::evaluation_golden("map");
  const auto x = sm::test::matrix(golden.at("features"));
  const auto labels = sm::test::integers(golden.at("labels"));
  const auto map = sm::tsne_map(x, {.perplexity = 20});
  CHECK(map.points.sizes() == torch::IntArrayRef{60, 2});
  CHECK_THAT(map.kl, WithinRel(golden.at("kl").get<double>(), 0.05));
  CHECK_THAT(map.kl, WithinAbs(kl_by_hand(x, map.points, 20), 1e-5));
  CHECK(neighbours_agree(map.points, labels) == 1);
  CHECK(neighbours_agree(map.points, torch::arange(60).div(20, "floor")) < 0.6);
  SECTION("it falls as long as one waits") {
    const auto exaggerated = sm::tsne_map(x, {.perplexity = 20, .iterations = 250});
    const double soon = sm::tsne_map(x, {.perplexity = 20, .iterations = 300}).kl;
    CHECK(soon < exaggerated.kl);
    CHECK(map.kl < soon);
  }
  SECTION("options count") {
    CHECK(sm::tsne_map(x, {.perplexity = 5}).kl > 2 * map.kl);
    CHECK_FALSE(torch::equal(sm::tsne_map(x, {.perplexity = 20, .learning_rate = 20}).points, map.points));
    CHECK(torch::equal(sm::tsne_map(x, {.perplexity = 20, .learning_rate = 50}).points, map.points));
  }
}

TEST_CASE("With small steps t-SNE goes scikit-learn's way") {
  const auto golden = sm::test::evaluation_golden("map");
  const auto& calm = golden.at("calm");
  const auto x = sm::test::matrix(golden.at("features"));
  const double rate = calm.at("learning_rate");
  const auto exaggerated = sm::tsne_map(x, {.perplexity = 20, .iterations = 250, .learning_rate = rate});
  // scikit-learn starts from, and measures distances in, single precision.
  CHECK_THAT(exaggerated.points, AllCloseTo(sm::test::matrix(calm.at("points_250")), {0, 3e-4}));
  const auto map = sm::tsne_map(x, {.perplexity = 20, .learning_rate = rate});
  CHECK_THAT(map.kl, WithinRel(calm.at("kl").get<double>(), 1e-5));
}

TEST_CASE("The same features give the same map, whatever the number of threads") {
  const auto x = torch::randn({300, 5});
  const auto threads = at::get_num_threads();
  at::set_num_threads(1);
  const auto map = sm::tsne_map(x, {.iterations = 250});
  at::set_num_threads(2);
  const auto again = sm::tsne_map(x, {.iterations = 250});
  at::set_num_threads(threads);
  CHECK(torch::equal(again.points, map.points));
  CHECK(again.kl == map.kl);
}

TEST_CASE("t-SNE bears duplicates and any scale") {
  const auto labels = torch::arange(40).remainder(2);
  const auto x = 1e6 * torch::eye(2, 4).index_select(0, labels);  // two places only
  const auto map = sm::tsne_map(x, {.perplexity = 5, .iterations = 300});
  CHECK(torch::isfinite(map.points).all().item<bool>());
  CHECK(std::isfinite(map.kl));
  const auto noisy = torch::eye(2, 4).index_select(0, labels) + 0.1 * torch::randn({40, 4});
  const auto expected = sm::tsne_map(noisy, {.perplexity = 5, .iterations = 400});
  CHECK(neighbours_agree(expected.points, labels) > 0.9);
  for (const double scale : {0x1p-20, 0x1p20})  // powers of two: nothing is rounded otherwise
    CHECK(torch::equal(sm::tsne_map(scale * noisy, {.perplexity = 5, .iterations = 400}).points, expected.points));
}

TEST_CASE("What cannot be drawn is refused") {
  const auto refused = [](const std::string& why, auto call) {
    INFO(why);
    CHECK_THROWS_MATCHES(call(), sm::InvalidArgument, MessageMatches(ContainsSubstring(why)));
  };
  const auto x = torch::randn({40, 3});
  auto broken = x.clone();
  broken[7][2] = NAN;
  refused("the shape of features is (3)", [] { return sm::pca_map(torch::randn({3})); });
  refused("the shape of features is (1, 3)", [] { return sm::pca_map(torch::randn({1, 3})); });
  refused("the shape of features is (5, 1)", [] { return sm::tsne_map(torch::randn({5, 1})); });
  refused("row 7 of features", [&] { return sm::pca_map(broken); });
  refused("row 7 of features", [&] { return sm::tsne_map(broken); });
  refused("there are 5001 rows, at most 5000", [] { return sm::tsne_map(torch::randn({5001, 2})); });
  refused("perplexity is 39 for 40 rows", [&] { return sm::tsne_map(x, {.perplexity = 39}); });
  refused("perplexity is 0.5", [&] { return sm::tsne_map(x, {.perplexity = 0.5}); });
  refused("iterations is 249", [&] { return sm::tsne_map(x, {.iterations = 249}); });
  refused("learning_rate is -1", [&] { return sm::tsne_map(x, {.learning_rate = -1}); });
  refused("all features are the same", [] { return sm::tsne_map(torch::zeros({40, 3})); });
}
