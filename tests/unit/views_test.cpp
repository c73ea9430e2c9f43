// The recipes of views.
#include <sslmeme/core/error.hpp>
#include <sslmeme/data/image_io.hpp>
#include <sslmeme/data/views.hpp>

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <set>
#include <vector>

namespace sslmeme {
namespace {

using Catch::Approx;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

const Image source = read_image(std::filesystem::path{SSLMEME_TEST_DATA} / "transforms" / "source.png");

/// That the view is what `expected` makes of a picture under the same dice.
void check_same(const View& view, const ImageTransform& expected) {
  for (std::uint64_t seed = 0; seed < 400; ++seed) {  // so many that each probability shows
    CAPTURE(seed);
    Rng a{derive_seed({3, seed})}, b{derive_seed({3, seed})};
    REQUIRE(view.transform(source, a) == expected(source, b));
  }
  CHECK(view.normalize.mean == imagenet_mean_std.mean);
  CHECK(view.normalize.std == imagenet_mean_std.std);
}

TEST_CASE("every recipe makes one view of its size") {
  const auto recipe = GENERATE(cass_views, clip_train, clip_eval, eval_views);
  const auto views = recipe({.size = 40});
  REQUIRE(views.size() == 1);
  CHECK(views[0].size == 40);
  Rng rng{1};
  for (int i = 0; i < 20; ++i) {
    const auto image = views[0].transform(source, rng);
    REQUIRE((image.width == 40 && image.height == 40));
  }
  CHECK_THROWS_MATCHES(recipe({.size = 7}), InvalidArgument,
                       MessageMatches(ContainsSubstring(".size 7") && ContainsSubstring("8 and 2048")));
  CHECK_THROWS_AS(recipe({.size = 4096}), InvalidArgument);
}

TEST_CASE("evaluation views have no dice: the whole picture, or CLIP's middle") {
  Rng a{1}, b{2};
  const auto plain = eval_views({.size = 32}), clip = clip_eval({.size = 32});
  CHECK(plain[0].transform(source, a) == resize(source, 32, 32));
  const auto shorter = resize(source, 41, 32, Interpolation::bicubic);  // 61 × 47 with the shorter edge at 32
  CHECK(clip[0].transform(source, b) == crop(shorter, {4, 0, 32, 32}));
  CHECK(plain[0].normalize.mean == imagenet_mean_std.mean);
  CHECK(clip[0].normalize.std == clip_mean_std.std);
}

TEST_CASE("CASS leaves a view alone as often as its probabilities say") {
  const auto views = cass_views({.size = 32});
  const auto plain = resize(source, 32, 32);
  Rng rng{3};
  constexpr int n = 2000;
  int alone = 0, flipped = 0;
  for (int i = 0; i < n; ++i) {
    const auto image = views[0].transform(source, rng);
    alone += image == plain ? 1 : 0;
    flipped += image == flip_horizontal(plain) ? 1 : 0;
  }
  const double p = 0.7 * 0.7 * 0.7 * 0.7, q = 0.7 * 0.7 * 0.7 * 0.3;
  CHECK(static_cast<double>(alone) / n == Approx(p).margin(4 * std::sqrt(p * (1 - p) / n)));
  CHECK(static_cast<double>(flipped) / n == Approx(q).margin(4 * std::sqrt(q * (1 - q) / n)));
  CHECK(views[0].normalize.mean == imagenet_mean_std.mean);
}

TEST_CASE("CASS's view is its published chain") {
  const auto perspective = ColorJitter{.brightness = 0.2, .contrast = 0.2, .saturation = 0.2, .hue = 0} |
                           RandomPerspective{.distortion_scale = 0.2, .p = 0.5};
  const auto turn =
      ColorJitter{.brightness = 0.2, .contrast = 0.2, .saturation = 0.2, .hue = 0} |
      RandomAffine{.degrees = {-10, 10}, .translate = {0, 0}, .scale = {1, 1}, .interpolation = Interpolation::nearest};
  check_same(cass_views({.size = 32})[0], Resize{.width = 32, .height = 32} |
                                              RandomApply{.p = 0.3, .transform = perspective} |
                                              RandomApply{.p = 0.3, .transform = turn} | RandomVerticalFlip{.p = 0.3} |
                                              RandomHorizontalFlip{.p = 0.3});
  CHECK(cass_views()[0].size == 224);
}

TEST_CASE("one view may be repeated, several must fit") {
  const auto one = cass_views({.size = 16});
  CHECK(one.repeated(1).size() == 1);
  CHECK(one.repeated(3).size() == 3);
  const Views two{one[0], eval_views({.size = 24})[0]};
  CHECK(two.repeated(2)[1].size == 24);
  CHECK_THROWS_MATCHES(two.repeated(3), InvalidArgument,
                       MessageMatches(ContainsSubstring("3 views are wanted") && ContainsSubstring("makes 2")));
  CHECK_THROWS_AS(one.repeated(0), InvalidArgument);
  CHECK_THROWS_AS(Views(std::vector<View>{}), InvalidArgument);
  CHECK_THROWS_MATCHES((Views{View{.size = 16, .normalize = {.std = {1, 0, 1}}}}), InvalidArgument,
                       MessageMatches(ContainsSubstring("Normalize.std")));
}

TEST_CASE("DINO's views: two large parts of the picture, then small ones, no two alike") {
  const auto views = dino_views({.global_size = 32, .local_size = 16, .locals = 3});
  REQUIRE(views.size() == 5);
  std::set<std::vector<std::uint8_t>> seen;
  for (std::size_t i = 0; i < views.size(); ++i) {
    CHECK(views[i].size == (i < 2 ? 32 : 16));
    Rng rng{derive_seed({7, i})};
    const auto image = views[i].transform(source, rng);
    CHECK(image.width == views[i].size);
    CHECK(image.height == views[i].size);
    seen.insert({image.pixels.begin(), image.pixels.end()});
  }
  CHECK(seen.size() == 5);
  CHECK(dino_views().size() == 10);
  CHECK(dino_views({.locals = 0}).size() == 2);
  CHECK_THROWS_MATCHES(dino_views({.locals = -1}), InvalidArgument, MessageMatches(ContainsSubstring("locals is -1")));
  CHECK_THROWS_AS(dino_views({.local_size = 4}), InvalidArgument);
}

TEST_CASE("DINO's views are its published chains") {
  const auto chain_of = [](int size, const std::array<double, 2>& area, double blurred, int taps = 23) {
    return RandomResizedCrop{
               .size = size, .scale = area, .ratio = {3.0 / 4, 4.0 / 3}, .interpolation = Interpolation::bicubic} |
           RandomHorizontalFlip{.p = 0.5} |
           RandomApply{.p = 0.8,
                       .transform = ColorJitter{.brightness = 0.4, .contrast = 0.4, .saturation = 0.2, .hue = 0.1}} |
           RandomGrayscale{.p = 0.2} |
           RandomApply{.p = blurred, .transform = GaussianBlur{.kernel_size = taps, .sigma = {0.1, 2.0}}};
  };
  const auto views = dino_views({.global_size = 32, .local_size = 16, .locals = 2});
  check_same(views[0], chain_of(32, {0.4, 1.0}, 1.0));
  check_same(views[1], chain_of(32, {0.4, 1.0}, 0.1) | RandomSolarize{.threshold = 128, .p = 0.2});
  check_same(views[2], chain_of(16, {0.05, 0.4}, 0.5));
  check_same(views[3], chain_of(16, {0.05, 0.4}, 0.5));
  const auto other = dino_views(
      {.global_size = 32, .local_size = 8, .locals = 1, .global_scale = {0.14, 1.0}, .local_scale = {0.05, 0.14}});
  check_same(other[0], chain_of(32, {0.14, 1.0}, 1.0));
  check_same(other[2], chain_of(8, {0.05, 0.14}, 0.5, 15));  // a kernel that its 8 pixels have room for
  CHECK(dino_views()[0].size == 224);
  CHECK(dino_views()[1].size == 224);
  CHECK(dino_views()[9].size == 96);
}

TEST_CASE("DINO's second large view alone is solarized, about one in five") {
  const auto views = dino_views({.global_size = 16, .locals = 1, .global_scale = {1, 1}});
  Image white{16, 16};
  std::fill(white.pixels.begin(), white.pixels.end(), std::uint8_t{255});
  const auto dark = [&](std::size_t view) {
    int count = 0;
    for (std::uint64_t i = 0; i < 1000; ++i) {
      Rng rng{derive_seed({view, i})};
      const auto image = views[view].transform(white, rng);
      count += image.pixels[0] < 64 ? 1 : 0;
    }
    return count;
  };
  CHECK(dark(0) == 0);
  CHECK(dark(2) == 0);
  CHECK(std::abs(dark(1) - 200) < 80);  // 6 deviations; brightness below one half keeps some from being inverted
}

/// Red and green tell where a pixel was, so that a view tells which part of the picture it shows.
const Image map = [] {
  Image image{240, 180};
  for (int y = 0; y < image.height; ++y) {
    for (int x = 0; x < image.width; ++x) {
      auto* pixel = image.row(y) + 3 * x;
      pixel[0] = static_cast<std::uint8_t>(x);
      pixel[1] = static_cast<std::uint8_t>(y);
    }
  }
  return image;
}();

struct Seen {
  double width, height;  ///< in pixels of the map, within about 2; the width is negative if mirrored
  double area() const { return std::abs(width) * height / (map.width * map.height); }
};

/// The part of the map that a square view shows.
Seen seen_by(const Image& view) {
  // Not at the border, where filters lack neighbours.
  const int first = view.width / 6, last = view.width - 1 - first;
  const double share = static_cast<double>(view.width) / (last - first);
  const auto *left = view.row(last) + 3 * first, *right = view.row(last) + 3 * last, *top = view.row(first) + 3 * last;
  return {(right[0] - left[0]) * share, (right[1] - top[1]) * share};
}

TEST_CASE("CLIP trains on nearly the whole picture") {
  const auto views = clip_train({.size = 60});
  const RandomResizedCrop part{.size = 60, .scale = {0.9, 1.0}, .interpolation = Interpolation::bicubic};
  Rng a{5}, b{5};
  double least = 2, most = 0;
  for (int i = 0; i < 500; ++i) {
    const auto view = views[0].transform(map, a);
    REQUIRE(view == part(map, b));  // whose law transform_laws_test holds against torchvision
    const auto seen = seen_by(view);
    REQUIRE(seen.width > 0);  // never mirrored: it could hold words
    least = std::min(least, seen.area());
    most = std::max(most, seen.area());
  }
  CHECK(least == Approx(0.9).margin(0.02));
  CHECK(most == Approx(1.0).margin(0.02));
  CHECK(views[0].normalize.mean == clip_mean_std.mean);
}

TEST_CASE("SimCLR shows parts of 8 % to 100 % of the picture, every other one mirrored") {
  const auto views = simclr_views({.size = 60, .strength = 0, .blur = 0});
  REQUIRE(views.size() == 1);
  Rng rng{6};
  constexpr int n = 2000;
  int mirrored = 0, small = 0, grey = 0;
  double least = 2, most = 0;
  for (int i = 0; i < n; ++i) {
    const auto view = views[0].transform(map, rng);
    const auto* middle = view.row(30) + 3 * 30;
    if (middle[0] == middle[2]) {
      ++grey;
      continue;
    }
    const auto seen = seen_by(view);
    mirrored += seen.width < 0 ? 1 : 0;
    small += seen.area() < 0.54 ? 1 : 0;
    least = std::min(least, seen.area());
    most = std::max(most, seen.area());
  }
  const double shown = n - grey;
  CHECK(static_cast<double>(grey) / n == Approx(0.2).margin(4 * std::sqrt(0.2 * 0.8 / n)));
  CHECK(mirrored / shown == Approx(0.5).margin(4 * std::sqrt(0.25 / shown)));
  CHECK(small / shown > 0.5);  // large parts fit less often
  CHECK(least == Approx(0.08).margin(0.02));
  CHECK(most > 0.9);
  CHECK(views[0].normalize.mean == imagenet_mean_std.mean);
}

TEST_CASE("SimCLR jitters with 0.8, as strongly as it is told, and blurs with 0.5 by a tenth of the size") {
  Image plain{40, 40};
  for (std::size_t i = 0; i < plain.pixels.size(); ++i) plain.pixels[i] = static_cast<std::uint8_t>(40 + 60 * (i % 3));
  constexpr int n = 2000;
  const auto unchanged = [&](double strength) {
    const auto views = simclr_views({.size = 16, .strength = strength});
    Rng rng{7};
    int count = 0;
    for (int i = 0; i < n; ++i) {
      const auto view = views[0].transform(plain, rng);
      count += std::equal(view.pixels.begin(), view.pixels.begin() + 3, plain.pixels.begin()) ? 1 : 0;
    }
    return static_cast<double>(count) / n;
  };
  CHECK(unchanged(1) == Approx(0.2 * 0.8).margin(4 * std::sqrt(0.16 * 0.84 / n)));
  CHECK(unchanged(0) == Approx(0.8).margin(4 * std::sqrt(0.16 / n)));

  for (const int size : {224, 96, 32, 16}) {
    const int taps = size == 224 ? 23 : size == 96 ? 9 : size == 32 ? 3 : 1;
    const auto sharp = simclr_views({.size = size, .blur = 0}), blurred = simclr_views({.size = size, .blur = 1});
    Rng a{8}, b{8};
    const auto view = sharp[0].transform(source, a);
    CHECK(blurred[0].transform(source, b) == GaussianBlur{.kernel_size = taps}(view, a));
  }
  const auto sharp = simclr_views({.size = 48, .blur = 0}), usual = simclr_views({.size = 48});
  int changed = 0;
  for (std::uint64_t seed = 0; seed < n / 4; ++seed) {
    Rng a{seed}, b{seed};
    changed += sharp[0].transform(source, a) != usual[0].transform(source, b) ? 1 : 0;
  }
  CHECK(changed / (n / 4.0) == Approx(0.5).margin(0.13));  // the least deviations change nothing

  const auto message = [](const auto& part) { return MessageMatches(ContainsSubstring(part)); };
  CHECK_THROWS_MATCHES(simclr_views({.strength = 3}), InvalidArgument, message("strength is 3"));
  CHECK_THROWS_MATCHES(simclr_views({.size = 4}), InvalidArgument, message(".size 4"));
  CHECK_THROWS_MATCHES(simclr_views({.blur = 1.1}), InvalidArgument, message("RandomApply.p is 1.1"));
  CHECK(simclr_views().repeated(2).size() == 2);
}

}  // namespace
}  // namespace sslmeme
