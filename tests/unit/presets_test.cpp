// The published layouts, each in miniature.
#include "data/presets.hpp"

#include <sslmeme/core/error.hpp>
#include <sslmeme/data/presets.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <filesystem>
#include <string>

#include "files.hpp"

namespace sslmeme {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::EndsWith;
using Catch::Matchers::MessageMatches;

struct Folder : test::TemporaryFolder {
  void add(const fs::path& file, std::string_view content) const {
    fs::create_directories((path / file).parent_path());
    write(file, content);
  }
  void add_picture(const fs::path& file, int width = 1) const {
    fs::create_directories((path / file).parent_path());
    write_png(path / file, Image{width, 1});
  }
};

constexpr std::string_view mami_header =
    "file_name\tmisogynous\tshaming\tstereotype\tobjectification\tviolence\tText Transcription\n";

TEST_CASE("MAMI: tab-separated files with their pictures beside them, test labels in a file of their own") {
  const Folder root;
  const std::string place = GENERATE("", "TRAINING/", "training/TRAINING/");
  root.add(place + "training.csv", std::string{mami_header} +
                                       "10.jpg\t1\t0\t1\t0\t0\t\"he said \"\"no\"\"\n, she\"\r\n" +
                                       "7.jpg\t0\t0\t0\t0\t0\t5\" of text\r\n");
  root.add_picture(place + "10.jpg", 3);
  root.add_picture(place + "7.jpg", 4);
  const auto train = mami(root.path, "train");
  REQUIRE(train.size() == 2);
  CHECK(train.id(0) == 10);
  CHECK(train.label(0) == 1);
  CHECK(train.label(1) == 0);
  CHECK(train.text(0) == "he said \"no\"\n, she");
  CHECK(train.text(1) == "5\" of text");
  CHECK(train.get(1).picture.width == 4);
  CHECK(train.source(0) == (root / (place + "10.jpg")).string());

  root.add("test/Test.csv", "file_name\tText Transcription\n15236.jpg\ta\n15805.jpg\tb\n");
  root.add_picture("test/15236.jpg");
  root.add_picture("test/15805.jpg");
  CHECK_FALSE(mami(root.path, "test").label(0).has_value());
  const std::string labels = GENERATE("test/test_labels.txt", "test_labels.txt");
  root.add(labels, "15805.jpg\t1\t0\t0\t1\t0\n15236.jpg\t0\t0\t0\t0\t0\n");
  const auto blind = mami(root.path, "test");
  CHECK(blind.id(1) == 15805);
  CHECK(blind.label(0) == 0);
  CHECK(blind.label(1) == 1);
  root.add(labels, "15805.jpg\t1\t0\t0\t1\t0\n");
  CHECK_THROWS_MATCHES(
      mami(root.path, "test"), DataError,
      MessageMatches(ContainsSubstring("Test.csv:2: ") && ContainsSubstring("no label of \"15236.jpg\"")));
  root.add(labels, "15805.jpg\n");
  CHECK_THROWS_MATCHES(mami(root.path, "test"), DataError, MessageMatches(ContainsSubstring("test_labels.txt:1: ")));

  CHECK_THROWS_MATCHES(mami(root.path, "dev"), InvalidArgument,
                       MessageMatches(ContainsSubstring("\"train\", \"trial\"")));
  CHECK_THROWS_MATCHES(mami(root.path, "trial"), AbsentSplit, MessageMatches(ContainsSubstring("trial.csv")));
}

TEST_CASE("MAMI: a file that commas separate is said to lack its columns") {
  const Folder root;
  root.add("training.csv", "file_name,misogynous,Text Transcription\n");
  CHECK_THROWS_MATCHES(
      mami(root.path, "train"), DataError,
      MessageMatches(ContainsSubstring("training.csv:1: no column \"file_name\"; there: file_name,mis")));
}

TEST_CASE("HarMeme: ids and labels in words, pictures in images/") {
  const Folder root;
  const std::string above = GENERATE("", "defaults/");
  root.add(
      above + "annotations/train.jsonl",
      R"({"id": "covid_memes_18", "image": "covid_memes_18.png", "labels": ["somewhat harmful", "individual"], "text": "a"}
{"id": "covid_memes_19", "image": "covid_memes_19.png", "labels": ["not harmful"], "text": "b"}
{"id": "covid_memes_1", "image": "covid_memes_1.png", "labels": ["very harmful", "society"], "text": "c"}
)");
  const std::string pictures = GENERATE("images/", "img/");
  for (const auto* name : {"18", "19", "1"})
    root.add_picture(above + pictures + "covid_memes_" + name + ".png", std::stoi(name));
  const auto data = harmeme(root.path, "train");
  REQUIRE(data.size() == 3);
  CHECK(data.id(0) == 3011244341728024649);  // of "covid_memes_18", by Python
  CHECK(data.label(0) == 1);
  CHECK(data.label(1) == 0);
  CHECK(data.label(2) == 1);
  CHECK(data.text(2) == "c");
  CHECK(data.get(0).picture.width == 18);

  root.add(above + "annotations/val.jsonl",
           R"({"id": "x", "image": "covid_memes_1.png", "labels": ["harmful"], "text": ""})");
  CHECK_THROWS_MATCHES(
      harmeme(root.path, "val"), DataError,
      MessageMatches(ContainsSubstring("val.jsonl:1: \"labels\" must be one of .labels: \"not harmful\"")));
  CHECK_THROWS_AS(harmeme(root.path, "test"), AbsentSplit);
  CHECK_THROWS_AS(harmeme(root.path, "../train"), InvalidArgument);
}

TEST_CASE("HarMeme: the file flat in the root, with its pictures") {
  const Folder root;
  root.add("test.jsonl", R"({"id": "x", "image": "x.png", "labels": ["not harmful"], "text": ""})");
  root.add_picture("x.png");
  CHECK(harmeme(root.path, "test").source(0) == (root / "x.png").string());
}

const std::string tweets = R"({"1114679353714016256": {"img_url": "http://x/y.jpg", "labels": [4, 1, 3], "tweet_url":
 "https://z", "tweet_text": "one \u2026", "labels_str": ["Religion", "Racist", "Homophobe"]},
