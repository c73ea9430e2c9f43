// inspect_data: what was planted is found, once, and nothing else.
#include <sslmeme/core/error.hpp>
#include <sslmeme/core/printable.hpp>
#include <sslmeme/data/image_io.hpp>
#include <sslmeme/data/image_ops.hpp>
#include <sslmeme/data/inspect.hpp>
#include <sslmeme/data/meme_jsonl.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <nlohmann/json.hpp>

#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "files.hpp"
#include "wave_pictures.hpp"

namespace sslmeme {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using Catch::Matchers::WithinRel;
using test::wave_picture;

/// Samples in memory; one without a picture cannot be read.
struct InMemory {
  std::shared_ptr<std::vector<Sample>> samples = std::make_shared<std::vector<Sample>>();

  std::size_t size() const { return samples->size(); }
  Sample get(std::size_t i) const {
    if ((*samples)[i].picture.empty()) throw DataError("no picture");
    return (*samples)[i];
  }
  std::string source(std::size_t i) const { return "#" + std::to_string(i); }
  void add(Image picture, std::string text = "", std::optional<std::int64_t> label = {}) const {
    const auto id = static_cast<std::int64_t>(samples->size()) + 100;
    samples->push_back({std::move(picture), std::move(text), label, id});
  }
};

SplitReport inspect_one(const InMemory& data) {
  const std::vector<NamedDataset> splits{{"train", data}};
  return inspect_data(splits).splits.at(0);
}

/// 12 memes in train and 6 in dev, and in them one of each thing that can be wrong.
struct Planted : test::TemporaryFolder {
  Planted() {
    std::string train, dev;
    for (int id = 0; id < 18; ++id) {
      write_png(path / picture(id), wave_picture(static_cast<std::uint64_t>(id), 96 + id, 72));
      (id < 12 ? train : dev) += line(id, "caption " + std::to_string(id));
    }
    fs::copy_file(path / picture(3), path / picture(20));
    write_png(path / picture(21), resize(read_image(path / picture(5)), 70, 52));
    fs::copy_file(path / picture(7), path / picture(22));
    fs::copy_file(path / picture(8), path / picture(23));
    fs::resize_file(path / picture(23), 2000);
    write_png(path / picture(24), resize(read_image(path / picture(9)), 130, 96, Interpolation::bicubic));
    train += line(20, "another caption") + line(21, "one more") + line(23, "never seen");
    dev += line(22, "Caption  7 ") + line(24, "of its own");
    write("train.jsonl", train);
    write("dev.jsonl", dev);
  }

