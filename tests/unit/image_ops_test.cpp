// What pictures go through, where it is done in place, in part or in fixed point: against the plain way of doing it.
#include <sslmeme/core/error.hpp>
#include <sslmeme/data/transforms.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <utility>

#include "instruction_sets.hpp"

namespace sslmeme {
namespace {

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

Image random_picture(int width, int height, Rng& rng) {
  Image image{width, height};
  for (auto& value : image.pixels) value = static_cast<std::uint8_t>(rng.below(256));
  return image;
}

/// The pixel at (x, y) of the picture blurred in doubles, with no weight left out.
std::array<double, 3> exactly_blurred(const Image& image, int x, int y, int radius, double sigma) {
  const auto reflected = [](int at, int size) { return at < 0 ? -at : at < size ? at : 2 * (size - 1) - at; };
  std::array<double, 3> sums{};
  double total = 0;
  for (int i = -radius; i <= radius; ++i) {
    for (int k = -radius; k <= radius; ++k) {
      const double weight = std::exp(-0.5 * (i * i + k * k) / (sigma * sigma));
      const auto* pixel = image.row(reflected(y + i, image.height)) + 3 * reflected(x + k, image.width);
      for (std::size_t c = 0; c < 3; ++c) sums[c] += weight * pixel[c];
      total += weight;
    }
  }
  for (auto& sum : sums) sum /= total;
  return sums;
}

TEST_CASE("a blurred picture is within two thirds of a step of the exact one") {
  Rng rng{3};
  for (int i = 0; i < 12; ++i) {
    const int radius = 1 + static_cast<int>(rng.below(11));
    const double sigma = i == 0 ? 0.1 : rng.uniform(0.1, 4.0);
    const auto image =
        random_picture(radius + 1 + static_cast<int>(rng.below(30)), radius + 1 + static_cast<int>(rng.below(30)), rng);
    test::on_every_instruction_set([&] {
      const auto blurred = gaussian_blur(image, 2 * radius + 1, sigma);
      double largest = 0;
      for (int y = 0; y < image.height; ++y) {
        for (int x = 0; x < image.width; ++x) {
          const auto exact = exactly_blurred(image, x, y, radius, sigma);
          for (std::size_t c = 0; c < 3; ++c)
            largest = std::max(largest, std::abs(exact[c] - blurred.row(y)[3 * x + static_cast<int>(c)]));
        }
      }
      CHECK(largest < 0.67);  // rounding alone may give a half
    });
  }
}

TEST_CASE("blur leaves one colour as it is, at both ends of the range, and a picture that is too sharp for it") {
  Rng rng{4};
  for (const int value : {0, 1, 127, 128, 254, 255}) {
    Image flat{31, 29};
    std::ranges::fill(flat.pixels, static_cast<std::uint8_t>(value));
    for (const double sigma : {0.3, 1.0, 2.0, 50.0}) CHECK(gaussian_blur(flat, 23, sigma) == flat);
  }
  const auto image = random_picture(20, 20, rng);
  CHECK(gaussian_blur(image, 23, 0.1) == image);
  CHECK(gaussian_blur(image, 1, 3.0) == image);
}

TEST_CASE("Resize, then CenterCrop: the same pixels in one step as in two") {
  Rng rng{5};
  for (int i = 0; i < 60; ++i) {
    const auto image = random_picture(1 + static_cast<int>(rng.below(70)), 1 + static_cast<int>(rng.below(70)), rng);
    const auto interpolation = static_cast<Interpolation>(rng.below(3));
    const int size = 1 + static_cast<int>(rng.below(40));
    Resize resize{.size = size, .interpolation = interpolation};
    if (rng.bernoulli(0.5)) {  // one edge may stay as it is
      resize = {.width = rng.bernoulli(0.5) ? image.width : 1 + static_cast<int>(rng.below(60)),
                .height = rng.bernoulli(0.5) ? image.height : 1 + static_cast<int>(rng.below(60)),
                .interpolation = interpolation};
    }
    const CenterCrop crop{.size = rng.bernoulli(0.5) ? size : 1 + static_cast<int>(rng.below(50))};
    INFO(image.width << " × " << image.height << " to .size " << resize.size << ", " << resize.width << " × "
                     << resize.height << ", cut to " << crop.size);
    CHECK((resize | crop)(image, rng) == crop(resize(image, rng), rng));
    CHECK((resize | crop | RandomVerticalFlip{.p = 1})(image, rng) == flip_vertical(crop(resize(image, rng), rng)));
  }
}

TEST_CASE("a part is resized as its crop is, also where the picture is so tall that it goes strip by strip") {
  Rng rng{6};
  for (const auto interpolation : {Interpolation::nearest, Interpolation::bilinear, Interpolation::bicubic}) {
    const auto image = random_picture(40, 50, rng);
    const Box box{3, 5, 31, 37};
    CHECK(resized_crop(image, box, 12, 60, interpolation) == resize(crop(image, box), 12, 60, interpolation));
  }
  const auto tall = random_picture(2, 60000, rng);
  const auto wide = resize(tall, 300, 60000);  // one axis after the other
  CHECK(resize(tall, 300, 1) == resize(wide, 300, 1));
  CHECK(resize(tall, 300, 7, Interpolation::bicubic) ==
        resize(resize(tall, 300, 60000, Interpolation::bicubic), 300, 7, Interpolation::bicubic));
}

TEST_CASE("pictures of a shape that cannot be resized within reason are refused") {
  Rng rng{7};
  const auto message = [](const auto& part) { return MessageMatches(ContainsSubstring(part)); };
  const Image line{1, 50000};
  CHECK_THROWS_MATCHES(Resize{.size = 224}(line, rng), DataError,
                       message("1 × 50000 pixels would get an edge of 11200000, over 32768"));
  CHECK_THROWS_AS((Resize{.size = 224} | CenterCrop{.size = 224})(line, rng), DataError);
  CHECK_THROWS_MATCHES((Resize{.width = 8, .height = 8}(Image{1, 70000}, rng)), DataError,
                       message("1 × 70000 pixels has an edge over 65536"));
  CHECK_THROWS_AS(resize(Image{70000, 1}, 8, 8), DataError);
  CHECK(Resize{.width = 8, .height = 8}(line, rng) == Image{8, 8});
}

TEST_CASE("a picture that is moved in is not copied") {
  Rng rng{8};
  const auto source = random_picture(40, 30, rng);
  const auto stays = [&](const ImageTransform& transform) {
    auto image = source;
    const auto* pixels = image.pixels.data();
    Rng dice{1};
    const auto out = transform(std::move(image), dice);
    return out.pixels.data() == pixels;
  };
  for (const double p : {0.0, 1.0}) {
    CHECK(stays(RandomHorizontalFlip{.p = p}));
    CHECK(stays(RandomVerticalFlip{.p = p}));
    CHECK(stays(RandomGrayscale{.p = p}));
    CHECK(stays(RandomSolarize{.p = p}));
    CHECK(stays(RandomApply{.p = p, .transform = RandomHorizontalFlip{} | RandomSolarize{}}));
  }
  CHECK(stays(RandomPerspective{.p = 0}));
  CHECK(stays(GaussianBlur{.kernel_size = 5}));
  CHECK(stays(ColorJitter{.brightness = 0.4, .contrast = 0.4, .saturation = 0.4, .hue = 0.1} | RandomGrayscale{}));
  // Whoever takes a const Image& is as welcome, and what is not moved in stays.
  const auto inverted = [](const Image& image, Rng&) { return solarize(image, 0); };
  const ImageTransform twice = RandomHorizontalFlip{.p = 1} | ImageTransform{inverted} | RandomHorizontalFlip{.p = 1};
  const auto before = source;
  CHECK(twice(source, rng) == solarize(source, 0));
  CHECK(source == before);
}

TEST_CASE("draw() takes the dice that the transform takes") {
  Rng pictures{9};
  const auto source = random_picture(40, 30, pictures);
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    Rng a{seed}, b{seed};
    const GaussianBlur blur{.kernel_size = 5};
    CHECK(gaussian_blur(source, 5, blur.draw(a)) == blur(source, b));
    const ColorJitter jitter{.brightness = 0.4, .contrast = 0.4, .saturation = 0.2, .hue = 0.1};
    const auto factors = jitter.draw(a);
    auto expected = source;
    for (const int step : factors.order) {
      if (step == 0) expected = adjust_brightness(std::move(expected), factors.brightness);
      if (step == 1) expected = adjust_contrast(std::move(expected), factors.contrast);
      if (step == 2) expected = adjust_saturation(std::move(expected), factors.saturation);
      if (step == 3) expected = adjust_hue(std::move(expected), factors.hue);
    }
    CHECK(expected == jitter(source, b));
    const RandomAffine turn{.degrees = 20, .translate = {0.1, 0.2}, .scale = {0.8, 1.2}};
    CHECK(affine(source, turn.draw(40, 30, a)) == turn(source, b));
    const RandomPerspective tilt{.p = 1};
    a.bernoulli(1);
    const std::array<Point, 4> from{Point{0, 0}, Point{39, 0}, Point{39, 29}, Point{0, 29}};
    CHECK(perspective(source, from, tilt.draw(40, 30, a)) == tilt(source, b));
  }
}

}  // namespace
}  // namespace sslmeme
