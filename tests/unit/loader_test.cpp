// The loader: the same batches whatever the number of workers, errors that name the sample, clean ends.
#include <sslmeme/core/error.hpp>
#include <sslmeme/data/image_io.hpp>
#include <sslmeme/data/loader.hpp>
#include <sslmeme/data/meme_jsonl.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "batches.hpp"
#include "files.hpp"
#include "letters.hpp"

namespace sslmeme {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using test::batches_of;
using test::check_same;
using test::ids_of;

constexpr int count = 22;
constexpr std::int64_t batch_size = 4;

/// Pictures made on the spot; sample `broken` throws, each takes `delay`.
struct Synthetic {
  std::size_t samples = count;
  std::int64_t broken = -1;
  std::chrono::milliseconds delay{0};
  std::atomic<int>* gets = nullptr;

  std::size_t size() const { return samples; }
  std::int64_t id(std::size_t i) const { return static_cast<std::int64_t>(100 + i); }
  std::string source(std::size_t i) const { return "picture " + std::to_string(i); }
  Sample get(std::size_t i) const {
    if (gets != nullptr) ++*gets;
    if (id(i) == broken) throw std::runtime_error("the disk is on fire");
    std::this_thread::sleep_for(delay);
    Sample sample{Image{20, 17}, "meme " + std::to_string(i), {}, id(i)};
    if (i % 3 != 0) sample.label = static_cast<std::int64_t>(i % 2);
    for (std::size_t k = 0; k < sample.picture.pixels.size(); ++k) {
      sample.picture.pixels[k] = static_cast<std::uint8_t>(k * 7 + i * 31);
    }
    return sample;
  }
};

LoaderOptions with_workers(int workers) {
  return {.batch_size = batch_size,
          .workers = workers,
          .seed = 7,
          .tokenizer = std::make_shared<test::Letters>(),
          .max_tokens = 6};
}

TEST_CASE("batches are the same for any number of workers and any first batch") {
  DataLoader reference{Synthetic{}, cass_views({.size = 16}), with_workers(0)};
  const auto expected = batches_of(reference, 3);
  REQUIRE(expected.size() == 5);
  DataLoader loader{Synthetic{}, cass_views({.size = 16}), with_workers(GENERATE(0, 1, 2, 4))};
  const std::int64_t first = GENERATE(0, 3, 5);
  const auto batches = batches_of(loader, 3, first);
  REQUIRE(batches.size() == 5 - static_cast<std::size_t>(first));
  for (std::size_t i = 0; i < batches.size(); ++i)
    check_same(batches[i], expected[i + static_cast<std::size_t>(first)]);
}

TEST_CASE("a batch holds what the header says") {
  DataLoader loader{Synthetic{}, eval_views({.size = 16}), with_workers(2)};
  const auto batch = batches_of(loader, 0).front();
  REQUIRE(batch.views.size() == 1);
  CHECK(shape_string(batch.views[0]) == "(4, 3, 16, 16)");
  CHECK(batch.views[0].scalar_type() == torch::kFloat);
  CHECK(shape_string(batch.tokens) == "(4, 6)");
  CHECK(batch.mask.scalar_type() == torch::kBool);
  for (std::int64_t row = 0; row < batch_size; ++row) {
    const auto i = static_cast<std::size_t>(batch.ids[row].item<std::int64_t>() - 100);
    const auto sample = Synthetic{}.get(i);
    CHECK(batch.labels[row].item<std::int64_t>() == sample.label.value_or(-1));
    CHECK(torch::equal(batch.views[0][row], imagenet_mean_std(resize(sample.picture, 16, 16))));
    CHECK(batch.tokens[row][5].item<std::int64_t>() == sample.text[5]);
  }
  DataLoader wordless{Synthetic{}, eval_views({.size = 16}), {.batch_size = 4, .workers = 0}};
  CHECK_FALSE(batches_of(wordless, 0).front().tokens.defined());
}

TEST_CASE("an epoch has every sample once, in an order of its own") {
  DataLoader loader{Synthetic{}, eval_views({.size = 8}), {.batch_size = 4, .workers = 2, .drop_last = false}};
  CHECK(loader.batches_per_epoch() == 6);
  const auto first = batches_of(loader, 0);
  CHECK(first.back().size() == 2);
  const auto a = ids_of(first), b = ids_of(batches_of(loader, 1)), again = ids_of(batches_of(loader, 0));
  CHECK(std::set(a.begin(), a.end()).size() == count);
  CHECK(std::set(b.begin(), b.end()).size() == count);
  CHECK(a != b);
  CHECK(a == again);
  DataLoader other{
      Synthetic{}, eval_views({.size = 8}), {.batch_size = 4, .workers = 0, .seed = 1, .drop_last = false}};
  CHECK(ids_of(batches_of(other, 0)) != a);
  DataLoader straight{
      Synthetic{}, eval_views({.size = 8}), {.batch_size = 4, .workers = 2, .shuffle = false, .drop_last = false}};
  auto sorted = a;
  std::ranges::sort(sorted);
  CHECK(ids_of(batches_of(straight, 5)) == sorted);
}

TEST_CASE("augmentation changes with the epoch and the view") {
  const Views random{{.size = 16, .transform = RandomResizedCrop{.size = 16}}};
  DataLoader loader{Synthetic{}, random, {.batch_size = 22, .workers = 1, .shuffle = false}};
  const auto first = batches_of(loader, 0, 0, 2).front(), second = batches_of(loader, 1, 0, 2).front();
  REQUIRE(first.views.size() == 2);
  CHECK_FALSE(torch::equal(first.views[0], first.views[1]));
  CHECK_FALSE(torch::equal(first.views[0], second.views[0]));
}

TEST_CASE("a sample that a dataset has twice has other dice the second time") {
  const Views random{{.size = 16, .transform = RandomResizedCrop{.size = 16}}};
  const auto batch_of = [&](std::vector<std::size_t> indices) {
    const auto rows = static_cast<std::int64_t>(indices.size());
    DataLoader loader{Subset{Synthetic{}, std::move(indices)}, random, {.batch_size = rows, .shuffle = false}};
    return batches_of(loader, 0).front();
  };
  const auto once = batch_of({3, 5}), twice = batch_of({3, 5, 3, 3});
  const auto &pixels = twice.views[0], &expected = once.views[0];
  CHECK(torch::equal(pixels[0], expected[0]));
  CHECK(torch::equal(pixels[1], expected[1]));
  CHECK_FALSE(torch::equal(pixels[2], pixels[0]));
  CHECK_FALSE(torch::equal(pixels[3], pixels[0]));
  CHECK_FALSE(torch::equal(pixels[3], pixels[2]));
}

TEST_CASE("to make a loader reads no picture") {
  struct Bare {  // whose ids come with the pictures
    std::atomic<int>* gets;
    std::size_t size() const { return 8; }
    Sample get(std::size_t i) const {
      ++*gets;
      return {Image{20, 17}, "", {}, static_cast<std::int64_t>(i)};
    }
  };
  std::atomic<int> gets = 0;
  CHECK_FALSE(AnyDataset{Bare{&gets}}.knows_ids());
  CHECK(AnyDataset{Synthetic{}}.knows_ids());
  DataLoader loader{Subset{Bare{&gets}, {0, 1, 1}}, eval_views({.size = 8}), {.batch_size = 3, .workers = 0}};
  loader.start_epoch(0);
  CHECK(gets.load() == 0);
}

TEST_CASE("a sample's error names it, keeps its class, and the loader goes on with the next epoch") {
  const int workers = GENERATE(0, 1, 2, 4);
  const test::TemporaryFolder root;
  fs::create_directory(root / "img");
  std::ofstream lines{root / "train.jsonl"};
  for (int i = 0; i < 8; ++i) {
    write_png(root / "img" / (std::to_string(i) + ".png"), Image{9, 9});
    lines << R"({"id": )" << 40 + i << R"(, "img": "img/)" << i << R"(.png", "text": ""})" << '\n';
  }
  lines.close();
  DataLoader loader{
      MemeJsonl{root.path, "train"}, eval_views({.size = 8}), {.batch_size = 2, .workers = workers, .shuffle = false}};
  const auto picture = root / "img" / "5.png";
  fs::resize_file(picture, 50);

  for (int round = 0; round < 2; ++round) {
    loader.start_epoch(0);
    CHECK(loader.next()->ids[0].item<std::int64_t>() == 40);
    CHECK(loader.next()->ids[0].item<std::int64_t>() == 42);
    CHECK_THROWS_MATCHES(loader.next(), DataError,
                         MessageMatches(ContainsSubstring("sample 45") && ContainsSubstring(picture.string())));
    CHECK_THROWS_MATCHES(loader.next(), InvalidArgument, MessageMatches(ContainsSubstring("start_epoch")));
  }
  write_png(picture, Image{9, 9});
  CHECK(batches_of(loader, 1).size() == 4);
}

TEST_CASE("errors of other kinds are named too") {
  DataLoader loader{Synthetic{.broken = 103}, eval_views({.size = 8}), {.batch_size = 22, .workers = 1}};
  loader.start_epoch(0);
  CHECK_THROWS_MATCHES(loader.next(), Error,
                       MessageMatches(ContainsSubstring("sample 103 (picture 3): the disk is on fire")));

  const Views wrong{{.size = 16, .transform = Resize{.size = 16}}};  // keeps the aspect: not square
  DataLoader misfit{Synthetic{}, wrong, {.batch_size = 4, .workers = 1, .shuffle = false}};
  misfit.start_epoch(0);
  CHECK_THROWS_MATCHES(
      misfit.next(), InvalidArgument,
      MessageMatches(ContainsSubstring("sample 100") && ContainsSubstring("18 × 16") && ContainsSubstring(".size 16")));
}

TEST_CASE("a picture's error keeps its fault") {
  struct Damaged : Synthetic {
    Sample get(std::size_t i) const {
      if (i == 3) throw PictureError(PictureFault::truncated, "it ends after 50 bytes");
      return Synthetic::get(i);
    }
  };
  DataLoader loader{Damaged{}, eval_views({.size = 8}), {.batch_size = 22, .workers = GENERATE(0, 2)}};
  loader.start_epoch(0);
  try {
    loader.next();
    FAIL("a picture is damaged");
  } catch (const PictureError& error) {
    CHECK(error.fault() == PictureFault::truncated);
    CHECK(std::string{error.what()} == "sample 103 (picture 3): it ends after 50 bytes");
  }
}

TEST_CASE("an epoch may be left early: by destruction, by another epoch, by a move") {
  const int workers = GENERATE(1, 4);
  const Synthetic slow{.samples = 400, .delay = std::chrono::milliseconds{20}};
  const auto start = std::chrono::steady_clock::now();
  {
    DataLoader loader{slow, eval_views({.size = 8}), {.batch_size = 100, .workers = workers}};
    loader.start_epoch(0);
  }
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds{1});  // not the 2 s of a whole batch

