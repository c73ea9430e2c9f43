// Unreadable samples: what takes their place, the list of them, and when there are too many.
#include <sslmeme/core/error.hpp>
#include <sslmeme/core/random.hpp>
#include <sslmeme/data/loader.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "batches.hpp"
#include "tiny_run.hpp"

namespace sslmeme {
namespace {

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using test::batches_of;
using test::ids_of;
using Strings = std::vector<std::string>;
using Counts = std::vector<std::pair<std::string, std::int64_t>>;
using enum PictureFault;

/// Noise of which some pictures are damaged, each slow in its own way so that workers overtake each other.
struct Damaged {
  std::map<std::size_t, PictureFault> damaged;
  std::set<std::size_t> malformed = {};  ///< no picture's fault
  std::size_t samples = 400;

  std::size_t size() const { return samples; }
  std::int64_t id(std::size_t i) const { return static_cast<std::int64_t>(1000 + i); }
  std::string source(std::size_t i) const { return "img/" + std::to_string(i) + ".png"; }
  Sample get(std::size_t i) const {
    std::this_thread::sleep_for(std::chrono::microseconds{i % 5 * 40});
    if (const auto found = damaged.find(i); found != damaged.end())
      throw PictureError(found->second, source(i) + " is damaged");
    if (malformed.contains(i)) throw DataError("no object");
    Sample sample{Image{12, 12}, "", static_cast<std::int64_t>(i % 2), id(i)};
    Rng rng{i};
    for (auto& value : sample.picture.pixels) value = static_cast<std::uint8_t>(rng.below(256));
    return sample;
  }
};

/// Positions that lie in different batches of an epoch, so that their order in the quarantine is not the dataset's.
const Damaged three{{{17, truncated}, {203, corrupt}, {390, truncated}}};
const Damaged five{{{17, truncated}, {203, corrupt}, {390, truncated}, {51, missing}, {52, truncated}}};

DataLoader loader_of(const Damaged& data, int workers, double abort_above = 0.01) {
  return {data,
          train_views({.size = 8}),
          {.batch_size = 16,
           .workers = workers,
           .seed = 5,
           .unreadable = {.policy = UnreadablePolicy::substitute, .abort_above = abort_above}}};
}

Strings sources_of(const Quarantine& quarantine) {
  Strings sources;
  for (const auto& sample : quarantine.samples) sources.push_back(sample.source);
  return sources;
}

TEST_CASE("substitutes are the same for any number of workers and any first batch") {
  auto reference = loader_of(three, 0);
  const auto expected = batches_of(reference, 0);
  const auto expected_sources = sources_of(reference.quarantine());
  REQUIRE(expected.size() == 25);
  REQUIRE(expected_sources.size() == 3);

  auto loader = loader_of(three, GENERATE(0, 1, 2, 4));
  const std::int64_t first = GENERATE(0, 7, 20);
  test::check_same(batches_of(loader, 0, first), {expected.begin() + first, expected.end()});
  if (first == 0) CHECK(sources_of(loader.quarantine()) == expected_sources);

  // What the loader found in another epoch changes nothing.
  batches_of(loader, 1);
  test::check_same(batches_of(loader, 0), expected);
}

TEST_CASE("only the rows of unreadable samples differ, and what takes their place has dice of its own") {
  auto whole = loader_of({}, 0), loader = loader_of(three, 2);
  const auto expected = batches_of(whole, 0), batches = batches_of(loader, 0);
  const auto ids = ids_of(batches), all = ids_of(expected);
  REQUIRE(ids.size() == all.size());
  CHECK(whole.quarantine().samples.empty());
  int replaced = 0;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const auto pixels = batches[i / 16].views[0][static_cast<std::int64_t>(i % 16)];
    if (!three.damaged.contains(static_cast<std::size_t>(all[i] - 1000))) {
      CHECK(ids[i] == all[i]);
      CHECK(torch::equal(pixels, expected[i / 16].views[0][static_cast<std::int64_t>(i % 16)]));
      continue;
    }
    ++replaced;
    CHECK_FALSE(three.damaged.contains(static_cast<std::size_t>(ids[i] - 1000)));
    CHECK(batches[i / 16].labels[static_cast<std::int64_t>(i % 16)].item<std::int64_t>() == ids[i] % 2);
    const auto own = static_cast<std::size_t>(std::ranges::find(all, ids[i]) - all.begin());
    REQUIRE(own < all.size());  // the sample has a place of its own in this epoch
    CHECK_FALSE(torch::equal(pixels, expected[own / 16].views[0][static_cast<std::int64_t>(own % 16)]));
  }
  CHECK(replaced == 3);

