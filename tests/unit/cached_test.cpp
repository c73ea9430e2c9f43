// CachedDataset: what is decoded once and what again, the cap, the same batches, several threads.
#include <sslmeme/core/error.hpp>
#include <sslmeme/data/cached.hpp>
#include <sslmeme/data/loader.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "batches.hpp"

namespace sslmeme {
namespace {

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using test::batches_of;

constexpr std::size_t count = 40;
constexpr std::int64_t bytes_of_one = sizeof(Sample) + 20 * 10 * 3 + 7;

/// Counts how often it decodes, with `id` as well, which it has not otherwise.
struct Counted {
  std::shared_ptr<std::atomic<int>> gets = std::make_shared<std::atomic<int>>(0);
  std::shared_ptr<std::atomic<bool>> fails = std::make_shared<std::atomic<bool>>(false);

  static std::size_t size() { return count; }
  Sample get(std::size_t i) const {
    ++*gets;
    if (*fails) throw DataError("damaged");
    Sample sample{Image{20, 10}, "meme " + std::to_string(10 + i), static_cast<std::int64_t>(i % 2),
                  static_cast<std::int64_t>(100 + i)};
    for (std::size_t k = 0; k < sample.picture.pixels.size(); ++k)
      sample.picture.pixels[k] = static_cast<std::uint8_t>(k * 7 + i * 31);
    return sample;
  }
};

DataLoader loader_of(const AnyDataset& data, int workers) {
  return {data, train_views({.size = 8}), {.batch_size = 8, .workers = workers, .seed = 1}};
}

TEST_CASE("samples are decoded once, and give the same batches") {
  const int workers = GENERATE(0, 1, 4);
  const Counted counted;
  const CachedDataset cached{counted};
  auto plain = loader_of(Counted{}, 0), loader = loader_of(cached, workers);
  for (std::int64_t epoch = 0; epoch < 3; ++epoch) {
    test::check_same(batches_of(loader, epoch), batches_of(plain, epoch));
    CHECK(*counted.gets == count);
  }
  CHECK(cached.kept() == count);
  CHECK(cached.kept_bytes() == count * bytes_of_one);

  const CachedDataset copy = cached;
  copy.get(0);
  CHECK(copy.id(5) == 105);
  CHECK(copy.label(5) == 1);
  CHECK(copy.text(5) == "meme 15");
  CHECK(*counted.gets == count);
}

TEST_CASE("what does not fit is decoded again; what was kept stays") {
  const Counted counted;
  const CachedDataset cached{counted, {.max_bytes = 10 * bytes_of_one + bytes_of_one / 2}};
  for (std::size_t i = 0; i < count; ++i) CHECK(cached.get(i).id == static_cast<std::int64_t>(100 + i));
  CHECK(cached.kept() == 10);
  CHECK(cached.kept_bytes() == 10 * bytes_of_one);
  for (std::size_t i = 0; i < count; ++i) CHECK(cached.get(i).picture == counted.get(i).picture);
  CHECK(*counted.gets == count + (count - 10) + count);  // the last by the comparison
  CHECK(cached.kept() == 10);

  const CachedDataset none{counted, {.max_bytes = 0}};
  none.get(0);
  CHECK(none.kept() == 0);
  CHECK_THROWS_MATCHES((CachedDataset{counted, {.max_bytes = -1}}), InvalidArgument,
                       MessageMatches(ContainsSubstring(".max_bytes is -1")));
}

TEST_CASE("threads that ask for the same samples at once stay within the cap") {
  const Counted counted;
  const CachedDataset cached{counted, {.max_bytes = 15 * bytes_of_one}};
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (std::size_t k = 0; k < 10 * count; ++k) {
        const auto i = (k * (t + 1)) % count;
        if (cached.get(i).id != static_cast<std::int64_t>(100 + i)) ++wrong;
        if (cached.kept_bytes() > 15 * bytes_of_one) ++wrong;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(wrong == 0);
  CHECK(cached.kept() == 15);
  CHECK(cached.kept_bytes() == 15 * bytes_of_one);
}

TEST_CASE("errors are not kept, and positions outside are refused") {
  const Counted counted;
  const CachedDataset cached{counted};
  *counted.fails = true;
  CHECK_THROWS_AS(cached.get(3), DataError);
  *counted.fails = false;
  CHECK(cached.get(3).id == 103);
  CHECK_THROWS_AS(cached.get(count), InvalidArgument);
  CHECK_THROWS_AS(cached.id(count), InvalidArgument);
}

}  // namespace
}  // namespace sslmeme