  DataLoader loader{Synthetic{}, eval_views({.size = 8}), {.batch_size = 4, .workers = workers}};
  const auto expected = ids_of(batches_of(loader, 2));
  loader.start_epoch(1);
  loader.next();
  CHECK(ids_of(batches_of(loader, 2)) == expected);
  loader.start_epoch(2);
  DataLoader moved = std::move(loader);
  CHECK(moved.next()->ids[0].item<std::int64_t>() == expected[0]);
}

TEST_CASE("workers stay within the queue's bound") {
  std::atomic<int> gets = 0;
  const auto settles_at = [&](int expected) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds{20};
    while (gets < expected && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
    std::this_thread::sleep_for(std::chrono::milliseconds{50});  // time to go too far
    return gets == expected;
  };
  DataLoader loader{Synthetic{.samples = 400, .gets = &gets},
                    eval_views({.size = 8}),
                    {.batch_size = 4, .workers = 2, .prefetch = 3}};
  loader.start_epoch(0);
  CHECK(settles_at(4 * 2 * 3));
  loader.next();
  CHECK(settles_at(4 * (2 * 3 + 1)));
}

TEST_CASE("workers leave the number of LibTorch's threads alone, here and in threads to come") {
  const int before = at::get_num_threads();
  at::set_num_threads(3);
  DataLoader loader{Synthetic{}, eval_views({.size = 8}), {.batch_size = 4, .workers = 2}};
  CHECK(batches_of(loader, 0).size() == 5);
  CHECK(at::get_num_threads() == 3);
  int fresh = 0;
  std::thread{[&] { fresh = at::get_num_threads(); }}.join();
  CHECK(fresh == 3);
  at::set_num_threads(before);
}

