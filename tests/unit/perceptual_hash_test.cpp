// The perceptual hash: what it is, what changes it, and how near pairs are found.
#include <sslmeme/core/error.hpp>
#include <sslmeme/core/random.hpp>
#include <sslmeme/data/image_io.hpp>
#include <sslmeme/data/image_ops.hpp>
#include <sslmeme/data/perceptual_hash.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <filesystem>
#include <utility>
#include <vector>

#include "json_files.hpp"
#include "wave_pictures.hpp"

namespace sslmeme {
namespace {

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

using test::wave_picture;
using Pairs = std::vector<std::pair<std::size_t, std::size_t>>;

Image plain(std::uint8_t grey) {
  Image image{40, 30};
  std::ranges::fill(image.pixels, grey);
  return image;
}

Pairs near_pairs(const std::vector<PictureSignature>& signatures, int distance = near_distance) {
  Pairs pairs;
  CHECK(for_each_near_pair(signatures, distance, [&](std::size_t i, std::size_t j) { pairs.emplace_back(i, j); }));
  std::ranges::sort(pairs);
  return pairs;
}

/// The same by comparing everything with everything.
Pairs all_pairs(const std::vector<PictureSignature>& signatures, int distance = near_distance) {
  Pairs pairs;
  for (std::size_t i = 0; i < signatures.size(); ++i) {
    for (std::size_t j = i + 1; j < signatures.size(); ++j) {
      if (is_near(signatures[i], signatures[j], distance)) pairs.emplace_back(i, j);
    }
  }
  return pairs;
}

TEST_CASE("the hash is that of the definition, bit for bit") {
  const std::filesystem::path folder{SSLMEME_TEST_DATA};
  const auto golden = test::json_of(folder / "inspect/perceptual_hash.json");
  REQUIRE(golden.size() >= 4);
  for (const auto& [name, hash] : golden.items()) {
    INFO(name);
    CHECK(perceptual_hash(read_image(folder / name)) == std::stoull(hash.get<std::string>(), nullptr, 16));
  }
}

TEST_CASE("a picture resized or encoded again stays near, another one is not") {
  const auto [width, height] = GENERATE(std::pair{72, 54}, std::pair{48, 36}, std::pair{144, 108}, std::pair{90, 60});
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const auto picture = wave_picture(seed);
    const auto copy = decode_image(encode_png(resize(picture, width, height)));
    INFO("seed " << seed << ", " << width << " x " << height);
    CHECK(hash_distance(perceptual_hash(picture), perceptual_hash(copy)) <= near_distance);
    CHECK(is_near(signature_of(picture), signature_of(copy)));
    CHECK_FALSE(is_near(signature_of(picture), signature_of(wave_picture(seed + 1))));
    CHECK_FALSE(is_near(signature_of(picture), signature_of(flip_horizontal(picture))));
  }
}

TEST_CASE("plain pictures share a hash, and only equally bright ones are near") {
  CHECK(perceptual_hash(plain(0)) == 0);
  CHECK(perceptual_hash(plain(9)) == perceptual_hash(plain(240)));
  CHECK_FALSE(is_near(signature_of(plain(9)), signature_of(plain(240))));
  CHECK(is_near(signature_of(plain(9)), signature_of(plain(12))));
  CHECK_FALSE(is_near(signature_of(wave_picture(3)), signature_of(adjust_hue(wave_picture(3), 0.4))));
}

TEST_CASE("the index finds what comparing everything finds, each pair once") {
  Rng rng{5};
  std::vector<PictureSignature> signatures;
  for (int family = 0; family < 60; ++family) {
    const auto hash = rng();
    for (int member = 0; member < 8; ++member) {  // 0 to 9 bits away: both sides of the limit
      auto changed = hash;
      for (auto bit = rng.below(10); bit > 0; --bit) changed ^= std::uint64_t{1} << rng.below(64);
      signatures.push_back({.hash = changed});
    }
  }
  signatures[7].colours.fill(200);
  const auto distance = GENERATE(near_distance, 3, 0);
  const auto expected = all_pairs(signatures, distance);
  REQUIRE(expected.size() > 5);
  CHECK(near_pairs(signatures, distance) == expected);
}

TEST_CASE("the worst case for the index, bits spread over all bytes, is found") {
  for (int first = 0; first < 8; ++first) {
    PictureSignature a{.hash = 0x0123456789ABCDEF}, b = a;
    for (int byte = 0; byte < 6; ++byte) b.hash ^= std::uint64_t{1} << (8 * ((first + byte) % 8) + byte);
    CHECK(near_pairs({a, b}) == Pairs{{0, 1}});
  }
}

TEST_CASE("work is bounded, and bad calls are refused") {
  const std::vector<PictureSignature> alike(1000);
  std::size_t found = 0;
  CHECK_FALSE(for_each_near_pair(alike, near_distance, [&](std::size_t, std::size_t) { ++found; }, 100'000));
  CHECK(found == 0);
  CHECK(near_pairs({}).empty());
  CHECK_THROWS_MATCHES(for_each_near_pair(alike, 7, [](std::size_t, std::size_t) {}), InvalidArgument,
                       MessageMatches(ContainsSubstring("distance of 7")));
  CHECK_THROWS_MATCHES(perceptual_hash({}), InvalidArgument, MessageMatches(ContainsSubstring("empty")));
  CHECK_THROWS_AS(signature_of({}), InvalidArgument);
}

}  // namespace
}  // namespace sslmeme
