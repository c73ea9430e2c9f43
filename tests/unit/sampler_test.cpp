// Samplers: how often each sample comes, in which order, and what a loader makes of it.
#include <sslmeme/core/error.hpp>
#include <sslmeme/core/random.hpp>
#include <sslmeme/data/loader.hpp>
#include <sslmeme/data/sampler.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "batches.hpp"
#include "letters.hpp"

namespace sslmeme {
namespace {

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using test::batches_of;
using test::ids_of;
using Positions = std::vector<std::size_t>;

/// One class has every tenth sample; the text of sample i has i mod 40 + 1 letters.
struct Uneven {
  std::size_t samples = 500;
  std::size_t unlabelled = 1 << 30;

  std::size_t size() const { return samples; }
  std::int64_t id(std::size_t i) const { return static_cast<std::int64_t>(i); }
  std::string source(std::size_t i) const { return "img/" + std::to_string(i) + ".png"; }
  std::optional<std::int64_t> label(std::size_t i) const {
    if (i == unlabelled) return {};
    return i % 10 == 0 ? 1 : 0;
  }
  Sample get(std::size_t i) const {
    Sample sample{Image{12, 12}, std::string(i % 40 + 1, 'a'), label(i), id(i)};
    Rng rng{i};
    for (auto& value : sample.picture.pixels) value = static_cast<std::uint8_t>(rng.below(256));
    return sample;
  }
};

std::vector<double> counts_of(const Positions& positions, std::size_t samples) {
  std::vector<double> counts(samples);
  for (const auto position : positions) ++counts.at(position);
  return counts;
}

/// n draws with probability p, within 4 standard deviations.
bool is_plausible(double count, double n, double p) {
  return std::abs(count - n * p) <= 4 * std::sqrt(n * p * (1 - p));
}

bool is_permutation(Positions positions, std::size_t samples) {
  std::ranges::sort(positions);
  return positions == InOrder{}.order({.samples = samples});
}

TEST_CASE("InOrder and Shuffled have every sample once") {
  CHECK(InOrder{}.order({.samples = 4, .epoch = 3}) == Positions{0, 1, 2, 3});
  const auto shuffled = Shuffled{}.order({.samples = 300, .seed = 7, .epoch = 3});
  CHECK(is_permutation(shuffled, 300));
  CHECK(shuffled != Shuffled{}.order({.samples = 300, .seed = 7, .epoch = 4}));
  CHECK(shuffled != Shuffled{}.order({.samples = 300, .seed = 8, .epoch = 3}));
  auto expected = InOrder{}.order({.samples = 300});
  Rng{derive_seed({7, 3})}.shuffle(std::span{expected});  // as ever: runs that go on must find their order again
  CHECK(shuffled == expected);
}

TEST_CASE("Weighted draws in proportion to the weights") {
  const std::vector<double> weights{1, 2, 0, 3, 0.5, 0};
  constexpr double n = 200'000, sum = 6.5;
  const auto counts = counts_of(Weighted{weights, 200'000}.order({.samples = 6, .seed = 1, .epoch = 2}), 6);
  double chi_square = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    INFO(i);
    CHECK(is_plausible(counts[i], n, weights[i] / sum));
    if (weights[i] > 0) chi_square += std::pow(counts[i] - n * weights[i] / sum, 2) / (n * weights[i] / sum);
  }
  CHECK(chi_square < 16.3);  // 3 degrees of freedom: 1 in 1000 above
  CHECK(chi_square > 0.02);  // 1 in 1000 below: too even for draws by chance

  const Weighted same{std::vector<double>(50, 0.25)};
  const auto first = same.order({.samples = 50, .epoch = 0});
  CHECK(first.size() == 50);
  CHECK(first == same.order({.samples = 50, .epoch = 0}));
  CHECK(first != same.order({.samples = 50, .epoch = 1}));
  CHECK_FALSE(is_permutation(first, 50));  // with replacement
}

TEST_CASE("Weighted refuses weights that mean nothing") {
  const auto refuses = [](const std::vector<double>& weights, const char* why) {
    CHECK_THROWS_MATCHES(Weighted{weights}, InvalidArgument, MessageMatches(ContainsSubstring(why)));
  };
  refuses({1, -1}, "sample 1 is -1");
  refuses({std::numeric_limits<double>::quiet_NaN()}, "sample 0 is nan");
  refuses({1, std::numeric_limits<double>::infinity()}, "sample 1 is inf");
  refuses({0, 0}, "sum of 2 weights is 0");
  refuses({}, "sum of 0 weights is 0");
  refuses({1e308, 1e308}, "sum of 2 weights is inf");
}

TEST_CASE("balanced has the classes equally often, and within a class the samples") {
  constexpr std::size_t epochs = 100;
  const auto sampler = balanced(Uneven{});
  std::vector<double> counts(500);
  for (std::size_t epoch = 0; epoch < epochs; ++epoch) {
    const auto order = sampler.order({.samples = 500, .epoch = static_cast<std::int64_t>(epoch)});
    REQUIRE(order.size() == 500);
    for (const auto position : order) ++counts[position];
  }
  constexpr double n = 500 * epochs;
  double rare = 0;
  for (std::size_t i = 0; i < 500; i += 10) rare += counts[i];
  CHECK(is_plausible(rare, n, 0.5));
  for (std::size_t i = 0; i < 500; ++i) {
    INFO(i);
    CHECK(is_plausible(counts[i], n, i % 10 == 0 ? 0.5 / 50 : 0.5 / 450));
  }
  CHECK_THROWS_MATCHES(balanced(Uneven{.unlabelled = 42}), InvalidArgument,
                       MessageMatches(ContainsSubstring("sample 42 (img/42.png) has no label")));
}

/// The share of tokens that only fill up batches of 32, each as long as its longest.
double padding_share(const Positions& order, const std::vector<std::int64_t>& lengths) {
  std::int64_t real = 0, all = 0;
  for (std::size_t first = 0; first < order.size(); first += 32) {
    const auto batch = std::span{order}.subspan(first, std::min<std::size_t>(32, order.size() - first));
    std::int64_t longest = 0;
    for (const auto i : batch) {
      real += lengths[i];
      longest = std::max(longest, lengths[i]);
    }
    all += longest * static_cast<std::int64_t>(batch.size());
  }
  return 1 - static_cast<double>(real) / static_cast<double>(all);
}

/// Captions as memes have them: most are short, few are long.
std::vector<std::int64_t> caption_lengths(std::size_t n) {
  Rng rng{11};
  std::vector<std::int64_t> lengths;
  for (std::size_t i = 0; i < n; ++i)
    lengths.push_back(std::clamp<std::int64_t>(std::llround(14 * std::exp(0.5 * rng.normal())), 3, 77));
  return lengths;
}

TEST_CASE("LengthBuckets have every sample once and a fifth of the padding") {
  constexpr std::size_t n = 4010;  // 125 batches of 32 and 10 samples
  const auto lengths = caption_lengths(n);
  const LengthBuckets buckets{lengths};
  const SamplerEpoch epoch{.samples = n, .batch_size = 32, .seed = 4, .epoch = 1};
  const auto order = buckets.order(epoch);
  CHECK(is_permutation(order, n));
  CHECK(order == buckets.order(epoch));
  const auto before = padding_share(Shuffled{}.order(epoch), lengths), after = padding_share(order, lengths);
  CAPTURE(before, after);
  CHECK(before > 0.4);
  CHECK(after < before / 5);
  const auto narrow = padding_share(LengthBuckets{lengths, 4}.order(epoch), lengths);
  CHECK((narrow > after && narrow < before));

  // The lengths of batches follow no pattern: as many rise to the next as fall.
  int rises = 0;
  for (std::size_t i = 0; i + 64 <= 4000; i += 32) rises += lengths[order[i + 32]] > lengths[order[i]] ? 1 : 0;
  CHECK((rises > 40 && rises < 84));  // of 124

  // The rest is not that of the longest: over epochs it has the mean length.
  double sum = 0, all = 0;
  for (std::int64_t e = 0; e < 200; ++e) {
    const auto other = buckets.order({.samples = n, .batch_size = 32, .seed = 4, .epoch = e});
    for (std::size_t i = n - 10; i < n; ++i) sum += static_cast<double>(lengths[other[i]]) / 2000;
  }
  for (const auto length : lengths) all += static_cast<double>(length) / n;
  CHECK(std::abs(sum - all) < 4 * 8.5 / std::sqrt(2000.0));  // the lengths' deviation is about 8.5

  CHECK(is_permutation(LengthBuckets{lengths}.order({.samples = n, .batch_size = 5000}), n));
  CHECK_THROWS_MATCHES((LengthBuckets{lengths, 0}), InvalidArgument, MessageMatches(ContainsSubstring("window is 0")));
}

TEST_CASE("text_lengths are those of the tokens") {
  const auto lengths = text_lengths(Uneven{.samples = 60}, test::Letters{}, 16);
  REQUIRE(lengths.size() == 60);
  CHECK(lengths[0] == 1);
  CHECK(lengths[14] == 15);
  CHECK(lengths[39] == 16);
  CHECK(lengths[42] == 3);
}

TEST_CASE("a loader's batches follow its sampler, whatever the number of workers and the first batch") {
  const Uneven data{.samples = 100};
  const AnySampler sampler =
      GENERATE_COPY(AnySampler{balanced(data)}, AnySampler{LengthBuckets{caption_lengths(100), 4}},
                    AnySampler{Weighted{std::vector<double>(100, 1), 37}});
  const auto make = [&](int workers) {
    return DataLoader{data,
                      train_views({.size = 8}),
                      {.batch_size = 8, .workers = workers, .seed = 9, .drop_last = false, .sampler = sampler}};
  };
  auto reference = make(0);
  const auto expected = batches_of(reference, 2);
  const auto order = sampler.order({.samples = 100, .batch_size = 8, .seed = 9, .epoch = 2});
  REQUIRE(order.size() == sampler.draws(100));
  CHECK(reference.batches_per_epoch() == static_cast<std::int64_t>((order.size() + 7) / 8));
  CHECK(ids_of(expected) == std::vector<std::int64_t>(order.begin(), order.end()));
  auto loader = make(GENERATE(1, 2, 4));
  test::check_same(batches_of(loader, 2), expected);
  test::check_same(batches_of(loader, 2, 3), {expected.begin() + 3, expected.end()});
}

/// Sample 3 three times, among others.
struct Again {
  static std::vector<std::size_t> order(const SamplerEpoch& /*epoch*/) { return {5, 3, 3, 0, 3}; }
  static std::size_t draws(std::size_t /*samples*/) { return 5; }
};

TEST_CASE("a sample that comes again has other dice, and the first time those it always has") {
  const Uneven data{.samples = 8};
  const auto views = train_views({.size = 8});
  DataLoader plain{data, views, {.batch_size = 8, .workers = 0, .seed = 2, .shuffle = false}};
  DataLoader loader{data, views, {.batch_size = 5, .workers = 2, .seed = 2, .sampler = Again{}}};
  const auto once = batches_of(plain, 6).front().views[0], drawn = batches_of(loader, 6).front().views[0];
  CHECK(torch::equal(drawn[0], once[5]));
  CHECK(torch::equal(drawn[1], once[3]));
  CHECK(torch::equal(drawn[3], once[0]));
  CHECK_FALSE(torch::equal(drawn[2], drawn[1]));
  CHECK_FALSE(torch::equal(drawn[4], drawn[1]));
  CHECK_FALSE(torch::equal(drawn[4], drawn[2]));
}

/// Gives what it is told to, and may not tell how much.
struct Told {
  Positions positions;
  std::vector<std::size_t> order(const SamplerEpoch& /*epoch*/) const { return positions; }
};

TEST_CASE("a sampler that does not fit the dataset is refused") {
  const auto make = [](AnySampler sampler) {
    return DataLoader{
        Uneven{.samples = 8}, train_views({.size = 8}), {.batch_size = 2, .workers = 0, .sampler = std::move(sampler)}};
  };
  CHECK_THROWS_MATCHES(make(Weighted{{1, 2, 3}}), InvalidArgument,
                       MessageMatches(ContainsSubstring("3 weights") && ContainsSubstring("8 samples")));
  CHECK_THROWS_MATCHES(make(LengthBuckets{{1, 2, 3}}), InvalidArgument,
                       MessageMatches(ContainsSubstring("3 lengths") && ContainsSubstring("8 samples")));
  auto beyond = make(Told{{0, 1, 2, 8, 3, 4, 5, 6}});
  CHECK_THROWS_MATCHES(beyond.start_epoch(0), InvalidArgument,
                       MessageMatches(ContainsSubstring("position 8") && ContainsSubstring("8 samples")));
  auto few = make(Told{{0, 1}});
  CHECK_THROWS_MATCHES(few.start_epoch(0), InvalidArgument,
                       MessageMatches(ContainsSubstring("2 positions") && ContainsSubstring("draws(8) are 8")));
  CHECK_THROWS_MATCHES(make(Weighted{std::vector<double>(8, 1), 1}), InvalidArgument,
                       MessageMatches(ContainsSubstring("the sampler draws 1")));
}

}  // namespace
}  // namespace sslmeme