TEST_CASE("wait_seconds counts the time spent waiting for data") {
  DataLoader loader{Synthetic{.samples = 8, .delay = std::chrono::milliseconds{10}},
                    eval_views({.size = 8}),
                    {.batch_size = 4, .workers = GENERATE(0, 1)}};
  CHECK(loader.wait_seconds() == 0);
  batches_of(loader, 0);
  CHECK(loader.wait_seconds() > 0.02);  // of 0.08 s that the samples take
  CHECK(loader.wait_seconds() < 20);
}

/// The rows of all, in order.
Batch joined(const std::vector<Batch>& parts) {
  Batch whole;
  for (std::size_t v = 0; v < parts.front().views.size(); ++v) {
    std::vector<Tensor> views;
    for (const auto& part : parts) views.push_back(part.views[v]);
    whole.views.push_back(torch::cat(views));
  }
  std::vector<Tensor> tokens, masks, labels, ids;
  for (const auto& part : parts) {
    tokens.push_back(part.tokens);
    masks.push_back(part.mask);
    labels.push_back(part.labels);
    ids.push_back(part.ids);
    whole.padding += part.padding;
  }
  whole.tokens = torch::cat(tokens);
  whole.mask = torch::cat(masks);
  whole.labels = torch::cat(labels);
  whole.ids = torch::cat(ids);
  return whole;
}

