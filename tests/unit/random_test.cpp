#include <sslmeme/core/random.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>

#include <array>
#include <map>
#include <set>

namespace sm = sslmeme;
using Catch::Matchers::WithinAbs;

TEST_CASE("Numbers are the same on every platform") {
  // SplitMix64's first output from 0 is published; the others come from an independent implementation in Python.
  static_assert(sm::mix64(0) == 0xE220A8397B1DCDAFULL);
  static_assert(sm::derive_seed({1, 2, 3}) == 0xE234B8E7662009C0ULL);
  sm::Rng rng{42};
  CHECK(rng() == 0x5C8961E1F2055D33ULL);
  CHECK(rng() == 0xE182E8E848466886ULL);
  CHECK(rng() == 0x9F7313650E290A18ULL);
  CHECK(rng() == 0xE6C0F551804EF0BBULL);
}

TEST_CASE("Seeds of neighbouring epochs, samples and views do not collide") {
  std::set<std::uint64_t> seeds;
  for (std::uint64_t epoch = 0; epoch < 20; ++epoch) {
    for (std::uint64_t id = 0; id < 50; ++id) {
      for (std::uint64_t view = 0; view < 4; ++view) seeds.insert(sm::derive_seed({7, epoch, id, view}));
    }
  }
  CHECK(seeds.size() == 20 * 50 * 4);
  CHECK(sm::derive_seed({1, 2}) != sm::derive_seed({2, 1}));
  CHECK(sm::derive_seed({1}) != sm::derive_seed({1, 0}));
}

TEST_CASE("Draws have the moments of their distributions") {
  sm::Rng rng{1};
  constexpr int n = 200'000;
  double sum = 0, squares = 0, normal_sum = 0, normal_squares = 0;
  int heads = 0;
  for (int i = 0; i < n; ++i) {
    const auto u = rng.uniform(2, 4);
    REQUIRE((u >= 2 && u < 4));
    sum += u;
    squares += u * u;
    const auto z = rng.normal();
    normal_sum += z;
    normal_squares += z * z;
    heads += rng.bernoulli(0.3) ? 1 : 0;
  }
  // Five standard errors.
  CHECK_THAT(sum / n, WithinAbs(3, 5 * 0.577 / 447));
  CHECK_THAT(squares / n - 9, WithinAbs(1.0 / 3, 0.02));
  CHECK_THAT(normal_sum / n, WithinAbs(0, 5.0 / 447));
  CHECK_THAT(normal_squares / n, WithinAbs(1, 5 * 1.42 / 447));
  CHECK_THAT(static_cast<double>(heads) / n, WithinAbs(0.3, 5 * 0.46 / 447));
  CHECK_FALSE(rng.bernoulli(0));
  CHECK(rng.bernoulli(1));
}

TEST_CASE("below() is uniform over its range") {
  sm::Rng rng{3};
  std::array<int, 6> counts{};
  constexpr int n = 60'000;
  for (int i = 0; i < n; ++i) ++counts.at(rng.below(6));
  for (const auto count : counts) CHECK_THAT(count, WithinAbs(n / 6, 5 * 92));
  CHECK(rng.below(1) == 0);
  // Without rejection, numbers below 2^63 would be twice as likely as those above: a third instead of a half.
  constexpr std::uint64_t large = 3ULL << 62U;
  int low = 0;
  for (int i = 0; i < n; ++i) low += rng.below(large) < large / 2 ? 1 : 0;
  CHECK_THAT(low, WithinAbs(n / 2, 5 * 123));
}

TEST_CASE("shuffle() gives every order equally often") {
  sm::Rng rng{4};
  std::map<std::array<int, 3>, int> counts;
  for (int i = 0; i < 6000; ++i) {
    std::array<int, 3> items{0, 1, 2};
    rng.shuffle(std::span<int>{items});
    ++counts[items];
  }
  CHECK(counts.size() == 6);
  for (const auto& [order, count] : counts) CHECK_THAT(count, WithinAbs(1000, 5 * 29));
}

TEST_CASE("TorchSeedScope seeds LibTorch and leaves no trace") {
  torch::Tensor first, second, other;
  {
    const sm::TorchSeedScope scope{9};
    first = torch::rand({3});
    {
      const sm::TorchSeedScope inner{10};
      other = torch::rand({3});
    }
  }
  {
    const sm::TorchSeedScope scope{9};
    second = torch::rand({3});
  }
  torch::manual_seed(5);
  (void)torch::randn({1});  // normals come in pairs: the second of a pair must survive too
  const auto undisturbed = torch::randn({4});
  torch::manual_seed(5);
  (void)torch::randn({1});
  {
    const sm::TorchSeedScope scope{9};
    (void)torch::randn({5});
  }
  CHECK(torch::equal(torch::randn({4}), undisturbed));
  CHECK(torch::equal(first, second));
  CHECK_FALSE(torch::equal(first, other));
}
