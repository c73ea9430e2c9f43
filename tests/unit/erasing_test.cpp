// Random erasing: what it draws lies in transform_laws_test; here is what it does to pictures.
#include <sslmeme/core/error.hpp>
#include <sslmeme/data/erasing.hpp>
#include <sslmeme/data/transforms.hpp>

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>

#include "patterns.hpp"

namespace sslmeme {
namespace {

using Catch::Approx;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

const Image source = test::pattern("waves", 40, 30);

bool within(const Box& box, int x, int y) {
  return x >= box.x && x < box.x + box.width && y >= box.y && y < box.y + box.height;
}

TEST_CASE("erase fills the box with one colour and leaves the rest") {
  const Box box{37, 4, 3, 26};
  const auto out = erase(source, box, {1, 2, 3});
  for (int y = 0; y < source.height; ++y) {
    for (int x = 0; x < source.width; ++x) {
      for (int c = 0; c < 3; ++c)
        REQUIRE(out.row(y)[3 * x + c] == (within(box, x, y) ? c + 1 : source.row(y)[3 * x + c]));
    }
  }
  CHECK(erase(source, {}, {9, 9, 9}) == source);
  const auto message = [](const auto& part) { return MessageMatches(ContainsSubstring(part)); };
  CHECK_THROWS_MATCHES(erase(source, {38, 0, 3, 3}, {}), InvalidArgument, message("40 × 30"));
  CHECK_THROWS_AS(erase(source, {0, -1, 3, 3}, {}), InvalidArgument);
  CHECK_THROWS_AS(erase(source, {0, 0, 3, 31}, {}), InvalidArgument);
}

TEST_CASE("RandomErasing erases the box that it draws, with its probability") {
  const RandomErasing transform{.p = 0.3, .value = {{7, 8, 9}}};
  constexpr int n = 2000;
  int changed = 0;
  for (std::uint64_t seed = 0; seed < n; ++seed) {
    Rng a{seed}, b{seed};
    const auto out = transform(source, a);
    const bool erased = b.bernoulli(0.3);
    REQUIRE(out == (erased ? erase(source, transform.draw(40, 30, b), {7, 8, 9}) : source));
    changed += erased ? 1 : 0;
  }
  CHECK(static_cast<double>(changed) / n == Approx(0.3).margin(4 * std::sqrt(0.25 / n)));
}

TEST_CASE("the default colour is ImageNet's mean: next to 0 after Normalize") {
  const auto value = RandomErasing{}.value.value();
  for (std::size_t c = 0; c < 3; ++c) CHECK(std::abs(value[c] - 255 * imagenet_mean_std.mean[c]) <= 0.5F);
  Image image{1, 1};
  std::ranges::copy(value, image.pixels.begin());
  std::array<float, 3> normalized{};
  imagenet_mean_std.write(image, normalized.data());
  for (const float channel : normalized) CHECK(std::abs(channel) < 0.01F);
}

TEST_CASE("without a colour every value is drawn, evenly") {
  const RandomErasing noise{.p = 1, .scale = {0.3, 0.3}, .ratio = {1, 1}, .value = std::nullopt};
  const Image black{200, 200};
  std::array<int, 16> counts{};
  int total = 0, repeated = 0;
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    Rng a{seed}, b{seed};
    const auto out = noise(black, a);
    b.bernoulli(1);
    const auto box = noise.draw(200, 200, b);
    REQUIRE(box.width * box.height > 11'000);
    for (int y = box.y; y < box.y + box.height; ++y) {
      for (int i = 3 * box.x; i < 3 * (box.x + box.width); ++i, ++total) {
        ++counts[out.row(y)[i] / 16U];
        if (i > 3 * box.x) repeated += out.row(y)[i] == out.row(y)[i - 1] ? 1 : 0;
      }
    }
    CHECK(erase(out, box, {0, 0, 0}) == black);
  }
  double chi_square = 0;
  const double expected = total / 16.0;
  for (const int count : counts) chi_square += (count - expected) * (count - expected) / expected;
  CHECK(chi_square < 50);  // 15 degrees of freedom: exceeded once in 80 000
  CHECK(static_cast<double>(repeated) / total == Approx(1 / 256.0).margin(0.001));
}

TEST_CASE("RandomErasing leaves a picture without room alone, and refuses what cannot work") {
  const RandomErasing transform{.p = 1, .scale = {1, 1}};
  Rng rng{1};
  CHECK(transform(source, rng) == source);
  CHECK(transform.draw(40, 30, rng).width == 0);
  CHECK(RandomErasing{.p = 1}(Image{}, rng).empty());
  CHECK_NOTHROW(RandomErasing{.p = 1}(Image{1, 1}, rng));
  const auto message = [](const auto& part) { return MessageMatches(ContainsSubstring(part)); };
  CHECK_THROWS_MATCHES(ImageTransform{RandomErasing{.p = 1.5}}, InvalidArgument, message("RandomErasing.p is 1.5"));
  CHECK_THROWS_MATCHES((ImageTransform{RandomErasing{.scale = {0.4, 0.2}}}), InvalidArgument, message("{0.4, 0.2}"));
  CHECK_THROWS_MATCHES((ImageTransform{RandomErasing{.ratio = {0, 2}}}), InvalidArgument,
                       message("RandomErasing.ratio"));
}

}  // namespace
}  // namespace sslmeme
