// The kernel of perspective and affine maps against the formula that defines it, on every instruction set of this
// machine.
#include "data/warp_kernels.hpp"

#include <sslmeme/core/random.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "instruction_sets.hpp"

namespace sm = sslmeme;

namespace {

sm::Image random_picture(int width, int height, sm::Rng& rng) {
  sm::Image image{width, height};
  for (auto& value : image.pixels) value = static_cast<std::uint8_t>(rng.below(256));
  return image;
}

sm::Image by_definition(const sm::Image& image, const std::array<double, 8>& m) {
  sm::Image out{image.width, image.height};
  for (int y = 0; y < out.height; ++y) {
    for (int x = 0; x < out.width; ++x) {
      // Each product, sum and quotient rounded.
      const auto line = [&](int k, double end) {
        volatile double a = m[static_cast<std::size_t>(k)] * (x + 0.5);
        volatile double b = m[static_cast<std::size_t>(k + 1)] * (y + 0.5);
        volatile double sum = a + b;
        return sum + end;
      };
      const double depth = line(6, 1), from_x = line(0, m[2]) / depth, from_y = line(3, m[5]) / depth;
      if (!(from_x >= 0 && from_x < image.width && from_y >= 0 && from_y < image.height)) continue;
      const int left = static_cast<int>(std::floor(from_x - 0.5)), top = static_cast<int>(std::floor(from_y - 0.5));
      const double dx = from_x - 0.5 - left, dy = from_y - 0.5 - top;
      const auto between = [](double a, double b, double share) {
        volatile double way = (b - a) * share;
        return a + way;
      };
      for (int c = 0; c < 3; ++c) {
        const auto at = [&](int px, int py) {
          const int column = std::clamp(px, 0, image.width - 1), row = std::clamp(py, 0, image.height - 1);
          return static_cast<double>(image.row(row)[3 * column + c]);
        };
        const double above = between(at(left, top), at(left + 1, top), dx);
        const double below = between(at(left, top + 1), at(left + 1, top + 1), dx);
        out.row(y)[3 * x + c] = static_cast<std::uint8_t>(between(above, below, dy));
      }
    }
  }
  return out;
}

void check(const sm::Image& image, const std::array<double, 8>& m) {
  const auto expected = by_definition(image, m);
  sm::test::on_every_instruction_set([&] {
    sm::Image out{image.width, image.height};
    for (int y = 0; y < out.height; ++y) sm::detail::bilinear_row(image, m, y, out.row(y));
    CHECK(out == expected);
  });
}

}  // namespace

TEST_CASE("Rows of maps are those of the formula, of pictures of any size") {
  sm::Rng rng{3};
  for (const int width : {1, 2, 3, 7, 127, 128, 129, 300}) {
    for (const int height : {1, 2, 9}) {
      INFO(width << " × " << height);
      const auto image = random_picture(width, height, rng);
      check(image, {1, 0, 0, 0, 1, 0, 0, 0});
      check(image, {1, 0, 0.25, 0, 1, -0.75, 0, 0});
      check(image, {-1, 0, static_cast<double>(width), 0, -1, static_cast<double>(height), 0, 0});
      for (int i = 0; i < 20; ++i) {
        std::array<double, 8> m{1, 0, 0, 0, 1, 0, 0, 0};
        for (std::size_t k = 0; k < 6; ++k) m[k] += rng.uniform(-0.3, 0.3) * (k % 3 == 2 ? 10 : 1);
        for (std::size_t k = 6; k < 8; ++k) m[k] = rng.uniform(-0.02, 0.02);  // with poles inside the picture
        check(image, m);
      }
    }
  }
}

TEST_CASE("Rows of maps from nowhere stay as they are") {
  sm::Rng rng{4};
  const auto image = random_picture(40, 3, rng);
  constexpr double infinite = std::numeric_limits<double>::infinity(), huge = 1e300;
  for (const double value : {infinite, -infinite, std::nan(""), huge, -huge}) {
    check(image, {1, 0, value, 0, 1, 0, 0, 0});
    check(image, {1, 0, 0, 0, 1, value, 0, 0});
    check(image, {1, 0, 0, 0, 1, 0, value, 0});
    check(image, {value, 0, 0, 0, 1, 0, value, value});
  }
}
