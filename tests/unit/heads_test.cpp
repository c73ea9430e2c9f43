#include <sslmeme/core/error.hpp>
#include <sslmeme/nn/heads.hpp>
#include <sslmeme/nn/weights.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <string>

#include "close_to.hpp"
#include "state.hpp"

namespace sm = sslmeme;
using sm::Tensor;
using sm::test::AllCloseTo;
using sm::test::by_name;
using sm::test::fp32_rounding;

TEST_CASE("A linear projection is one matrix without bias") {
  const auto head = sm::make_projection(5, {.out = 3});
  const auto x = torch::randn({4, 5});
  REQUIRE(by_name(*head).size() == 1);
  CHECK_THAT(head->forward(x), AllCloseTo(x.matmul(by_name(*head).at("proj.weight").t()), fp32_rounding));
  CHECK(head->out_dim() == 3);
}

TEST_CASE("An mlp projection is linear, batch norm, ReLU, linear, batch norm without affine part") {
  const auto head = sm::make_projection(5, {.out = 3, .kind = sm::ProjectionKind::mlp, .hidden = 7});
  const auto x = torch::randn({6, 5});
  auto w = by_name(*head);
  CHECK(w.count("layers.4.weight") == 0);
  const auto norm = [](const sm::Tensor& h) { return (h - h.mean(0)) / (h.var(0, /*unbiased=*/false) + 1e-5).sqrt(); };
  const auto hidden = norm(x.matmul(w.at("layers.0.weight").t())) * w.at("layers.1.weight") + w.at("layers.1.bias");
  CHECK_THAT(head->forward(x), AllCloseTo(norm(hidden.relu().matmul(w.at("layers.3.weight").t())), {1e-4, 1e-5}));
  CHECK(head->out_dim() == 3);
  CHECK(by_name(*sm::make_projection(5, {.kind = sm::ProjectionKind::mlp})).at("layers.0.weight").sizes() ==
        torch::IntArrayRef({5, 5}));
}

TEST_CASE("A residual projection is that of the tutorial, with dropout in training alone") {
  const auto head = sm::make_projection(5, {.out = 8, .kind = sm::ProjectionKind::residual});
  const auto x = torch::randn({6, 5});
  auto w = by_name(*head);
  const auto p = x.matmul(w.at("projection.weight").t()) + w.at("projection.bias");
  const auto y = p + torch::gelu(p).matmul(w.at("fc.weight").t()) + w.at("fc.bias");
  const auto expected = (y - y.mean(1, true)) / (y.var(1, false, true) + 1e-5).sqrt();
  head->eval();
  CHECK_THAT(head->forward(x), AllCloseTo(expected, {1e-4, 1e-5}));
  head->train();
  CHECK_FALSE(torch::allclose(head->forward(x), expected));
}

TEST_CASE("No projection passes features through") {
  const auto head = sm::make_projection(5, {.out = 3, .kind = sm::ProjectionKind::none});
  const auto x = torch::randn({2, 5});
  CHECK(head->forward(x).is_same(x));
  CHECK(head->out_dim() == 5);
  CHECK(by_name(*head).empty());
}

TEST_CASE("The seed alone decides the initial weights of a head") {
  for (const auto kind : {sm::ProjectionKind::linear, sm::ProjectionKind::mlp, sm::ProjectionKind::residual}) {
    const auto first = [&](std::uint64_t seed) {
      return sm::state_of(*sm::make_projection(6, {.out = 4, .kind = kind, .seed = seed})).front().second;
    };
    const auto a = first(1);
    torch::manual_seed(99);
    CHECK(torch::equal(a, first(1)));
    CHECK_FALSE(torch::equal(a, first(2)));
  }
}

TEST_CASE("Sizes that are not positive are refused") {
  using Catch::Matchers::Message;
  CHECK_THROWS_MATCHES(sm::make_projection(0, {}), sm::InvalidArgument,
                       Message("the feature size of an encoder is 0; it must be positive"));
  CHECK_THROWS_MATCHES(sm::make_projection(4, {.out = -1}), sm::InvalidArgument,
                       Message("Projection::out is -1; it must be positive"));
}

TEST_CASE("A batch of one has no statistics: refused in training, fine in evaluation") {
  const auto head = sm::make_projection(5, {.out = 3, .kind = sm::ProjectionKind::mlp});
  CHECK_THROWS_AS(head->forward(torch::randn({1, 5})), sm::InvalidArgument);
  head->eval();
  CHECK(head->forward(torch::randn({1, 5})).sizes() == torch::IntArrayRef({1, 3}));
}