  static std::string picture(int id) { return std::to_string(id) + ".png"; }
  static std::string line(int id, const std::string& text) {
    return nlohmann::json{{"id", id}, {"img", picture(id)}, {"label", id % 2}, {"text", text}}.dump() + "\n";
  }
  std::vector<NamedDataset> splits() const {
    return {{"train", MemeJsonl{path, "train"}}, {"dev", MemeJsonl{path, "dev"}}};
  }
};

TEST_CASE("what was planted is found exactly once, and nothing else") {
  const Planted planted;
  const auto report = inspect_data(planted.splits());
  REQUIRE(report.splits.size() == 2);
  const auto &train = report.splits[0], &dev = report.splits[1];
  const auto file = [&](int id) { return (planted / Planted::picture(id)).string(); };

  CHECK(train.samples == 15);
  CHECK(train.labels == std::map<std::int64_t, std::size_t>{{0, 7}, {1, 8}});
  CHECK(train.exact_duplicates == 1);
  CHECK(train.near_duplicates == 1);
  CHECK((train.duplicates ==
         std::vector<PicturePair>{{20, 3, file(20), file(3), true, false}, {21, 5, file(21), file(5), false, false}}));
  CHECK(train.unreadable == 1);
  REQUIRE(train.unreadable_samples.size() == 1);
  CHECK(train.unreadable_samples[0].id == 23);
  CHECK(train.unreadable_samples[0].position == 14);
  CHECK(train.unreadable_samples[0].source == file(23));
  CHECK_THAT(train.unreadable_samples[0].reason, ContainsSubstring("truncated"));
  CHECK(train.same_captions == 0);

  CHECK(dev.exact_duplicates + dev.near_duplicates + dev.unreadable == 0);
  REQUIRE(report.leaks.size() == 1);
  CHECK(report.leaks[0].from == "train");
  CHECK(report.leaks[0].into == "dev");
  CHECK(report.leaks[0].exact == 1);
  CHECK(report.leaks[0].near == 1);
  CHECK(report.leaks[0].same_caption == 1);
  CHECK((report.leaks[0].samples ==
         std::vector<PicturePair>{{22, 7, file(22), file(7), true, true}, {24, 9, file(24), file(9), false, false}}));
  CHECK(report.unreadable() == 1);
  CHECK(report.near_complete);
}

TEST_CASE("the report does not depend on the number of workers, and progress reaches the end") {
  const Planted planted;
  std::string first;
  for (const int workers : {0, 1, 3}) {
    std::size_t calls = 0, last = 0;
    const auto report =
        inspect_data(planted.splits(), {.workers = workers, .progress = [&](std::size_t done, std::size_t total) {
                                          ++calls;
                                          CHECK(total == 23);
                                          CHECK(done == last + 1);
                                          last = done;
                                        }});
    CHECK(calls == 23);
    const auto json = data_report_json(report);
    if (first.empty()) first = json;
    CHECK(json == first);
  }
}

TEST_CASE("sizes, captions and labels are summed up") {
  const InMemory data;
  data.add(wave_picture(1, 40, 20), "  Zwei   W\xC3\xB6rter ", 1);
  data.add(wave_picture(2, 60, 30), "one two three", 0);
  data.add(wave_picture(3, 80, 20), "ONE two\nthree", 0);
  data.add(wave_picture(4, 30, 30), " \t ");
  const auto split = inspect_one(data);
  CHECK(split.samples == 4);
  CHECK(split.labelled == 3);
  CHECK(split.labels == std::map<std::int64_t, std::size_t>{{0, 2}, {1, 1}});
  CHECK(split.width.min == 30);
  CHECK(split.width.median == 50);
  CHECK_THAT(split.width.percentile_95, WithinRel(77.0));  // numpy.percentile([40, 60, 80, 30], 95)
  CHECK(split.width.max == 80);
  CHECK(split.height == Spread{20, 25, 30, 30});
  CHECK(split.aspect.median == 2);
  CHECK(split.aspect.max == 4);
  CHECK(split.empty_captions == 1);
  CHECK(split.same_captions == 1);
  CHECK(split.caption_characters.max == 16);
  CHECK(split.caption_words == Spread{2, 3, 3, 3});
  CHECK(split.unreadable == 0);
}

TEST_CASE("no pictures, no spread") {
  const InMemory data;
  data.add({}, "unseen", 1);
  const auto split = inspect_one(data);
  CHECK(split.width == Spread{});
  CHECK(split.unreadable == 1);
  CHECK(split.unreadable_reasons == std::map<std::string, std::size_t>{{"other", 1}});
  CHECK(split.unreadable_samples.at(0).source == "#0");
  CHECK_FALSE(split.unreadable_samples.at(0).id.has_value());
  CHECK(inspect_one({}).samples == 0);
}

TEST_CASE("an exact copy of a near copy is exact, and copies of copies are counted, not paired") {
  const InMemory data;
  const auto original = wave_picture(1), smaller = resize(original, 72, 54);
  for (const auto& picture : {original, smaller, original, smaller, original}) data.add(picture, "same");
  const auto split = inspect_one(data);
  CHECK(split.exact_duplicates == 3);
  CHECK(split.near_duplicates == 1);
  REQUIRE(split.duplicates.size() == 4);
  CHECK(split.duplicates[0] == PicturePair{101, 100, "#1", "#0", false, true});
  CHECK(split.duplicates[2] == PicturePair{103, 101, "#3", "#1", true, true});
  CHECK(picture_groups(data) == std::vector<std::size_t>(5, 0));
}

TEST_CASE("copies without words do not have the same words") {
  const InMemory data;
  data.add(wave_picture(1), "");
  data.add(wave_picture(1), " ");
  const auto split = inspect_one(data);
  REQUIRE(split.duplicates.size() == 1);
  CHECK(split.duplicates[0].exact);
  CHECK_FALSE(split.duplicates[0].same_caption);
}

TEST_CASE("the words count as known where any copy has them") {
  const InMemory train, test;
  const auto original = wave_picture(1), smaller = resize(original, 72, 54);
  train.add(original, "first");
  train.add(original, "second");
  train.add(smaller, "third");
  test.add(original, "second");  // exact
  test.add(original, "third");   // near
  test.add(original, "fourth");
  test.add(wave_picture(2), "first");
  const auto report = inspect_data(std::vector<NamedDataset>{{"train", train}, {"test", test}});
  REQUIRE(report.leaks.size() == 1);
  CHECK(report.leaks[0].exact == 3);
  CHECK(report.leaks[0].near == 0);
  CHECK(report.leaks[0].same_caption == 2);
}

TEST_CASE("pictures without words leak, but not their words") {
  const InMemory train, test;
  train.add(wave_picture(1));
  test.add(wave_picture(1));
  const auto report = inspect_data(std::vector<NamedDataset>{{"train", train}, {"test", test}});
  REQUIRE(report.leaks.size() == 1);
  CHECK(report.leaks[0].exact == 1);
  CHECK(report.leaks[0].same_caption == 0);
}

TEST_CASE("lists are cut, counts are not") {
  const InMemory data;
  for (int i = 0; i < 10; ++i) data.add(wave_picture(1));
  for (int i = 0; i < 10; ++i) data.add({});
  const std::vector<NamedDataset> splits{{"train", data}};
  const auto split = inspect_data(splits, {.workers = 3, .listed = 4}).splits.at(0);
  CHECK(split.exact_duplicates == 9);
  CHECK(split.duplicates.size() == 4);
  CHECK(split.unreadable == 10);
  REQUIRE(split.unreadable_samples.size() == 4);
  CHECK(split.unreadable_samples[3].position == 13);
}

TEST_CASE("groups link pictures through others; what cannot be read has none") {
  const InMemory data;
  data.add(wave_picture(1));
  data.add(wave_picture(2));
  data.add({});
  data.add(resize(wave_picture(1), 72, 54));
  data.add(wave_picture(2));
  data.add({});
  CHECK(picture_groups(data) == std::vector<std::size_t>{0, 1, 6, 0, 1, 6});
}

TEST_CASE("JSON has every figure, and names that are not UTF-8") {
  const InMemory data;
  data.add(wave_picture(1), "a", 1);
  data.add(wave_picture(1), "b", 0);
  auto report = inspect_data(std::vector<NamedDataset>{{"tr\xFF", data}});
  const auto json = nlohmann::json::parse(data_report_json(report));
  const auto& split = json.at("splits").at(0);
  CHECK(split.at("name") == "tr\uFFFD");
  CHECK(split.at("labels") == nlohmann::json{{"0", 1}, {"1", 1}});
  CHECK(split.at("exact_duplicates") == 1);
  CHECK(split.at("duplicates").at(0).at("other_id") == 100);
  CHECK(split.at("width").at("median") == 96);
  CHECK(json.at("leaks").empty());
  CHECK(json.at("near_complete") == true);
}

TEST_CASE("a search for near pictures that is cut off says so") {
  const InMemory data;
  data.add(wave_picture(1));
  data.add(resize(wave_picture(1), 72, 54));
  const std::vector<NamedDataset> splits{{"train", data}};
  CHECK(inspect_data(splits).near_complete);
  const InspectOptions cut_off{.max_comparisons = 0};
  CHECK_FALSE(inspect_data(splits, cut_off).near_complete);
  CHECK_THROWS_MATCHES(picture_groups(data, cut_off), DataError,
                       MessageMatches(ContainsSubstring("0 comparisons do not group them")));
}

TEST_CASE("names of files are printable without harm") {
  CHECK(printable("a\n\x1B[2J\xFF\u202Eé") == "a\\n\\x1B[2J\\xFF\\u202Eé");
  CHECK(printable(std::string(401, 'x')) == std::string(400, 'x') + "… (401 bytes)");
}

TEST_CASE("bad calls are refused, and other errors come through") {
  const InMemory data;
  data.add(wave_picture(1));
  const auto inspect = [](std::vector<NamedDataset> splits, const InspectOptions& options = {}) {
    return inspect_data(splits, options);
  };
  const auto refused = [](const std::string& part) { return MessageMatches(ContainsSubstring(part)); };
  CHECK_THROWS_MATCHES(inspect({}), InvalidArgument, refused("0 splits"));
  CHECK_THROWS_MATCHES(inspect({{"a", data}, {"a", data}}), InvalidArgument, refused("two splits are called \"a\""));
  CHECK_THROWS_MATCHES(inspect({{"a", data}}, {.distance = 7}), InvalidArgument, refused(".distance is 7"));
  CHECK_THROWS_MATCHES(inspect({{"a", data}}, {.workers = -1}), InvalidArgument, refused(".workers is -1"));

  struct Broken {
    std::size_t size() const { return 50; }
    Sample get(std::size_t) const { throw std::logic_error{"a defect"}; }
  };
  const int workers = GENERATE(0, 2);
  CHECK_THROWS_MATCHES(inspect({{"a", Broken{}}}, {.workers = workers}), std::logic_error, refused("a defect"));
}

}  // namespace
}  // namespace sslmeme