"1063020048816660480": {"img_url": "http", "labels": [5, 0, 0], "tweet_text": "two", "labels_str": []},
"1108927368075374593": {"tweet_text": "three", "labels": [0, 2, 5], "more": {"labels": [9], "tweet_text": 3}}})";

struct Tweets : Folder {
  Tweets() {
    add("MMHS150K_GT.json", tweets);
    add("splits/train_ids.txt", "1108927368075374593\n1114679353714016256\r\n");
    add("splits/val_ids.txt", "1063020048816660480");
    int width = 0;
    for (const auto* id : {"1108927368075374593", "1114679353714016256", "1063020048816660480"})
      add_picture(fs::path{"img_resized"} / (std::string{id} + ".jpg"), ++width);
    add("img_txt/1114679353714016256.json", R"({"img_text": "read off", "n": 1})");
  }
};

TEST_CASE("MMHS150K: the split's ids in order, labels by majority, words of the picture behind the tweet's") {
  const Tweets root;
  const auto train = mmhs150k(root.path, "train");
  REQUIRE(train.size() == 2);
  CHECK(train.id(0) == 1108927368075374593);
  CHECK(train.label(0) == 1);
  CHECK(train.text(0) == "three");
  CHECK(train.label(1) == 1);
  CHECK(train.text(1) == "one …\nread off");
  CHECK(train.get(1).picture.width == 2);
  const auto val = mmhs150k(root.path, "val");
  REQUIRE(val.size() == 1);
  CHECK(val.label(0) == 0);  // one of three is no majority
  CHECK_THROWS_AS(mmhs150k(root.path, "test"), AbsentSplit);
  CHECK_THROWS_AS(mmhs150k(root.path, "dev"), InvalidArgument);
}

