// The Hateful Memes layout: what is read, and how each kind of bad input is named.
#include <sslmeme/core/error.hpp>
#include <sslmeme/data/dataset.hpp>
#include <sslmeme/data/meme_jsonl.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_predicate.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <sys/stat.h>

#include <filesystem>
#include <initializer_list>
#include <string>
#include <string_view>

#include "files.hpp"

namespace sslmeme {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

static_assert(Dataset<MemeJsonl>);

/// A folder with img/1.png and 2.png, blue and red, in the root and lines to be written.
struct MemeFolder : test::TemporaryFolder {
  MemeFolder() {
    fs::create_directory(path / "img");
    Image blue{4, 3}, red{5, 3};
    for (std::size_t i = 0; i < blue.pixels.size(); i += 3) blue.pixels[i + 2] = 255;
    for (std::size_t i = 0; i < red.pixels.size(); i += 3) red.pixels[i] = 255;
    write_png(path / "img" / "1.png", blue);
    write_png(path / "2.png", red);
  }

  void write(const std::string& file, std::initializer_list<std::string_view> lines) const {
    std::string content;
    for (const auto& line : lines) content.append(line) += '\n';
    TemporaryFolder::write(file, content);
  }
};

const std::string first = R"({"id": 1, "img": "img/1.png", "label": 0, "text": "a blue one"})";
const std::string second = R"({"id": 20, "img": "img/2.png", "label": 1, "text": "and a red \u00e9"})";

TEST_CASE("lines become samples, pictures are found under img/ and flat") {
  const MemeFolder folder;
  folder.write("train.jsonl", {first, "", second + "\r"});
  const MemeJsonl data{folder.path, "train"};
  REQUIRE(data.size() == 2);
  CHECK(data.id(1) == 20);
  CHECK(data.label(1) == 1);
  CHECK(data.text(1) == "and a red é");
  CHECK(data.records()[0].picture == "img/1.png");
  CHECK(data.records()[1].picture == "2.png");
  CHECK(data.source(1) == (folder / "2.png").string());
  const auto sample = data.get(1);
  CHECK(sample.picture.width == 5);
  CHECK(sample.picture.pixels[0] == 255);
  CHECK(sample.id == 20);
  CHECK(sample.text == data.text(1));
  CHECK(sample.label == 1);
}

TEST_CASE("a flat path is found under img/, and a blind split has no labels") {
  const MemeFolder folder;
  folder.write("test_seen.jsonl",
               {R"({"id": 1, "img": "1.png", "text": "x", "more": [{"id": "other"}, 1.5, null, true]})"});
  const MemeJsonl data{folder.path, "test_seen"};
  CHECK(data.records()[0].picture == "img/1.png");
  CHECK_FALSE(data.label(0).has_value());
  CHECK_FALSE(data.get(0).label.has_value());
}

TEST_CASE("splits go by the names of both phases, the exact one first") {
  const MemeFolder folder;
  const std::string base = GENERATE("dev", "test");
  folder.write(base + ".jsonl", {first});
  CHECK(MemeJsonl{folder.path, base + "_seen"}.file() == folder / (base + ".jsonl"));
  folder.write(base + "_seen.jsonl", {first, second});
  CHECK(MemeJsonl{folder.path, base + "_seen"}.size() == 2);
  CHECK(MemeJsonl{folder.path, base}.size() == 1);
  fs::remove(folder / (base + ".jsonl"));
  CHECK(MemeJsonl{folder.path, base}.size() == 2);
  CHECK_THROWS_MATCHES(
      MemeJsonl(folder.path, base + "_unseen"), IoError,
      MessageMatches(ContainsSubstring(base + "_unseen.jsonl") && ContainsSubstring("there: " + base + "_seen.jsonl")));
}

TEST_CASE("a missing root or split is answered with what is there") {
  const MemeFolder folder;
  CHECK_THROWS_MATCHES(MemeJsonl(folder.path, "train"), IoError,
                       MessageMatches(ContainsSubstring("no train.jsonl") && ContainsSubstring("no .jsonl file")));
  CHECK_THROWS_MATCHES(MemeJsonl(folder.path, "dev"), IoError,
                       MessageMatches(ContainsSubstring("dev.jsonl or dev_seen.jsonl")));
  CHECK_THROWS_MATCHES(MemeJsonl(folder / "image", "train"), IoError,
                       MessageMatches(ContainsSubstring((folder / "image").string()) && ContainsSubstring(": img")));
  CHECK_THROWS_AS(MemeJsonl(folder.path, ""), InvalidArgument);
  CHECK_THROWS_AS(MemeJsonl(folder.path, "../train"), InvalidArgument);
}

TEST_CASE("a bad line is named by file, line and what is wrong with it") {
  struct Case {
    std::string line, message;
  };
  const auto [line, message] = GENERATE(values<Case>({
      {R"({"id": 3, "img": )", "not JSON"},
      {"[1, 2]", "an array instead of an object"},
      {"17", "a number instead of an object"},
      {"\"x\"", "a string instead of an object"},
      {"null", "null instead of an object"},
      {first + first, "not JSON"},
      {R"({"img": "img/1.png", "text": ""})", "the key \"id\" is missing"},
      {R"({"id": 3, "text": ""})", "the key \"img\" is missing"},
      {R"({"id": 3, "img": "img/1.png"})", "the key \"text\" is missing"},
      {R"({"id": "3", "img": "img/1.png", "text": ""})", "\"id\" must be a whole number from 0, but is a string"},
      {R"({"id": -3, "img": "img/1.png", "text": ""})", "the number -3"},
      {R"({"id": 3.0, "img": "img/1.png", "text": ""})", "the number 3.0"},
      {R"({"id": 18446744073709551615, "img": "img/1.png", "text": ""})", "whole number"},
      {R"({"id": 3, "img": 4, "text": ""})", "\"img\" must be a string"},
      {R"({"id": 3, "img": "img/1.png", "text": null})", "\"text\" must be a string, but is null"},
      {R"({"id": 3, "img": "img/1.png", "text": ["a"]})", "\"text\" must be a string, but is an array"},
      {R"({"id": 3, "img": "img/1.png", "label": 2, "text": ""})",
       "\"label\" must be 0 or 1, or be left out, but is the number 2"},
      {R"({"id": 3, "img": "img/1.png", "label": true, "text": ""})", "but is a boolean"},
      {R"({"id": 3, "id": 4, "img": "img/1.png", "text": ""})", "the key \"id\" stands twice"},
      {R"({"id": 3, "img": "img/1.png", "text": "", "x": {"y": 1, "y": 2}})", "the key \"y\" stands twice"},
      {R"({"id": 1, "img": "img/1.png", "text": ""})", "the id 1 stands in line 1 too"},
      {R"({"id": 3, "img": "img/7.png", "text": ""})", "the picture img/7.png is missing"},
      {R"({"id": 3, "img": "../1.png", "text": ""})", "must be a path within the folder"},
      {R"({"id": 3, "img": "/etc/hostname", "text": ""})", "must be a path within the folder"},
      {R"({"id": 3, "img": "", "text": ""})", "must be a path within the folder"},
      {R"({"id": 3, "img": "img", "text": ""})", "the picture img is missing"},
      {R"({"id": 3, "img": "other/2.png", "text": ""})", "the picture other/2.png is missing"},
      {R"({"id": 3, "img": "img/img/2.png", "text": ""})", "the picture img/img/2.png is missing"},
      {R"({"id": 3, "img": "a\u0000.png", "text": ""})", "the picture \"a\\x00.png\" must be a path within"},
      {R"({"id": 3, "img": "img/1.png", "label": [1], "text": ""})", "but is an array"},
      {R"({"id": 3, "img": "a\nb\u001b[31m", "text": ""})", "the picture a\\nb\\x1B[31m is missing"},
      {R"({"id": 3, "img": ")" + std::string(1 << 19, 'p') + R"(", "text": ""})", "… (524288 bytes) is missing"},
      {"{\"" + std::string(1 << 19, 'k') + R"(": 1, "id": 3, "img": 4, "text": ""})", "\"img\" must be a string"},
      {"{\"k\\n\": 1, \"k\\n\": 2}", "the key \"k\\n\" stands twice"},
      {"{\"id\": " + std::string(1 << 19, '1') + "}", "not JSON: number overflow parsing '111"},
      {"{\"id\": " + std::string(300, '1') + R"(, "img": "1.png", "text": ""})", "but is the number 1"},
      {R"({"id": 3, "img": "1.png", "text": "", "label": )" + std::string(1 << 19, '1') + "}",
       "not JSON: number overflow"},
      {"{\"id\": 3, \"x\": \"" + std::string(1 << 19, 'x'), "not JSON"},
      {R"({"id": 3, "x": )" + std::string(100, '[') + std::string(100, ']') + "}", "nested more than 32 deep"},
      {"{\"id\": 3, \"x\": \"" + std::string(1 << 20, 'x') + "\"}", "longer than 1048576 bytes"},
  }));
  const auto is_short =
      Catch::Matchers::Predicate<std::string>([](const std::string& what) { return what.size() < 600; }, "is short");
  const MemeFolder folder;
  folder.write("train.jsonl", {first, line});
  CAPTURE(line.substr(0, 100));
  CHECK_THROWS_MATCHES(
      MemeJsonl(folder.path, "train"), DataError,
      MessageMatches(ContainsSubstring((folder / "train.jsonl").string() + ":2: ") && ContainsSubstring(message) &&
                     !ContainsSubstring("\n") && !ContainsSubstring("\x1B") && is_short));
}