  auto another_epoch = ids_of(batches_of(loader, 1)), same_again = ids_of(batches_of(loader, 0));
  std::ranges::sort(another_epoch);
  std::ranges::sort(same_again);
  CHECK(another_epoch != same_again);  // other samples take the places
}

TEST_CASE("the quarantine has each sample once, counts them by fault, and counts every row") {
  Damaged data = three;
  data.damaged[77] = missing;
  data.malformed = {300};
  auto loader = loader_of(data, GENERATE(0, 2), 0.02);
  CHECK(loader.quarantine().samples.empty());
  loader.start_epoch(0);
  CHECK(loader.quarantine().samples.empty());  // whatever workers prepared
  while (loader.next()) {
  }
  const auto& quarantine = loader.quarantine();
  CHECK(quarantine.samples.size() == 5);
  CHECK(quarantine.substituted == 5);
  CHECK(quarantine.counts() == Counts{{"truncated", 2}, {"corrupt", 1}, {"missing", 1}, {"other", 1}});
  batches_of(loader, 1);
  CHECK(quarantine.samples.size() == 5);
  CHECK(quarantine.substituted == 10);
  const auto found = std::ranges::find(quarantine.samples, 203U, &UnreadableSample::position);
  REQUIRE(found != quarantine.samples.end());
  CHECK(found->id == 1203);
  CHECK(found->source == "img/203.png");
  CHECK(found->fault == corrupt);
  CHECK(found->reason == "img/203.png is damaged");
}

TEST_CASE("too many unreadable samples are an error, at the same batch for any number of workers") {
  const auto batches_before_the_end = [](int workers) {
    auto loader = loader_of(five, workers);
    loader.start_epoch(0);
    int batches = 0;
    try {
      while (loader.next()) ++batches;
    } catch (const DataError& error) {
      const std::string message = error.what();
      CHECK_THAT(message, ContainsSubstring("5 of 400 samples cannot be read (3 truncated, 1 corrupt, 1 missing)") &&
                              ContainsSubstring(".unreadable.abort_above = 0.01") && ContainsSubstring("sample 1") &&
                              ContainsSubstring("is damaged") && !ContainsSubstring("\n"));
      CHECK(loader.quarantine().samples.size() == 5);
      CHECK_THROWS_AS(loader.next(), InvalidArgument);
      return batches;
    }
    FAIL("5 of 400 are more than 1 %");
    return batches;
  };
  const auto expected = batches_before_the_end(0);
  CHECK(batches_before_the_end(GENERATE(1, 2, 4)) == expected);

  Damaged four = five;
  four.damaged.erase(51);
  auto loader = loader_of(four, 2);
  CHECK(batches_of(loader, 0).size() == 25);  // just 1 %
  auto none = loader_of(three, 2, 0);
  CHECK_THROWS_MATCHES(batches_of(none, 0), DataError, MessageMatches(ContainsSubstring("1 of 400")));
}

TEST_CASE("too many are too many of what a rank is asked for") {
  const auto loader_of_rank = [](const Damaged& data, std::int64_t rank, double abort_above,
                                 const AnySampler& sampler) {
    return DataLoader{data,
                      train_views({.size = 8}),
                      {.batch_size = 16,
                       .workers = 0,
                       .sampler = sampler,
                       .unreadable = {.policy = UnreadablePolicy::substitute, .abort_above = abort_above},
                       .rank = rank,
                       .ranks = 2}};
  };
  // In the dataset's order rank 0 has positions 0 … 15, 32 … 47 and so on: 12 batches, 192 samples.
  const Damaged two{{{0, corrupt}, {32, missing}}};
  auto first = loader_of_rank(two, 0, 0.01, InOrder{}), second = loader_of_rank(two, 1, 0.01, InOrder{});
  CHECK_THROWS_MATCHES(batches_of(first, 0), DataError,
                       MessageMatches(ContainsSubstring("2 of 192 samples cannot be read")));
  CHECK(batches_of(second, 0).size() == 12);

  // Over epochs a rank meets with more samples, readable ones too.
  struct Alternating {
    std::vector<std::size_t> order(const SamplerEpoch& epoch) const {
      std::vector<std::size_t> positions(epoch.samples);
      for (std::size_t i = 0; i < positions.size(); ++i)
        positions[i] = (i + static_cast<std::size_t>(epoch.epoch % 2) * 16) % positions.size();
      return positions;
    }
  };
  auto loader = loader_of_rank({{{0, corrupt}, {16, missing}}}, 0, 0.006, Alternating{});  // 1 of 192, then 2 of 384
  for (std::int64_t epoch = 0; epoch < 4; ++epoch) CHECK(batches_of(loader, epoch).size() == 12);
  CHECK(loader.quarantine().samples.size() == 2);
}

TEST_CASE("only what a dataset cannot read is substituted") {
  struct DiskFails : Damaged {
    Sample get(std::size_t i) const {
      if (i == 9) throw IoError("the disk is on fire");
      return Damaged::get(i);
    }
  };
  DataLoader loader{DiskFails{}, train_views({.size = 8}), {.unreadable = {.policy = UnreadablePolicy::substitute}}};
  CHECK_THROWS_MATCHES(batches_of(loader, 0), IoError,
                       MessageMatches(ContainsSubstring("sample 1009 (img/9.png): the disk is on fire")));
  CHECK(loader.quarantine().samples.empty());

  DataLoader strict{three, train_views({.size = 8}), {}};  // the default
  try {
    batches_of(strict, 0);
    FAIL("a picture is damaged");
  } catch (const PictureError& error) {
    CHECK(strict.quarantine().samples.empty());
    CHECK_THAT(error.what(), ContainsSubstring("sample 1"));
    CHECK((error.fault() == truncated || error.fault() == corrupt));
  }
}

TEST_CASE("where nothing can be read the search for a substitute ends") {
  Damaged all{.damaged = {}, .samples = 40};
  for (std::size_t i = 0; i < 40; ++i) all.damaged[i] = missing;
  auto loader = loader_of(all, GENERATE(0, 2), 1);
  CHECK_THROWS_MATCHES(
      batches_of(loader, 0), DataError,
      MessageMatches(ContainsSubstring("is damaged") && ContainsSubstring("16 samples drawn in its place")));
  const auto found = loader.quarantine().samples.size();
  CHECK((found > 5 && found <= 17));
  CHECK(loader.quarantine().substituted == 0);
}

TEST_CASE("a dataset without id and source is substituted too") {
  struct Bare {
    std::size_t size() const { return 200; }
    Sample get(std::size_t i) const {
      if (i == 30) throw PictureError(truncated, "it ends early");
      return {Image{12, 12}, "", {}, static_cast<std::int64_t>(i)};
    }
  };
  DataLoader loader{Bare{}, train_views({.size = 8}), {.unreadable = {.policy = UnreadablePolicy::substitute}}};
  batches_of(loader, 0);
  batches_of(loader, 1);
  REQUIRE(loader.quarantine().samples.size() == 1);
  CHECK_FALSE(loader.quarantine().samples[0].id);
  CHECK(loader.quarantine().samples[0].position == 30);
}

TEST_CASE("options that cannot work are refused") {
  CHECK_THROWS_MATCHES(loader_of({}, 0, 1.5), InvalidArgument,
                       MessageMatches(ContainsSubstring("abort_above is 1.5") && ContainsSubstring("0 and 1")));
  CHECK_THROWS_AS(loader_of({}, 0, std::numeric_limits<double>::quiet_NaN()), InvalidArgument);
}

/// Positions in the order of quarantine.jsonl.
std::vector<int> noted_in(const std::filesystem::path& run) {
  std::vector<int> positions;
  for (const auto& line : test::json_lines_of(run / "quarantine.jsonl")) positions.push_back(line.at("position"));
  return positions;
}

TEST_CASE("a run directory lists the samples that could not be read, also those before a resume and of an abort") {
  const test::TemporaryFolder temporary;
  const auto run = temporary / "run";
  const auto views = cass_views({.size = 16});
  const auto fit = [&](const Damaged& data, ExistingRun existing, std::int64_t stop = 1000) {
    DataLoader loader{data,
                      views,
                      {.batch_size = 4,
                       .workers = 2,
                       .seed = 3,
                       .unreadable = {.policy = UnreadablePolicy::substitute, .abort_above = 0.15}}};
    Trainer{test::tiny_cass(), test::options(run, existing)}.fit(loader, test::StopAt{stop});
    return sources_of(loader.quarantine());
  };
  const Damaged none{.damaged = {}, .samples = 20}, two{.damaged = {{4, truncated}, {11, missing}}, .samples = 20};
  fit(none, ExistingRun::refuse);
  CHECK_FALSE(std::filesystem::exists(run / "quarantine.jsonl"));

  fit(two, ExistingRun::overwrite, 5);  // an epoch
  const auto noted = noted_in(run);
  CHECK(std::set(noted.begin(), noted.end()) == std::set{4, 11});
  const auto line = test::json_lines_of(run / "quarantine.jsonl")[noted[0] == 4 ? 0 : 1];
  CHECK(line == nlohmann::json{{"position", 4},
                               {"id", 1004},
                               {"source", "img/4.png"},
                               {"fault", "truncated"},
                               {"reason", "img/4.png is damaged"}});

  const Damaged more{.damaged = {{4, truncated}, {11, missing}, {13, corrupt}}, .samples = 20};
  fit(more, ExistingRun::resume, 10);
  auto longer = noted;
  longer.push_back(13);
  CHECK(noted_in(run) == longer);

  const Damaged too_many{.damaged = {{0, corrupt}, {1, corrupt}, {2, corrupt}, {3, corrupt}}, .samples = 20};
  CHECK_THROWS_MATCHES(fit(too_many, ExistingRun::overwrite), DataError,
                       MessageMatches(ContainsSubstring("4 of 20 samples cannot be read")));
  CHECK(noted_in(run).size() == 4);
}

LoaderOptions in_order(int workers) {
  return {.batch_size = 16,
          .workers = workers,
          .shuffle = false,
          .drop_last = false,
          .unreadable = {.policy = UnreadablePolicy::leave_out, .abort_above = 1}};
}

TEST_CASE("what is left out moves the other rows up, the same for any number of workers") {
  Damaged data{{{0, corrupt}, {17, truncated}, {399, missing}}};
  for (std::size_t i = 32; i < 48; ++i) data.damaged[i] = corrupt;  // a whole batch
  data.malformed = {60};
  DataLoader whole{Damaged{}, eval_views({.size = 8}), {.batch_size = 1, .shuffle = false, .drop_last = false}};
  const auto expected = batches_of(whole, 0);
  DataLoader loader{data, eval_views({.size = 8}), in_order(GENERATE(0, 1, 2, 4))};
  loader.start_epoch(0);
  std::size_t position = 0, batches = 0;
  while (const auto batch = loader.next()) {
    ++batches;
    CHECK(batch->size() > 0);
    CHECK(batch->padding == 0);
    CHECK(batch->views[0].size(0) == batch->size());
    CHECK(batch->labels.size(0) == batch->size());
    for (std::int64_t row = 0; row < batch->size(); ++row, ++position) {
      while (data.damaged.contains(position) || data.malformed.contains(position)) ++position;
      CHECK(ids_of(*batch)[static_cast<std::size_t>(row)] == static_cast<std::int64_t>(1000 + position));
      CHECK(torch::equal(batch->views[0][row], expected[position].views[0][0]));
    }
  }
  CHECK(batches == 24);  // 25 but for the one of which nothing is left
  CHECK(position == 399);
  const auto& quarantine = loader.quarantine();
  CHECK(quarantine.left_out == 20);
  CHECK(quarantine.substituted == 0);
  REQUIRE(quarantine.samples.size() == 20);
  CHECK(std::ranges::is_sorted(quarantine.samples, {}, &UnreadableSample::position));
  CHECK(quarantine.samples.front().reason == "img/0.png is damaged");
  CHECK(quarantine.samples.back().position == 399);
}

TEST_CASE("where nothing can be read there is no batch, and too much of it is an error unless all may be") {
  Damaged data;
  data.samples = 20;
  for (std::size_t i = 0; i < 20; ++i) data.damaged[i] = corrupt;
  DataLoader loader{data, eval_views({.size = 8}), in_order(2)};
  CHECK(batches_of(loader, 0).empty());
  CHECK(loader.quarantine().samples.size() == 20);
  auto strict = in_order(2);
  strict.unreadable.abort_above = 0.5;
  DataLoader refusing{data, eval_views({.size = 8}), strict};
  CHECK_THROWS_AS(batches_of(refusing, 0), DataError);
}

TEST_CASE("leaving out is for samples in order, all of them") {
  const auto refused = [](const auto& change) {
    auto options = in_order(0);
    change(options);
    CHECK_THROWS_MATCHES((DataLoader{Damaged{}, eval_views({.size = 8}), options}), InvalidArgument,
                         MessageMatches(ContainsSubstring("leave_out")));
  };
  refused([](LoaderOptions& o) { o.shuffle = true; });
  refused([](LoaderOptions& o) { o.drop_last = true; });
  refused([](LoaderOptions& o) { o.pad_last = true; });
  refused([](LoaderOptions& o) { o.ranks = 2; });
  refused([](LoaderOptions& o) { o.sampler = Shuffled{}; });
}

}  // namespace
}  // namespace sslmeme