TEST_CASE("MMHS150K: what is wrong is named with its file") {
  const Tweets root;
  const auto refused = [&](const std::string& message) {
    CHECK_THROWS_MATCHES(mmhs150k(root.path, "val"), DataError,
                         MessageMatches(ContainsSubstring(message) && !ContainsSubstring("\n")));
  };
  SECTION("ids") {
    root.add("splits/val_ids.txt", "1063020048816660480\n17\n");
    refused("val_ids.txt:2: MMHS150K_GT.json has no tweet 17");
    root.add("splits/val_ids.txt", "\nx\n");
    refused("val_ids.txt:2: \"x\" is no tweet's id");
    root.add("splits/val_ids.txt", "1063020048816660480\n1063020048816660480\n");
    refused("val_ids.txt:2: the id 1063020048816660480 stands in line 1 too");
  }
  SECTION("pictures and their words") {
    root.add("img_txt/1063020048816660480.json", "{\"img_text\": 3}");
    refused("img_txt/1063020048816660480.json:1: \"img_text\" must be a string");
    root.add("img_txt/1063020048816660480.json", R"({"img_text": ")" + std::string(1 << 20, 'x') + "\"}");
    CHECK_THROWS_MATCHES(mmhs150k(root.path, "val"), DataError,
                         MessageMatches(ContainsSubstring("1063020048816660480.json has ") &&
                                        EndsWith("more than the limit of 1048576: shorten it")));
    sslmeme::remove_tree(root / "img_txt");
    fs::remove(root / "img_resized/1063020048816660480.jpg");
    CHECK_THROWS_AS(mmhs150k(root.path, "val"), PictureError);
    CHECK(mmhs150k(root.path, "val", {.check_pictures = false}).size() == 1);
  }
  SECTION("the big file") {
    struct Case {
      std::string json, message;
    };
    const std::string text = R"("tweet_text": "")", labels = R"("labels": [0])";
    const auto of = [](const std::string& value) { return "{\"1063020048816660480\": " + value + "}"; };
    for (const auto& [json, message] : std::initializer_list<Case>{
             {"", "not JSON"},
             {"[]", "an array instead of an object"},
             {"{\"1\": 3}", "a number instead of an object"},
             {"{\"1\": [", "an array instead of an object"},
             {of("{" + text + "}"), "has no \"labels\""},
             {of("{" + labels + "}"), "has no \"tweet_text\""},
             {of("{" + text + ", \"labels\": [0.5]}"), "has a fraction among its \"labels\""},
             {of("{" + text + ", \"labels\": [-1]}"), "has a negative number among its \"labels\""},
             {of("{" + text + ", \"labels\": [[0]]}"), "has an array among its \"labels\""},
             {of("{" + text + ", \"labels\": 0}"), "has a number as \"labels\""},
             {of("{\"tweet_text\": 1}"), "has a number as \"tweet_text\""},
             {of("{\"tweet_text\": {}}"), "has an object as \"tweet_text\""},
             {of("{" + text + ", " + text + "}"), "has \"tweet_text\" twice"},
             {of("{" + text + ", " + labels + ", " + labels + "}"), "has \"labels\" twice"},
             {of("{" + text + ", " + labels + ", \"x\": " + std::string(100, '[')), "nested more than 32 deep"},
             {of("{" + text + ", " + labels), "not JSON"},
             {"{\"a\\n\\u202e\": {}}", "the tweet \"a\\n\\u202E\" has no"},
             {"{\"1063020048816660480\": {" + text + ", " + labels + "}, \"1063020048816660480\": {" + text + ", " +
                  labels + "}}",
              "the tweet 1063020048816660480 stands twice"},
             {of("{\"x\": \"" + std::string(3 << 20, 'x')), "a value of more than 1048576 bytes"},
             {of("{\"x\": " + std::string(3 << 20, '1')), "a value of more than 1048576 bytes"},
             {of("{\"x\": \"" + std::string(101, '\\') + "x\""), "not JSON"}}) {
      CAPTURE(json.substr(0, 200));
      root.add("MMHS150K_GT.json", json);
      refused("MMHS150K_GT.json: ");
      refused(message);
    }
  }
}

TEST_CASE("MMHS150K: malformed UTF-8 becomes U+FFFD, and the texts that held some are counted") {
  const Folder root;
  root.add("splits/train_ids.txt", "1\n2\n3\n4\n");
  for (const auto* id : {"1", "2", "3", "4"}) root.add_picture(std::string{"img_resized/"} + id + ".jpg");
  root.add("MMHS150K_GT.json",
           "{\"1\": {\"tweet_text\": \"a\xFFz\xE2\x82\", \"labels\": [0]},"
           " \"2\": {\"more\": \"\xFF\", \"tweet_text\": \"\uFFFD é\", \"\x80\": \"\xF0\x9F\", \"labels\": [1]},"
           " \"3\": {\"labels\": [1], \"tweet_text\": \"plain\"}, \"4\": {\"tweet_text\": \"\", \"labels\": [0]}}");
  root.add("img_txt/3.json", "{\"img_text\": \"\xC3\"}");
  const auto data = mmhs150k(root.path, "train");
  REQUIRE(data.size() == 4);
  CHECK(data.text(0) == "a\uFFFDz\uFFFD");
  CHECK(data.text(1) == "\uFFFD é");  // as it stands in the file
  CHECK(data.text(2) == "plain\n\uFFFD");
  CHECK(data.repaired_texts() == 2);
}

TEST_CASE("a big JSON object is read entry by entry") {
  const Folder root;
  std::string json = "{";
  constexpr int count = 20000;
  for (int i = 0; i < count; ++i)
    json += (i > 0 ? ",\n\"" : "\"") + std::to_string(i) + R"(": {"labels": [0, 1], "tweet_text": "\\\"x)" +
            std::string(static_cast<std::size_t>(i % 300), '{') + "\"}";
  root.add("all.json", json + "}");
  detail::ByteReader reader{detail::open_file(root / "all.json"), "all.json", 1 << 28};
  std::int64_t seen = 0;
  detail::read_tweets(reader, [&](const std::string& id, const detail::Tweet& tweet) {
    const bool is_right = id == std::to_string(seen) && tweet.hateful == 1 && tweet.annotators == 2 &&
                          tweet.text.size() == static_cast<std::size_t>(3 + seen % 300);
    if (!is_right) FAIL("entry " << id);
    ++seen;
  });
  CHECK(seen == count);
}

}  // namespace
}  // namespace sslmeme