TEST_CASE("an object may have 256 keys and no more, for each is compared with those before it") {
  const MemeFolder folder;
  const auto line = [](int count) {
    std::string keys = R"({"id": 1, "img": "2.png", "text": "x")";
    for (int i = 3; i < count; ++i) keys += ", \"" + std::to_string(i) + "\": 0";
    return keys + "}";
  };
  folder.write("train.jsonl", {line(256)});
  CHECK(MemeJsonl{folder.path, "train"}.size() == 1);
  folder.write("train.jsonl", {line(257)});
  CHECK_THROWS_MATCHES(MemeJsonl(folder.path, "train"), DataError,
                       MessageMatches(ContainsSubstring("train.jsonl:1: an object of more than 256 keys")));
  folder.write("train.jsonl", {line(60'000)});  // took seconds when all were compared
  CHECK_THROWS_AS(MemeJsonl(folder.path, "train"), DataError);
}

TEST_CASE("the split's file is a regular one within the folder, of a bounded length") {
  const MemeFolder folder, other;
  const auto file = folder / "train.jsonl";
  const auto refused = [&](const std::string& message) {
    CHECK_THROWS_MATCHES(MemeJsonl(folder.path, "train"), IoError, MessageMatches(ContainsSubstring(message)));
  };
  SECTION("a pipe, which must not be waited for") {
    REQUIRE(::mkfifo(file.c_str(), 0600) == 0);
    refused("it is no regular file");
  }
  SECTION("a folder") {
    fs::create_directory(file);
    refused("it is a folder");
  }
  SECTION("a link out") {
    other.write("train.jsonl", {first});
    fs::create_symlink(other / "train.jsonl", file);
    refused("it leads out of the folder");
  }
  SECTION("a device") {
    fs::create_symlink("/dev/zero", file);
    refused("it leads out of the folder");
  }
  SECTION("a link within") {
    folder.write("all.jsonl", {first});
    fs::create_symlink("all.jsonl", file);
    CHECK(MemeJsonl{folder.path, "train"}.size() == 1);
  }
  SECTION("a long one") {
    folder.write("train.jsonl", {first, second});
    CHECK_THROWS_MATCHES(MemeJsonl(folder.path, "train", {.max_file_bytes = 100}), DataError,
                         MessageMatches(ContainsSubstring("more than the limit of 100")));
    CHECK_THROWS_MATCHES(MemeJsonl(folder.path, "train", {.max_records = 1}), DataError,
                         MessageMatches(ContainsSubstring("train.jsonl:2: more than 1 rows")));
  }
  SECTION("a name that no file system takes") {
    CHECK_THROWS_AS(MemeJsonl(folder.path, std::string(5000, 'x')), IoError);
    CHECK_THROWS_AS(MemeJsonl(folder.path, std::string("a\0b", 3)), InvalidArgument);
  }
}

TEST_CASE("a label of null is none, and lines with an id that came before are left out where that is asked for") {
  const MemeFolder folder;
  folder.write("train.jsonl", {R"({"id": 1, "img": "1.png", "label": null, "text": ""})", second, first});
  const MemeJsonl data{folder.path, "train", {.duplicates = DuplicateIds::keep_first}};
  REQUIRE(data.size() == 2);
  CHECK_FALSE(data.label(0).has_value());
  REQUIRE(data.duplicates().size() == 1);
  CHECK(data.duplicates()[0].line == 3);
  CHECK(data.duplicates()[0].first_line == 1);
}

TEST_CASE("a link out of the folder is no picture, one within is") {
  const MemeFolder folder, other;
  fs::create_symlink(other / "2.png", folder / "out.png");
  fs::create_symlink("img/1.png", folder / "in.png");
  folder.write("train.jsonl", {R"({"id": 3, "img": "in.png", "text": ""})"});
  CHECK(MemeJsonl{folder.path, "train"}.get(0).picture.width == 4);
  folder.write("train.jsonl", {R"({"id": 3, "img": "out.png", "text": ""})"});
  CHECK_THROWS_MATCHES(MemeJsonl(folder.path, "train"), DataError,
                       MessageMatches(ContainsSubstring("a link out of the folder")));
}

TEST_CASE("malformed UTF-8 becomes U+FFFD and is counted") {
  const MemeFolder folder;
  folder.write("train.jsonl", {first, "{\"id\": 2, \"img\": \"2.png\", \"text\": \"a\xFFz\xE2\x82\"}",
                               "{\"id\": 3, \"img\": \"2.png\", \"text\": \"�\", \"more\": \"\xFF\"}"});
  const MemeJsonl data{folder.path, "train"};
  CHECK(data.text(1) == "a\uFFFDz\uFFFD");
  CHECK(data.repaired_texts() == 1);  // not that of line 3, whose text is as it was
}

TEST_CASE("a picture that is damaged or went away is named when it is read") {
  const MemeFolder folder;
  folder.write("train.jsonl", {first, second});
  const MemeJsonl data{folder.path, "train"};
  fs::resize_file(folder / "2.png", 40);
  CHECK_THROWS_MATCHES(
      data.get(1), DataError,
      MessageMatches(ContainsSubstring((folder / "2.png").string()) && ContainsSubstring("truncated")));
  fs::remove(folder / "2.png");
  CHECK_THROWS_MATCHES(data.get(1), PictureError, MessageMatches(ContainsSubstring((folder / "2.png").string())));
  CHECK(data.get(0).picture.width == 4);
  CHECK(data.bytes(0).size() == fs::file_size(folder / "img/1.png"));
}

TEST_CASE("AnyDataset and Subset pass everything on") {
  const MemeFolder folder;
  folder.write("train.jsonl", {first, second});
  const AnyDataset data = MemeJsonl{folder.path, "train"};
  const AnyDataset subset = Subset{data, {1, 1, 0}};
  REQUIRE(subset.size() == 3);
  CHECK(subset.id(0) == 20);
  CHECK(subset.id(2) == 1);
  CHECK(subset.text(1) == "and a red é");
  CHECK(subset.label(2) == 0);
  CHECK(subset.source(2) == (folder / "img/1.png").string());
  CHECK(subset.get(0).picture.width == 5);
  CHECK_THROWS_MATCHES(subset.get(3), InvalidArgument, MessageMatches(ContainsSubstring("sample 3 of a dataset of 3")));
  CHECK_THROWS_MATCHES(Subset(data, {0, 2}), InvalidArgument,
                       MessageMatches(ContainsSubstring("index 2 at position 1")));
}

TEST_CASE("a dataset without id, label and text is asked for its samples") {
  struct Plain {
    std::size_t size() const { return 2; }
    Sample get(std::size_t i) const { return {Image{1, 1}, "text", 1, static_cast<std::int64_t>(i + 7)}; }
  };
  const AnyDataset data = Plain{};
  CHECK(data.id(1) == 8);
  CHECK(data.label(0) == 1);
  CHECK(data.text(0) == "text");
  CHECK(data.source(0).empty());
}

}  // namespace
}  // namespace sslmeme
