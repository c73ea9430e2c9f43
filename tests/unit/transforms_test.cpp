// Transforms against Pillow and torchvision (scripts/golden/transforms.py), and the laws of the random ones.
#include <sslmeme/core/error.hpp>
#include <sslmeme/data/image_io.hpp>
#include <sslmeme/data/transforms.hpp>

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <string>

#include "close_to.hpp"

namespace sslmeme {
namespace {

using Catch::Approx;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

Image golden(const std::string& name) {
  return read_image(std::filesystem::path{SSLMEME_TEST_DATA} / "transforms" / (name + ".png"));
}

const Image source = golden("source");

int difference(const Image& actual, const std::string& name) {
  const auto expected = golden(name);
  REQUIRE(actual.width == expected.width);
  REQUIRE(actual.height == expected.height);
  int largest = 0;
  for (std::size_t i = 0; i < actual.pixels.size(); ++i) {
    largest = std::max(largest, std::abs(actual.pixels[i] - expected.pixels[i]));
  }
  return largest;
}

/// How often in `n` draws the transform changed the source.
double share_changed(const ImageTransform& transform, int n) {
  Rng rng{5};
  int changed = 0;
  for (int i = 0; i < n; ++i) changed += transform(source, rng) != source ? 1 : 0;
  return static_cast<double>(changed) / n;
}

TEST_CASE("resizing and cropping equal Pillow") {
  Rng rng{0};
  CHECK(difference(resize(source, 20, 13), "resize_bilinear_down") == 0);
  CHECK(difference(resize(source, 100, 90), "resize_bilinear_up") == 0);
  CHECK(difference(resize(source, 20, 13, Interpolation::bicubic), "resize_bicubic_down") == 0);
  CHECK(difference(resize(source, 100, 90, Interpolation::bicubic), "resize_bicubic_up") == 0);
  CHECK(difference(resize(source, 33, 70, Interpolation::nearest), "resize_nearest") == 0);
  CHECK(difference(resized_crop(source, {5, 7, 40, 30}, 24, 24, Interpolation::bicubic), "resized_crop_bicubic") == 0);
  CHECK(difference(Resize{.size = 32}(source, rng), "resize_shorter_edge") == 0);
  CHECK(difference(CenterCrop{.size = 32}(source, rng), "center_crop") == 0);
  CHECK(difference(CenterCrop{.size = 56}(source, rng), "center_crop_padded") == 0);
  CHECK(resize(source, source.width, source.height) == source);
  CHECK(resized_crop(source, {3, 4, 20, 10}, 20, 30).height == 30);  // one axis only
}

TEST_CASE("colours equal Pillow") {
  CHECK(difference(adjust_brightness(source, 0.6), "brightness_down") == 0);
  CHECK(difference(adjust_brightness(source, 1.7), "brightness_up") == 0);
  CHECK(difference(adjust_contrast(source, 0.5), "contrast_down") == 0);
  CHECK(difference(adjust_contrast(source, 1.6), "contrast_up") == 0);
  CHECK(difference(adjust_saturation(source, 0.3), "saturation_down") == 0);
  CHECK(difference(adjust_saturation(source, 1.8), "saturation_up") == 0);
  CHECK(difference(adjust_hue(source, 0.2), "hue_forwards") == 0);
  CHECK(difference(adjust_hue(source, -0.35), "hue_backwards") == 0);
  CHECK(difference(grayscale(source), "grayscale") == 0);
  CHECK(difference(solarize(source, 100), "solarize") == 0);
}

TEST_CASE("geometry equals torchvision on Pillow pictures") {
  const std::array<Point, 4> from{Point{0, 0}, Point{60, 0}, Point{60, 46}, Point{0, 46}};
  const std::array<Point, 4> to{Point{5, 3}, Point{55, 1}, Point{58, 40}, Point{2, 44}};
  CHECK(difference(perspective(source, from, to), "perspective_bilinear") <= 1);
  CHECK(difference(perspective(source, from, to, Interpolation::nearest), "perspective_nearest") == 0);
  CHECK(difference(affine(source, {.degrees = 10, .shift = {3, -2}, .scale = 1.1}), "affine_nearest") == 0);
  CHECK(difference(affine(source, {.degrees = -25, .shift = {-4, 6}, .scale = 0.8}, Interpolation::bilinear),
                   "affine_bilinear") <= 1);
  CHECK(difference(gaussian_blur(source, 7, 1.3), "blur") <= 1);
  CHECK_THROWS_AS(perspective(source, from, to, Interpolation::bicubic), InvalidArgument);
  CHECK_THROWS_AS(affine(source, {.scale = 0}), InvalidArgument);
}

TEST_CASE("flips move every pixel") {
  const auto across = flip_horizontal(source), down = flip_vertical(source);
  for (int y = 0; y < source.height; ++y) {
    for (int x = 0; x < source.width; ++x) {
      const auto* pixel = source.row(y) + 3 * x;
      REQUIRE(std::equal(pixel, pixel + 3, across.row(y) + 3 * (source.width - 1 - x)));
      REQUIRE(std::equal(pixel, pixel + 3, down.row(source.height - 1 - y) + 3 * x));
    }
  }
}

TEST_CASE("probabilities are kept") {
  constexpr int n = 2000;
  const double tolerance = 4 * std::sqrt(0.25 / n);  // four standard deviations
  CHECK(share_changed(RandomHorizontalFlip{.p = 0.3}, n) == Approx(0.3).margin(tolerance));
  CHECK(share_changed(RandomVerticalFlip{.p = 0.5}, n) == Approx(0.5).margin(tolerance));
  CHECK(share_changed(RandomGrayscale{.p = 0.2}, n) == Approx(0.2).margin(tolerance));
  CHECK(share_changed(RandomSolarize{.p = 0.4}, n) == Approx(0.4).margin(tolerance));
  CHECK(share_changed(RandomApply{.p = 0.7, .transform = RandomHorizontalFlip{.p = 1}}, n) ==
        Approx(0.7).margin(tolerance));
  CHECK(share_changed(RandomPerspective{.p = 0.25}, n / 4) == Approx(0.25).margin(2 * tolerance));
  CHECK(share_changed(RandomHorizontalFlip{.p = 0}, n) == 0);
  CHECK(share_changed(RandomHorizontalFlip{.p = 1}, n) == 1);
}

TEST_CASE("RandomResizedCrop draws areas and aspects within its ranges, and all of them") {
  const RandomResizedCrop transform{.size = 16, .scale = {0.2, 0.8}, .ratio = {0.5, 2.0}};
  Rng rng{3};
  double least_area = 1, most_area = 0, sum = 0, least_aspect = 10, most_aspect = 0;
  constexpr int n = 4000, edge = 400;
  for (int i = 0; i < n; ++i) {
    const auto box = transform.draw(edge, edge, rng);
    REQUIRE((box.x >= 0 && box.y >= 0 && box.x + box.width <= edge && box.y + box.height <= edge));
    const double area = static_cast<double>(box.width) * box.height / (edge * edge);
    const double aspect = static_cast<double>(box.width) / box.height;
    least_area = std::min(least_area, area);
    most_area = std::max(most_area, area);
    least_aspect = std::min(least_aspect, aspect);
    most_aspect = std::max(most_aspect, aspect);
    sum += std::log(aspect);
  }
  CHECK(least_area == Approx(0.2).margin(0.01));
  CHECK(most_area == Approx(0.8).margin(0.02));
  CHECK(least_aspect == Approx(0.5).margin(0.03));
  CHECK(most_aspect == Approx(2.0).margin(0.06));
  CHECK(sum / n == Approx(0).margin(0.03));  // wide and tall parts alike
  const auto view = transform(source, rng);
  CHECK((view.width == 16 && view.height == 16));
}

TEST_CASE("RandomResizedCrop falls back to the middle of a picture that is too long") {
  Rng rng{3};
  const auto box = RandomResizedCrop{.size = 8, .scale = {1, 1}}.draw(300, 30, rng);
  CHECK(box.width == 40);
  CHECK(box.height == 30);
  CHECK(box.x == 130);
}

TEST_CASE("ColorJitter draws its factors within the range, in every order") {
  Image grey{1, 1};
  std::ranges::fill(grey.pixels, std::uint8_t{100});
  Rng rng{1};
  int least = 255, most = 0;
  for (int i = 0; i < 1000; ++i) {
    const int value = ColorJitter{.brightness = 0.4}(grey, rng).pixels[0];
    least = std::min(least, value);
    most = std::max(most, value);
  }
  CHECK((least >= 59 && least <= 62));
  CHECK((most >= 138 && most <= 140));

  // Brightness and contrast do not commute: with both factors all but fixed, two results alternate.
  Image two{2, 1};
  two.pixels = {10, 10, 10, 250, 250, 250};
  std::set<int> brightness_first;
  for (int i = 0; i < 200; ++i) {
    const auto out = ColorJitter{.brightness = 1, .contrast = 1}(two, rng);
    brightness_first.insert(out.pixels[0]);
  }
  CHECK(brightness_first.size() > 20);
  CHECK(ColorJitter{}(source, rng) == source);
}

TEST_CASE("RandomAffine without a range changes nothing; with one it turns both ways") {
  Rng rng{9};
  CHECK(RandomAffine{}(source, rng) == source);
  const RandomAffine turn{.degrees = 10};
  std::set<std::vector<std::uint8_t>> seen;
  for (int i = 0; i < 20; ++i) seen.insert(turn(source, rng).pixels);
  CHECK(seen.size() > 15);  // small turns may coincide
  const auto shifted = RandomAffine{.translate = {0.5, 0}}(source, rng);
  CHECK(shifted != source);
}

TEST_CASE("RandomPerspective keeps the picture inside its frame") {
  Image white{64, 48};
  std::ranges::fill(white.pixels, std::uint8_t{255});
  Rng rng{2};
  double covered = 0;
  for (int i = 0; i < 50; ++i) {
    const auto view = RandomPerspective{.distortion_scale = 0.5, .p = 1}(white, rng);
    covered += static_cast<double>(std::ranges::count(view.pixels, std::uint8_t{255})) /
               static_cast<double>(view.pixels.size());
    REQUIRE(view.row(24)[3 * 32] == 255);  // corners never pass the middle
  }
  CHECK(covered / 50 > 0.4);
  CHECK(covered / 50 < 0.9);
  CHECK_NOTHROW(RandomPerspective{.distortion_scale = 1, .p = 1}(Image{2, 2}, rng));
}

TEST_CASE("the same dice give the same picture, others another") {
  const ImageTransform augment = RandomResizedCrop{.size = 24} |
                                 ColorJitter{.brightness = 0.4, .contrast = 0.4, .saturation = 0.4, .hue = 0.1} |
                                 RandomHorizontalFlip{} | GaussianBlur{.kernel_size = 5};
  Rng a{4}, b{4}, c{5};
  const auto first = augment(source, a);
  CHECK(first == augment(source, b));
  CHECK(first != augment(source, c));
}

TEST_CASE("transforms run from left to right, and a default one changes nothing") {
  Rng rng{0};
  const auto out =
      (Resize{.width = 30, .height = 20} | CenterCrop{.size = 8} | RandomHorizontalFlip{.p = 1})(source, rng);
  CHECK(out == flip_horizontal(crop(resize(source, 30, 20), {11, 6, 8, 8})));
  CHECK(ImageTransform{}(source, rng) == source);
}

TEST_CASE("Normalize gives (pixel / 255 − mean) / std, channel by channel") {
  const auto tensor = imagenet_mean_std(source);
  REQUIRE(shape_string(tensor) == "(3, 47, 61)");
  const auto mean = torch::tensor({0.485, 0.456, 0.406}).view({3, 1, 1}),
             std = torch::tensor({0.229, 0.224, 0.225}).view({3, 1, 1});
  const auto expected = (source.to_tensor().to(torch::kDouble) / 255 - mean) / std;
  CHECK_THAT(tensor, test::AllCloseTo(expected, test::fp32_rounding));
}

TEST_CASE("options that cannot work are refused when a transform is composed") {
  const auto message = [](const auto& part) { return MessageMatches(ContainsSubstring(part)); };
  CHECK_THROWS_MATCHES(ImageTransform{Resize{}}, InvalidArgument, message("give .size, or .width and .height"));
  CHECK_THROWS_MATCHES((ImageTransform{Resize{.size = 3, .width = 4}}), InvalidArgument, message(".width 4"));
  CHECK_THROWS_MATCHES(ImageTransform{CenterCrop{.size = -1}}, InvalidArgument, message("CenterCrop.size is -1"));
  CHECK_THROWS_MATCHES((ImageTransform{RandomResizedCrop{.size = 8, .scale = {0.5, 0.2}}}), InvalidArgument,
                       message("{0.5, 0.2}"));
  CHECK_THROWS_MATCHES(ImageTransform{RandomHorizontalFlip{.p = 1.5}}, InvalidArgument,
                       message("RandomHorizontalFlip.p is 1.5"));
  CHECK_THROWS_MATCHES(ImageTransform{ColorJitter{.hue = 0.7}}, InvalidArgument, message("ColorJitter.hue"));
  CHECK_THROWS_MATCHES(ImageTransform{GaussianBlur{.kernel_size = 4}}, InvalidArgument, message("kernel_size is 4"));
  CHECK_THROWS_MATCHES(CenterCrop{.size = 4} | RandomApply{.p = NAN}, InvalidArgument, message("RandomApply.p"));
  CHECK_THROWS_MATCHES(gaussian_blur(Image{3, 3}, 9, 1), InvalidArgument, message("3 × 3"));
  CHECK_THROWS_MATCHES(crop(source, {50, 0, 12, 5}), InvalidArgument, message("61 × 47"));
  CHECK_THROWS_MATCHES(resize(Image{}, 4, 4), InvalidArgument, message("empty"));
}

}  // namespace
}  // namespace sslmeme
