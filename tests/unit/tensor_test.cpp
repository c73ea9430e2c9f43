#include <sslmeme/core/batch.hpp>
#include <sslmeme/core/image.hpp>
#include <sslmeme/core/precision.hpp>
#include <sslmeme/core/tensor.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cmath>

#include "close_to.hpp"

namespace sm = sslmeme;
using sm::test::AllCloseTo;

TEST_CASE("Shapes are written as people write them") {
  CHECK(sm::shape_string(torch::zeros({16, 128})) == "(16, 128)");
  CHECK(sm::shape_string(torch::zeros({3})) == "(3)");
  CHECK(sm::shape_string(torch::zeros({})) == "()");
  CHECK(sm::shape_string({}) == "undefined");
}

TEST_CASE("l2_normalize gives unit vectors over the last dimension") {
  const auto x = torch::tensor({{3.0, 4.0}, {0.0, 0.0}, {-1e-3, 0.0}}, torch::kDouble);
  const auto unit = torch::tensor({{0.6, 0.8}, {0.0, 0.0}, {-1.0, 0.0}}, torch::kDouble);
  CHECK_THAT(sm::l2_normalize(x), AllCloseTo(unit, sm::test::fp64_exact));
  CHECK(sm::l2_normalize(x).scalar_type() == torch::kDouble);
  CHECK(sm::l2_normalize(x.to(torch::kFloat)).scalar_type() == torch::kFloat);
  const auto cube = sm::l2_normalize(torch::randn({2, 3, 5}, torch::kDouble));
  CHECK_THAT(cube.norm(2, -1), AllCloseTo(torch::ones({2, 3}), sm::test::fp64_exact));
  for (const auto half : {torch::kBFloat16, torch::kHalf}) {
    const auto from_half = sm::l2_normalize(x.narrow(0, 0, 2).to(half));
    CHECK(from_half.scalar_type() == torch::kFloat);
    CHECK_THAT(from_half, AllCloseTo(unit.narrow(0, 0, 2), sm::test::fp32_rounding));
  }
}

TEST_CASE("A vector without a direction gets no gradient from l2_normalize, in any type") {
  for (const auto type : {torch::kDouble, torch::kFloat, torch::kHalf, torch::kBFloat16}) {
    INFO(type);
    const auto x = torch::tensor({{3.0, 4.0}, {0.0, 0.0}}, torch::kDouble).to(type).requires_grad_();
    sm::l2_normalize(x).select(1, 1).sum().backward();
    const auto expected = torch::tensor({{-0.096, 0.072}, {0.0, 0.0}}, torch::kDouble);
    CHECK_THAT(x.grad(), AllCloseTo(expected, {1e-2, 0}));
  }
  const auto tiny = torch::tensor({{1e-13, 0.0}}, torch::kFloat).requires_grad_();
  const auto unit = sm::l2_normalize(tiny);
  CHECK_THAT(unit, AllCloseTo(torch::tensor({{0.1, 0.0}}, torch::kDouble), sm::test::fp32_rounding));
  unit.sum().backward();
  CHECK(tiny.grad().count_nonzero().item<int>() == 0);
}

TEST_CASE("Vectors whose squares overflow are normalised as any other") {
  const auto x = torch::tensor({{3e25, 4e25}, {3.0, 4.0}, {0.0, 0.0}}, torch::kFloat).requires_grad_();
  const auto unit = sm::l2_normalize(x);
  const auto expected = torch::tensor({{0.6, 0.8}, {0.6, 0.8}, {0.0, 0.0}}, torch::kDouble);
  CHECK_THAT(unit, AllCloseTo(expected, sm::test::fp32_rounding));
  unit.select(1, 1).sum().backward();
  const auto gradient = torch::tensor({{-9.6e-27, 7.2e-27}, {-0.096, 0.072}, {0.0, 0.0}}, torch::kDouble);
  CHECK_THAT(x.grad(), AllCloseTo(gradient, {1e-4, 0}));
  CHECK(torch::isnan(sm::l2_normalize(torch::tensor({{INFINITY, 1.0F}}))).all().item<bool>());
}

TEST_CASE("A picture becomes a tensor of channels, rows and columns") {
  sm::Image image{3, 2};
  for (std::size_t i = 0; i < image.pixels.size(); ++i) image.pixels[i] = static_cast<std::uint8_t>(i);
  const auto tensor = image.to_tensor();
  REQUIRE(tensor.sizes() == torch::IntArrayRef({3, 2, 3}));
  CHECK(tensor.scalar_type() == torch::kByte);
  CHECK(tensor[2][1][0].item<int>() == image.row(1)[2]);
  image.pixels.assign(image.pixels.size(), 0);
  CHECK(tensor[2][1][2].item<int>() == 17);  // a copy
}

TEST_CASE("A batch knows its size and moves whole") {
  CHECK(sm::Batch{}.size() == 0);
  sm::Batch batch;
  batch.views = {torch::zeros({2, 3, 4, 4}), torch::ones({2, 3, 5, 5})};
  batch.labels = torch::tensor({0, 1});
  batch.ids = torch::tensor({8, 9});
  const auto moved = batch.to(torch::kCPU);
  CHECK(moved.size() == 2);
  REQUIRE(moved.views.size() == 2);
  CHECK(moved.views[1].is_same(batch.views[1]));
  CHECK(moved.labels.is_same(batch.labels));
  CHECK_FALSE(moved.tokens.defined());
}

TEST_CASE("Autocast and FullPrecision hold for their scope") {
  const auto x = torch::randn({2, 2});
  const auto type = [&] { return torch::matmul(x, x).scalar_type(); };
  CHECK(type() == torch::kFloat);
  {
    const sm::Autocast outer{sm::Precision::bf16, torch::kCPU};
    CHECK(type() == torch::kBFloat16);
    {
      const sm::FullPrecision off{torch::kCPU};
      CHECK(type() == torch::kFloat);
      const sm::Autocast inner{sm::Precision::bf16, torch::kCPU};
      CHECK(type() == torch::kBFloat16);
    }
    CHECK(type() == torch::kBFloat16);
    const sm::Autocast none{sm::Precision::fp32, torch::kCPU};
    CHECK(type() == torch::kBFloat16);
  }
  CHECK(type() == torch::kFloat);
}

TEST_CASE("Autocast forgets its copies of the weights at the end of the outermost scope") {
  const auto weight = torch::ones({2, 2}).requires_grad_();
  const auto x = torch::ones({1, 2});
  const auto sum = [&] {
    const sm::Autocast autocast{sm::Precision::bf16, torch::kCPU};
    return torch::matmul(x, weight).sum().item<double>();
  };
  CHECK(sum() == 4);
  {
    const torch::NoGradGuard no_grad;
    weight.mul_(3);
  }
  CHECK(sum() == 12);
}
