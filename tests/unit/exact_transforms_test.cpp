// Pictures of every shape against Pillow and torchvision, to the last bit (scripts/golden/transforms.py, exact.json).
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
#include <limits>
#include <string>

#include "json_files.hpp"
#include "patterns.hpp"

namespace sslmeme {
namespace {

using Catch::Approx;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using nlohmann::json;

const std::filesystem::path folder = std::filesystem::path{SSLMEME_TEST_DATA} / "transforms";
const json exact = test::json_of(folder / "exact.json");

Image source_of(const json& item) {
  return test::pattern(item[0].get<std::string>(), item[1].get<int>(), item[2].get<int>());
}

Point point_of(const json& item) {
  return {item[0].get<double>(), item[1].get<double>()};
}

int difference(const Image& actual, const std::string& name) {
  const auto expected = read_image(folder / (name + ".png"));
  REQUIRE((actual.width == expected.width && actual.height == expected.height));
  int largest = 0;
  for (std::size_t i = 0; i < actual.pixels.size(); ++i) {
    largest = std::max(largest, std::abs(actual.pixels[i] - expected.pixels[i]));
  }
  return largest;
}

TEST_CASE("pictures of every shape are resized and cropped as Pillow does it") {
  REQUIRE(exact["resized_crop"].size() == 39);
  for (const auto& item : exact["resized_crop"]) {
    INFO(item);
    const auto& box = item[3];
    const auto mode = item[5] == "nearest"    ? Interpolation::nearest
                      : item[5] == "bilinear" ? Interpolation::bilinear
                                              : Interpolation::bicubic;
    const auto out =
        resized_crop(source_of(item), {box[0].get<int>(), box[1].get<int>(), box[2].get<int>(), box[3].get<int>()},
                     item[4][0].get<int>(), item[4][1].get<int>(), mode);
    CHECK(test::fingerprint(out) == item[6].get<std::string>());
  }
}

TEST_CASE("affine shears and turns about any centre as torchvision does") {
  REQUIRE(exact["affine"].size() == 13);
  for (const auto& item : exact["affine"]) {
    INFO(item);
    AffineMotion motion{.degrees = item[3].get<double>(),
                        .shift = point_of(item[4]),
                        .scale = item[5].get<double>(),
                        .shear = point_of(item[6])};
    if (!item[7].is_null()) motion.center = point_of(item[7]);
    CHECK(test::fingerprint(affine(source_of(item), motion)) == item[8].get<std::string>());
  }
  const auto source = read_image(folder / "source.png");
  CHECK(difference(
            affine(source, {.degrees = 12, .shift = {2, -3}, .scale = 0.9, .shear = {15, -8}}, Interpolation::bilinear),
            "affine_sheared") <= 1);
  CHECK(difference(affine(source, {.degrees = 20, .scale = 1.2, .shear = {-10, 0}, .center = Point{0, 46}},
                          Interpolation::bilinear),
                   "affine_about_corner") <= 1);
}

TEST_CASE("affine refuses what it cannot do, and bears the extremes") {
  const auto source = test::pattern("waves", 12, 9);
  const auto message = [](const auto& part) { return MessageMatches(ContainsSubstring(part)); };
  CHECK_THROWS_MATCHES(affine(source, {.shear = {90, 0}}), InvalidArgument, message(".shear is (90, 0)"));
  CHECK_THROWS_MATCHES(affine(source, {.shear = {0, NAN}}), InvalidArgument, message(".shear is (0, nan)"));
  CHECK_THROWS_MATCHES(affine(source, {.scale = NAN}), InvalidArgument, message(".scale is nan"));
  constexpr double huge = std::numeric_limits<double>::max();
  for (const auto mode : {Interpolation::nearest, Interpolation::bilinear}) {
    const Image black{12, 9};
    CHECK(affine(source, {.shift = {huge, -huge}}, mode) == black);
    CHECK(affine(source, {.degrees = INFINITY}, mode) == black);
    CHECK(affine(source, {.scale = 1e-300, .center = Point{-50, -50}}, mode) == black);
    CHECK(affine(source, {.shear = {89.9999999, 1}, .center = Point{huge, 1}}, mode) == black);
    CHECK(affine(Image{}, {.degrees = 3}, mode).empty());
  }
}

TEST_CASE("RandomAffine takes its angles as one number or as a range, and shear along x alone or both") {
  const auto source = test::pattern("waves", 40, 30);
  Rng rng{3};
  const auto drawn = [&](const RandomAffine& transform) { return transform.draw(40, 30, rng); };
  CHECK(drawn({.degrees = {7, 7}}).degrees == 7);
  CHECK(drawn({.shear = {AngleRange{5, 5}, {-3, -3}}}).shear.x == 5);
  CHECK(drawn({.shear = {AngleRange{5, 5}, {-3, -3}}}).shear.y == -3);
  bool left = false, right = false;
  for (int i = 0; i < 50; ++i) {
    const auto motion = drawn({.degrees = 4, .shear = {10}});
    REQUIRE((std::abs(motion.degrees) <= 4 && std::abs(motion.shear.x) <= 10 && motion.shear.y == 0));
    left = left || motion.shear.x < -1;
    right = right || motion.shear.x > 1;
  }
  CHECK((left && right));
  const RandomAffine fixed{.degrees = {7, 7}, .shear = {AngleRange{5, 5}}};
  CHECK(fixed(source, rng) == affine(source, {.degrees = 7, .shear = {5, 0}}));
  const auto message = [](const auto& part) { return MessageMatches(ContainsSubstring(part)); };
  CHECK_THROWS_MATCHES((ImageTransform{RandomAffine{.degrees = {20, 10}}}), InvalidArgument,
                       message("RandomAffine.degrees is {20, 10}"));
  CHECK_THROWS_MATCHES((ImageTransform{RandomAffine{.degrees = 361}}), InvalidArgument,
                       message("RandomAffine.degrees is {-361, 361}"));
  CHECK_THROWS_MATCHES((ImageTransform{RandomAffine{.shear = {0, 90}}}), InvalidArgument,
                       message("RandomAffine.shear[1] is {-90, 90}"));
}

TEST_CASE("histograms, bits and sharpness are changed as Pillow does it") {
  const auto check = [](const char* operation, const auto& run) {
    REQUIRE(exact[operation].size() >= 17);
    for (const auto& item : exact[operation]) {
      INFO(operation << ' ' << item);
      CHECK(test::fingerprint(run(source_of(item), item[3])) == item[4].get<std::string>());
    }
  };
  check("posterize", [](const Image& image, const json& bits) { return posterize(image, bits.get<int>()); });
  check("equalize", [](const Image& image, const json&) { return equalize(image); });
  check("autocontrast", [](const Image& image, const json&) { return autocontrast(image); });
  check("adjust_sharpness",
        [](const Image& image, const json& factor) { return adjust_sharpness(image, factor.get<double>()); });
  CHECK(equalize(Image{}).empty());
  CHECK(autocontrast(Image{}).empty());
  CHECK(adjust_sharpness(Image{}, 2).empty());
  CHECK_THROWS_MATCHES(posterize(Image{2, 2}, 9), InvalidArgument, MessageMatches(ContainsSubstring("bits is 9")));
  CHECK_THROWS_AS(posterize(Image{2, 2}, 0), InvalidArgument);
}

TEST_CASE("posterize, equalize and autocontrast come with their probability") {
  const auto source = test::pattern("gentle", 61, 47);
  const auto share = [&](const ImageTransform& transform, const Image& changed) {
    constexpr int n = 1000;
    Rng rng{8};
    int count = 0;
    for (int i = 0; i < n; ++i) {
      const auto out = transform(source, rng);
      REQUIRE((out == source || out == changed));
      count += out == changed ? 1 : 0;
    }
    return static_cast<double>(count) / n;
  };
  const double margin = 4 * std::sqrt(0.25 / 1000);
  CHECK(share(RandomPosterize{.bits = 3, .p = 0.3}, posterize(source, 3)) == Approx(0.3).margin(margin));
  CHECK(share(RandomEqualize{.p = 0.6}, equalize(source)) == Approx(0.6).margin(margin));
  CHECK(share(RandomAutocontrast{.p = 0.2}, autocontrast(source)) == Approx(0.2).margin(margin));
  const auto message = [](const auto& part) { return MessageMatches(ContainsSubstring(part)); };
  CHECK_THROWS_MATCHES(ImageTransform{RandomPosterize{.bits = 0}}, InvalidArgument, message("RandomPosterize.bits"));
  CHECK_THROWS_MATCHES(ImageTransform{RandomEqualize{.p = 2}}, InvalidArgument, message("RandomEqualize.p is 2"));
  CHECK_THROWS_MATCHES(ImageTransform{RandomAutocontrast{.p = -1}}, InvalidArgument, message("RandomAutocontrast.p"));
}

}  // namespace
}  // namespace sslmeme