/// The first rows of a batch.
Batch head(const Batch& batch, std::int64_t rows) {
  const auto cut = [&](const Tensor& x) { return x.narrow(0, 0, rows); };
  Batch part{{}, cut(batch.tokens), cut(batch.mask), cut(batch.labels), cut(batch.ids)};
  for (const auto& view : batch.views) part.views.push_back(cut(view));
  return part;
}

TEST_CASE("the batches of all ranks make those of one with as many times the batch size") {
  // 22 samples in batches of 4 a rank: 6, 10, 2 and 22 are left over.
  const std::int64_t ranks = GENERATE(2, 3, 5, 8);
  const int ending = GENERATE(0, 1, 2);  // dropped, as it is, filled up
  CAPTURE(ranks, ending);
  auto options = with_workers(2);
  options.drop_last = ending == 0;
  options.pad_last = ending == 2;
  auto large_options = options;
  large_options.batch_size *= ranks;
  if (ending == 0 && large_options.batch_size > count) {
    options.ranks = ranks;
    CHECK_THROWS_MATCHES((DataLoader{Synthetic{}, cass_views({.size = 16}), options}), InvalidArgument,
                         MessageMatches(ContainsSubstring(".batch_size is 4 on each of 8 ranks")));
    return;
  }
  DataLoader large{Synthetic{}, cass_views({.size = 16}), large_options};
  const auto expected = batches_of(large, 3);
  std::vector<std::vector<Batch>> of_ranks;
  for (std::int64_t rank = 0; rank < ranks; ++rank) {
    auto of_rank = options;
    of_rank.rank = rank;
    of_rank.ranks = ranks;
    DataLoader loader{Synthetic{}, cass_views({.size = 16}), of_rank};
    CHECK(loader.batches_per_epoch() == large.batches_per_epoch());
    of_ranks.push_back(batches_of(loader, 3));
    REQUIRE(of_ranks.back().size() == expected.size());
    const auto resumed = batches_of(loader, 3, 1);
    REQUIRE(resumed.size() + 1 == expected.size());
    if (!resumed.empty()) check_same(resumed.back(), of_ranks.back().back());
  }
  std::multiset<std::int64_t> ids;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    std::vector<Batch> parts;
    for (const auto& batches : of_ranks) {
      parts.push_back(batches[i]);
      CHECK(parts.back().size() == parts.front().size());
      CHECK(parts.back().padding <= parts.back().size());
      for (const auto id : ids_of(head(parts.back(), parts.back().size() - parts.back().padding))) ids.insert(id);
    }
    const auto whole = joined(parts);
    if (ending == 1) {
      CHECK(whole.padding < ranks);
      check_same(head(whole, whole.size() - whole.padding), expected[i]);
    } else {
      check_same(whole, expected[i]);
    }
  }
  CHECK(ids.size() == std::set(ids.begin(), ids.end()).size());  // on one rank only
  CHECK(ids.size() == (ending == 0 ? static_cast<std::size_t>(large.batches_per_epoch() * 4 * ranks) : count));
}

