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
#include <cmath>
#include <filesystem>
#include <set>
#include <vector>

namespace sslmeme {
namespace {

using Catch::Approx;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

const Image source = read_image(std::filesystem::path{SSLMEME_TEST_DATA} / "transforms" / "source.png");

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

}  // namespace
}  // namespace sslmeme