TEST_CASE("a last batch is filled up with the first samples of the epoch") {
  auto options = with_workers(GENERATE(0, 2));
  options.drop_last = false;
  options.batch_size = GENERATE(4, 9, 22, 50);
  CAPTURE(options.batch_size);
  DataLoader plain{Synthetic{}, cass_views({.size = 16}), options};
  options.pad_last = true;
  DataLoader padded{Synthetic{}, cass_views({.size = 16}), options};
  const auto expected = batches_of(plain, 2), batches = batches_of(padded, 2);
  REQUIRE(batches.size() == expected.size());
  const auto ids = ids_of(expected);
  REQUIRE(ids.size() == count);
  const auto full = options.batch_size * static_cast<std::int64_t>(batches.size());
  for (std::size_t i = 0; i < batches.size(); ++i) {
    CHECK(batches[i].size() == options.batch_size);
    CHECK(expected[i].padding == 0);
    CHECK(batches[i].padding == (i + 1 == batches.size() ? full - count : 0));
    check_same(head(batches[i], batches[i].size() - batches[i].padding), expected[i]);
  }
  const auto all = ids_of(batches);
  for (std::size_t i = count; i < all.size(); ++i) CHECK(all[i] == ids[(i - count) % count]);
}

TEST_CASE("options that cannot work are refused at construction") {
  const auto make = [](const Synthetic& data, const LoaderOptions& options) {
    DataLoader{data, eval_views({.size = 8}), options};
  };
  CHECK_THROWS_MATCHES(make({.samples = 0}, {}), InvalidArgument, MessageMatches(ContainsSubstring("empty")));
  CHECK_THROWS_MATCHES(make({}, {}), InvalidArgument,
                       MessageMatches(ContainsSubstring("32") && ContainsSubstring("22 samples") &&
                                      ContainsSubstring(".drop_last = false")));
  CHECK_NOTHROW(make({}, {.drop_last = false}));
  CHECK_THROWS_MATCHES(make({}, {.batch_size = 0}), InvalidArgument,
                       MessageMatches(ContainsSubstring(".batch_size is 0") && ContainsSubstring("1")));
  CHECK_THROWS_MATCHES(make({}, {.batch_size = 2, .workers = -1}), InvalidArgument,
                       MessageMatches(ContainsSubstring(".workers is -1") && ContainsSubstring("0")));
  CHECK_THROWS_MATCHES(make({}, {.batch_size = 2, .prefetch = 0}), InvalidArgument,
                       MessageMatches(ContainsSubstring(".prefetch is 0") && ContainsSubstring("1")));
  CHECK_THROWS_MATCHES(make({}, {.batch_size = 2, .pad_last = true}), InvalidArgument,
                       MessageMatches(ContainsSubstring(".pad_last") && ContainsSubstring(".drop_last = false")));
  CHECK_THROWS_MATCHES(make({}, {.batch_size = 2, .rank = 2, .ranks = 2}), InvalidArgument,
                       MessageMatches(ContainsSubstring(".rank is 2") && ContainsSubstring("0 and 1")));
  CHECK_THROWS_MATCHES(make({}, {.batch_size = 2, .ranks = 0}), InvalidArgument,
                       MessageMatches(ContainsSubstring(".ranks is 0")));

  DataLoader loader{Synthetic{}, eval_views({.size = 8}), {.batch_size = 4}};
  CHECK_THROWS_MATCHES(loader.next(), InvalidArgument,
                       MessageMatches(ContainsSubstring("start_epoch") && ContainsSubstring("next()")));
  CHECK_THROWS_MATCHES(loader.start_epoch(0, 6), InvalidArgument,
                       MessageMatches(ContainsSubstring("first_batch 6") && ContainsSubstring("5 batches")));
  CHECK_THROWS_AS(loader.start_epoch(-1), InvalidArgument);
}

}  // namespace
}  // namespace sslmeme
