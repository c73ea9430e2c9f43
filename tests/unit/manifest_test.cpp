// Manifests with columns of any name: what is read, how bad rows are named, and what strangers' files cannot do.
#include "data/manifest.hpp"

#include <sslmeme/core/error.hpp>
#include <sslmeme/data/dataset.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "files.hpp"
#include "open_watch.hpp"
#include "peak_memory.hpp"

namespace sslmeme {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::EndsWith;
using Catch::Matchers::MessageMatches;
using namespace std::string_literals;

static_assert(Dataset<Manifest>);

/// 1.png, img/2.png and other/3.png, as many pixels wide.
struct Pictures : test::TemporaryFolder {
  Pictures() {
    for (const auto* name : {"img", "other"}) fs::create_directory(path / name);
    write_png(path / "1.png", Image{1, 1});
    write_png(path / "img/2.png", Image{2, 1});
    write_png(path / "other/3.png", Image{3, 1});
  }

  void check_refused(const std::string& file, const std::string& message, const ManifestOptions& options = {}) const {
    CHECK_THROWS_MATCHES(Manifest(path, file, options), DataError,
                         MessageMatches(ContainsSubstring((path / file).string() + ":") && ContainsSubstring(message) &&
                                        !ContainsSubstring("\n") && !ContainsSubstring("\x1B")));
  }
};

TEST_CASE("a CSV, a TSV and a JSONL file with the same rows are the same dataset") {
  const Pictures root;
  root.write("a.csv", "text,id,img,more,label\n\"one, two\",7,1.png,,1\nthree,-8,img/2.png,x,\n");
  root.write("a.tsv", "\xEF\xBB\xBFid\timg\ttext\tlabel\r\n7\t1.png\tone, two\t1\r\n-8\timg/2.png\tthree\t");
  root.write("a.jsonl", R"({"id": 7, "img": "1.png", "text": "one, two", "label": 1}
{"id": "-8", "img": "img/2.png", "text": "three", "label": null})");
  const std::string file = GENERATE("a.csv", "a.tsv", "a.jsonl");
  const Manifest data{root.path, file};
  REQUIRE(data.size() == 2);
  CHECK(data.id(0) == 7);
  CHECK(data.id(1) == -8);
  CHECK(data.label(0) == 1);
  CHECK_FALSE(data.label(1).has_value());
  CHECK(data.text(0) == "one, two");
  CHECK(data.source(1) == (root / "img/2.png").string());
  CHECK(data.file() == root / file);
  CHECK(data.get(1).picture.width == 2);
  CHECK(data.get(1).text == "three");
  CHECK(data.get(0).label == 1);
  CHECK(data.bytes(1).size() == fs::file_size(root / "img/2.png"));
  const AnyDataset any = Subset{data, {1}};
  CHECK((any.bytes(0) == data.bytes(1)));
}

TEST_CASE("columns, format, picture folder and labels are as the options say") {
  const Pictures root;
  root.write("list.txt", "file\tkind\n3.png\thateful\n3.png\tbenign\n3.png\t\n");
  const ManifestOptions options{.format = ManifestFormat::tsv,
                                .columns = {.id = "", .picture = "file", .text = "", .label = "kind"},
                                .picture_folder = "other",
                                .labels = {{"hateful", 1}, {"benign", 0}}};
  const Manifest data{root.path, "list.txt", options};
  REQUIRE(data.size() == 3);
  CHECK(data.id(2) == 2);
  CHECK(data.label(0) == 1);
  CHECK(data.label(1) == 0);
  CHECK_FALSE(data.label(2).has_value());
  CHECK(data.text(0).empty());
  CHECK(data.get(0).picture.width == 3);

  root.write("a.jsonl", R"({"i": 1, "p": "1.png", "t": "", "l": true}
{"i": 2, "p": "1.png", "t": "", "l": ["false", "more"]}
{"i": 3, "p": "1.png", "t": ""}
{"i": 4, "p": "1.png", "t": "", "l": 1.5})");
  const Manifest more{root.path,
                      "a.jsonl",
                      {.columns = {.id = "i", .picture = "p", .text = "t", .label = "l"},
                       .labels = {{"true", 5}, {"false", 6}, {"1.5", 7}}}};
  CHECK(more.label(0) == 5);
  CHECK(more.label(1) == 6);
  CHECK_FALSE(more.label(2).has_value());
  CHECK(more.label(3) == 7);
}

TEST_CASE("options that cannot work are refused") {
  const Pictures root;
  root.write("a.csv", "id,img,text,label\n");
  root.write("a.txt", "");
  const auto refused = [&](const ManifestOptions& options, const std::string& message) {
    CHECK_THROWS_MATCHES(Manifest(root.path, "a.csv", options), InvalidArgument,
                         MessageMatches(ContainsSubstring(message)));
  };
  refused({.columns = {.picture = ""}}, ".columns.picture");
  refused({.picture_folder = "../img"}, ".picture_folder is \"../img\"");
  refused({.picture_folder = "/img"}, ".picture_folder");
  refused({.labels = {{"none", -1}}}, ".labels has -1 for \"none\"");
  refused({.max_records = -1}, ".max_records is -1");
  CHECK_THROWS_MATCHES(Manifest(root.path, "a.txt"), InvalidArgument, MessageMatches(ContainsSubstring("set .format")));
  CHECK_THROWS_AS(Manifest(root / "no", "a.csv"), IoError);
  CHECK_THROWS_AS(Manifest(root.path, "b.csv"), IoError);
}

TEST_CASE("ids: whole numbers stay, texts become stable hashes, and hashes cannot hide one another") {
  const Pictures root;
  root.write("a.csv",
             "id,img,text,label\n0042,1.png,,\nabc,1.png,,\n9223372036854775807,1.png,,\n"
             "9223372036854775808,1.png,,\n");
  const Manifest data{root.path, "a.csv"};
  CHECK(data.id(0) == 42);
  CHECK(data.id(1) == 1870638493896925918);  // by Python
  CHECK(data.id(2) == 9223372036854775807);
  CHECK(data.id(3) == detail::stable_id("9223372036854775808"));
  root.write("b.csv", "id,img,text,label\nabc,1.png,,\n1870638493896925918,1.png,,\n");
  root.check_refused("b.csv", "b.csv:3: the ids \"1870638493896925918\" and that of line 2 are the same number");
  root.write("c.csv", "id,img,text,label\nabc,1.png,,\n\nabc,1.png,,\n");
  root.check_refused("c.csv", "c.csv:4: the id abc stands in line 2 too");
}

TEST_CASE("repeated ids are left out and reported where that is asked for") {
  const Pictures root;
  root.write("a.csv", "id,img,text,label\n5,1.png,first,\n6,1.png,,\n5,gone.png,second,\n5,1.png,third,\n");
  const Manifest data{root.path, "a.csv", {.duplicates = DuplicateIds::keep_first}};
  REQUIRE(data.size() == 2);
  CHECK(data.text(0) == "first");
  REQUIRE(data.duplicates().size() == 2);
  CHECK(data.duplicates()[1].id == 5);
  CHECK(data.duplicates()[1].line == 5);
  CHECK(data.duplicates()[1].first_line == 2);
  root.check_refused("a.csv", "a.csv:4: the id 5 stands in line 2 too");
}

TEST_CASE("a bad row is named by file, line and what is wrong with it") {
  struct Case {
    std::string file, content, message;
  };
  const auto [file, content, message] = GENERATE(values<Case>({
      {"a.csv", "", ":1: empty"},
      {"a.csv", "\xEF\xBBid,img,text,label\n", "a.csv:1: begins with a broken byte-order mark"},
      {"a.csv", "id,img,label\n", ":1: no column \"text\"; there: id, img, label"},
      {"a.csv", "id\timg\ttext\tlabel\n",
       ":1: no column \"id\"; there: id\\timg\\ttext\\tlabel: set .columns and .format"},
      {"a.csv", "id,img,text,label,img\n", ":1: the column \"img\" stands twice"},
      {"a.csv", "id,img,text,label\n\n1,1.png,x\n", ":3: 3 fields, but the header has 4"},
      {"a.csv", "id,img,text,label\n1,1.png,\"x\ny\",,\n", ":2: 5 fields, but the header has 4"},
      {"a.csv", "id,img,text,label\n1,1.png,\"x\ny\",2\n2,1.png,\"x",
       ":4: the quote that opens in line 4 is not closed"},
      {"a.csv", "id,img,text,label\n,1.png,,\n", ":2: \"id\" must be a whole number below 2⁶³ or a text"},
      {"a.csv", "id,img,text,label\n1,,,\n", ":2: the picture \"\" must be a path within the folder"},
      {"a.csv", "id,img,text,label\n1,1.png,,1.0\n",
       ":2: \"label\" must be a whole number from 0 or empty, else say in"},
      {"a.csv", "id,img,text,label\n1,1.png,,-1\n", "but is \"-1\""},
      {"a.csv", "id,img,text,label\n1,1.png,,hate\x1B[31m\n", "but is \"hate\\x1B[31m\""},
      {"a.csv", "id,img,text,label\n1,4.png,,\n", ":2: the picture 4.png is missing or a link out of the folder"},
      {"a.csv", "id,img,text,label\n1,other/1.png,,\n", ":2: the picture other/1.png is missing"},
      {"a.csv", "id,img,text,label\n1,2.png,,\n", ":2: the picture 2.png is missing"},
      {"a.csv", "id,img,text,label\n1,../1.png,,\n", "must be a path within"},
      {"a.csv", "id,img,text,label\n1,/etc/hostname,,\n", "must be a path within"},
      {"a.csv", "id,img,text,label\n1,img,,\n", "it is a folder"},
      {"a.csv", "id,img,text,label\n1," + std::string(5000, 'x') + ",,\n", "… (5000 bytes)"},
      {"a.csv", "id,img,text,label\n1,1.png/x,,\n", "the picture 1.png/x is missing"},
      {"a.csv", "id,img,text,label\n1,\"a\nb\",,\n", "the picture a\\nb is missing"},
      {"a.csv", "id,img,text,label\n1,1.png,a\0b,\n"s, ":2: a NUL byte"},
      {"a.tsv", std::string(5000, '\t'), ":1: more than 1024 fields"},
      {"a.jsonl", R"({"id": 3.5, "img": "1.png", "text": ""})", "must be a whole number below 2⁶³ or a text"},
      {"a.jsonl", R"({"id": 9223372036854775808, "img": "1.png", "text": ""})",
       "but is the number 9223372036854775808"},
      {"a.jsonl", R"({"id": "", "img": "1.png", "text": ""})", "but is \"\""},
      {"a.jsonl", R"({"id": null, "img": "1.png", "text": ""})", "but is null"},
      {"a.jsonl", R"({"id": 1, "img": "a\u0000b", "text": ""})", "\"a\\x00b\" must be a path"},
      {"a.jsonl", R"({"id": 1, "img": "1.png", "text": "", "label": {}})", "but is an object"},
      {"a.jsonl", R"({"id": 1, "img": "1.png", "text": "", "label": []})", "but is an array"},
      {"a.jsonl", R"({"id": 1, "img": "1.png", "text": "", "label": [[1]]})", "but is an array"},
      {"a.jsonl", R"({"id": 1, "img": "1.png", "text": "", "label": "x"})", "but is \"x\""},
      {"a.jsonl", R"({"id": 1, "img": "1.png"})", "the key \"text\" is missing"},
      {"a.jsonl", "\0\0"s, "not JSON"},
  }));
  const Pictures root;
  root.write(file, content);
  CAPTURE(content.substr(0, 100));
  root.check_refused(file, message);
}

TEST_CASE("a missing picture is told apart, at once or when it is read") {
  const Pictures root;
  root.write("a.csv", "id,img,text,label\n1,1.png,,\n2,gone.png,,\n");
  CHECK_THROWS_AS(Manifest(root.path, "a.csv"), PictureError);
  const Manifest data{root.path, "a.csv", {.check_pictures = false}};
  CHECK(data.get(0).picture.width == 1);
  const auto fault = [](const auto& read) {
    try {
      read();
    } catch (const PictureError& error) {
      CHECK_THAT(error.what(), ContainsSubstring("gone.png"));
      return error.fault();
    }
    return PictureFault::corrupt;
  };
  CHECK(fault([&] { data.get(1); }) == PictureFault::missing);
  CHECK(fault([&] { data.bytes(1); }) == PictureFault::missing);
  fs::create_symlink("/dev/zero", root / "gone.png");
  CHECK(fault([&] { data.get(1); }) == PictureFault::missing);
  const Manifest small{root.path, "a.csv", {.limits = {.max_bytes = 10}, .check_pictures = false}};
  CHECK_THROWS_MATCHES(small.bytes(0), PictureError, MessageMatches(ContainsSubstring("more than the limit of 10")));
}

TEST_CASE("what lies outside the folder, and pipes within, are not opened even for a moment") {
  const Pictures root, outside;
  REQUIRE(::mkfifo((root / "pipe.png").c_str(), 0600) == 0);
  fs::create_symlink("pipe.png", root / "to_pipe.png");
  fs::create_symlink(outside / "1.png", root / "out.png");
  fs::create_symlink(fs::path{".."} / outside.path.filename() / "1.png", root / "up.png");
  root.write("a.csv", "id,img,text,label\n1,pipe.png,,\n2,to_pipe.png,,\n3,out.png,,\n4,up.png,,\n5,1.png,,\n");
  const test::OpenWatch pipe{root / "pipe.png"}, stranger{outside / "1.png"}, own{root / "1.png"};
  // As csv and the presets are read by the programs: a picture that cannot be used is one sample's trouble.
  const Manifest data{root.path, "a.csv", {.check_pictures = false}};
  REQUIRE(data.size() == 5);
  for (std::size_t i = 0; i < 4; ++i) {
    CAPTURE(i);
    const auto why = MessageMatches(ContainsSubstring(i < 2 ? "it is no regular file" : "it leads out of the folder"));
    CHECK_THROWS_MATCHES(data.get(i), PictureError, why);
    CHECK_THROWS_MATCHES(data.bytes(i), PictureError, why);
  }
  root.check_refused("a.csv", ":2: the picture pipe.png is missing");
  CHECK_FALSE(pipe.opened());
  CHECK_FALSE(stranger.opened());
  CHECK(data.get(4).picture.width == 1);
  CHECK(own.opened());  // so the watch sees what there is to see
}

TEST_CASE("caps on the file and its rows hold") {
  const Pictures root;
  root.write("a.csv", "id,img,text,label\n1,1.png,,\n2,1.png,,\n");
  const auto bytes = static_cast<std::int64_t>(fs::file_size(root / "a.csv"));
  CHECK(Manifest(root.path, "a.csv", {.max_file_bytes = bytes, .max_records = 2}).size() == 2);
  CHECK_THROWS_MATCHES(Manifest(root.path, "a.csv", {.max_file_bytes = bytes - 1}), DataError,
                       MessageMatches(ContainsSubstring("raise .max_file_bytes")));
  root.check_refused("a.csv", "a.csv:3: more than 1 rows", {.max_records = 1});
}

TEST_CASE("malformed UTF-8 in a cell becomes U+FFFD; texts that held some are counted") {
  const Pictures root;
  root.write("a.csv", "id,img,text,label,more\n1,1.png,a\xFFz,,\n2,1.png,\uFFFD,,\xFF\n\xFF,1.png,,,\n");
  const Manifest data{root.path, "a.csv"};
  CHECK(data.text(0) == "a\uFFFDz");
  CHECK(data.id(2) == detail::stable_id("\uFFFD"));
  CHECK(data.repaired_texts() == 1);
}

TEST_CASE("the manifest itself is a regular file within the root") {
  const Pictures root, outside;
  const std::string header = "id,img,text,label\n";
  outside.write("a.csv", header);
  const auto refused = [&](const std::string& file, const std::string& message) {
    CHECK_THROWS_MATCHES(Manifest(root.path, file), IoError, MessageMatches(ContainsSubstring(message)));
  };
  fs::create_symlink(outside / "a.csv", root / "out.csv");
  refused("out.csv", "it leads out of the folder");
  refused("../" + outside.path.filename().string() + "/a.csv", "it leads out of the folder");
  refused((outside / "a.csv").string(), "it leads out of the folder");
  REQUIRE(::mkfifo((root / "pipe.csv").c_str(), 0600) == 0);
  refused("pipe.csv", "it is no regular file");
  fs::create_directory(root / "folder.csv");
  refused("folder.csv", "it is a folder");
  fs::create_symlink("/dev/zero", root / "zero.csv");
  refused("zero.csv", "it leads out of the folder");
  fs::create_symlink("loop.csv", root / "loop.csv");
  refused("loop.csv", "cannot open");
  refused("a\0.csv"s, "cannot open");
  fs::create_directory_symlink("img", root / "in");
  root.write("img/b.csv", header);
  CHECK(Manifest(root.path, "in/b.csv").size() == 0);
  CHECK_THROWS_MATCHES(Manifest("/dev", "null", {.format = ManifestFormat::csv}), IoError,
                       MessageMatches(ContainsSubstring("it is no regular file")));
}

TEST_CASE("folders are not left, by the kernel's word or step by step") {
  const Pictures root, outside;
  fs::create_symlink("img/2.png", root / "in.png");
  fs::create_symlink("../1.png", root / "img/up.png");
  fs::create_directory_symlink("../img", root / "other/img");
  fs::create_symlink("../img/../other/img/up.png", root / "other/long.png");
  fs::create_symlink(fs::path{".."} / outside.path.filename() / "1.png", root / "out.png");
  fs::create_symlink(root / "1.png", root / "absolute.png");
  fs::create_symlink("round", root / "round");
  fs::create_symlink("nowhere", root / "broken");
  const detail::FileDescriptor folder{::open(root.path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  const auto width = [&](const std::string& name) {  // of the picture, or minus errno
    using detail::open_beneath, detail::open_beneath_by_steps;
    const auto one = open_beneath(folder, name, O_RDONLY);
    const int code = errno;
    const auto other = open_beneath_by_steps(folder, name, O_RDONLY);
    const int other_code = errno;
    CAPTURE(name, code, other_code);
    CHECK(one.valid() == other.valid());
    if (!one.valid() || !other.valid()) {
      CHECK(code == other_code);
      return -code;
    }
    const auto bytes = detail::read_bytes(one, 1000, name);
    CHECK((detail::read_bytes(other, 1000, name) == bytes));
    return decode_image(bytes).width;
  };
  CHECK(width("1.png") == 1);
  CHECK(width("./img//2.png") == 2);
  CHECK(width("img/../1.png") == 1);
  CHECK(width("in.png") == 2);
  CHECK(width("img/up.png") == 1);
  CHECK(width("other/img/2.png") == 2);
  CHECK(width("other/img/../1.png") == 1);
  CHECK(width("other/long.png") == 1);
  CHECK(width("out.png") == -EXDEV);
  CHECK(width("../" + root.path.filename().string() + "/1.png") == -EXDEV);
  CHECK(width("img/../../1.png") == -EXDEV);
  CHECK(width((root / "1.png").string()) == -EXDEV);
  CHECK(width("absolute.png") == -EXDEV);
  CHECK(width("round") == -ELOOP);
  CHECK(width("broken") == -ENOENT);
  CHECK(width("") == -ENOENT);
  CHECK(width("4.png") == -ENOENT);
  CHECK(width("1.png/x") == -ENOTDIR);
  CHECK(width(std::string(5000, 'x')) == -ENAMETOOLONG);
  CHECK(detail::open_beneath_by_steps(folder, "other/img", O_RDONLY | O_DIRECTORY).valid());
  CHECK(detail::open_beneath_by_steps(folder, ".", O_RDONLY | O_DIRECTORY).valid());
}

TEST_CASE("a folder says what it holds, or the true reason why it cannot") {
  const test::TemporaryFolder root, outside;
  fs::create_directories(root / "in/deep");
  REQUIRE(::mkfifo((root / "in/pipe").c_str(), 0600) == 0);
  root.write("in/file", "");
  root.write("in/.hidden", "");
  fs::create_symlink("file", root / "in/to_file");
  fs::create_directory_symlink("../in/deep", root / "in/to_folder");
  fs::create_symlink("pipe", root / "in/to_pipe");
  fs::create_symlink("nowhere", root / "in/broken");
  fs::create_directory_symlink(outside.path, root / "out");
  fs::create_symlink("round", root / "round");
  const detail::Folder folder{root.path};
  using Kind = detail::Folder::Kind;
  std::vector<std::pair<std::string, Kind>> found;
  for (const auto& [name, kind] : folder.entries("in", 7)) found.emplace_back(name, kind);
  CHECK((found == std::vector<std::pair<std::string, Kind>>{{"broken", Kind::astray},
                                                            {"deep", Kind::folder},
                                                            {"file", Kind::file},
                                                            {"pipe", Kind::other},
                                                            {"to_file", Kind::file},
                                                            {"to_folder", Kind::folder},
                                                            {"to_pipe", Kind::other}}));
  CHECK_THROWS_MATCHES(folder.entries("in", 6), DataError, MessageMatches(ContainsSubstring("more files")));
  CHECK(folder.names(3) == std::vector<std::string>{"in", "out", "round"});
  CHECK(folder.names(2).size() == 2);

  const auto [name, why] = GENERATE(values<std::pair<std::string, std::string>>({
      {"gone", "No such file or directory"},
      {"in/file", "Not a directory"},
      {"round", "Too many levels of symbolic links"},
      {"out", "it leads out of the folder"},
  }));
  CHECK_THROWS_MATCHES(folder.entries(name, 10), IoError,
                       MessageMatches(ContainsSubstring("cannot list") && EndsWith(": " + why)));
}

TEST_CASE("text is trimmed, lowered, repaired and read as a number") {
  CHECK(detail::trimmed(" \t\v a b\r\n\f") == "a b");
  CHECK(detail::trimmed(" \n ").empty());
  CHECK(detail::ascii_lower("JPG@[É") == "jpg@[É");
  CHECK(detail::whole_number("-9223372036854775808") == std::numeric_limits<std::int64_t>::min());
  CHECK(detail::natural_number("9223372036854775807") == std::numeric_limits<std::int64_t>::max());
  for (const auto* text : {"", "-", "+1", " 1", "1 ", "1.0", "9223372036854775808"})
    CHECK_FALSE(detail::whole_number(text));
  CHECK_FALSE(detail::natural_number("-1"));
  CHECK_FALSE(detail::natural_number("-0"));
  // As b"…".decode("utf-8", "replace") in Python has it: one for a character that is cut off.
  CHECK(detail::repaired_utf8("\xFFé\xC3"s + "a\xE2\x82"s, "?") == "?é?a?");
  CHECK(detail::repaired_utf8("\xF0\x9F\x98z\xF0\x9F\xE2\x82é", "?") == "?z??é");
  CHECK(detail::repaired_utf8("\xE0\x80\x80\xED\xA0\x80\xF5\x80", "?") == "????????");  // none begins so
  CHECK(detail::repaired_utf8("plain é") == "plain é");
}

TEST_CASE("what strangers wrote is shown short and without its tricks") {
  CHECK(detail::in_quotes("plain é") == "\"plain é\"");
  CHECK(detail::shown("a\nb\x1B[0m\x7F\xFF\u202Ez\u0085") == "a\\nb\\x1B[0m\\x7F\\xFF\\u202Ez\\u0085");
  CHECK(detail::shown(std::string(80, 'x')) == std::string(80, 'x'));
  CHECK(detail::shown(std::string(81, 'x')) == std::string(80, 'x') + "… (81 bytes)");
  CHECK(detail::shown("ééé", 2) == "éé… (6 bytes)");
  const std::vector<std::string> names(12, "a");
  CHECK(detail::listed(names) == "a, a, a, a, a, a, a, a, a, a, …");
}

TEST_CASE("a line of 1 GB ends soon and takes no memory to speak of") {
  struct Case {
    std::string file, begin, message;
  };
  const auto [file, begin, message] = GENERATE(values<Case>({
      {"a.jsonl", "", ":1: longer than 1048576 bytes"},
      {"a.jsonl", "{\"id\": \"", ":1: longer than 1048576 bytes"},
      {"a.csv", "", ":1: a NUL byte"},
      {"a.csv", "id,img,text,label\n1,1.png,", ":2: a row of more than 1048576 bytes"},
      {"a.csv", "id,img,text,label\n1,1.png,\"", ":2: a row of more than 1048576 bytes"},
      {"a.tsv", "id\timg\ttext\tlabel\n1\t1.png\t", ":2: a row of more than 1048576 bytes"},
      {"a.tsv", "id\timg\ttext\tlabel\n1\t1.png\t\"", ":2: a row of more than 1048576 bytes"},
  }));
  CAPTURE(file, begin);
  const Pictures root;
  // Past the cap the file is a hole: whoever reads on meets NUL bytes.
  root.write(file, begin.empty() ? begin : begin + std::string(detail::max_row_bytes, 'x'));
  fs::resize_file(root / file, std::uintmax_t{1} << 30);
  const auto start = std::chrono::steady_clock::now();
  CHECK(test::peak_growth([&] { root.check_refused(file, message); }) < 64 * 1024);  // KiB
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds{5});
  fs::resize_file(root / file, (std::uintmax_t{1} << 30) + 1);
  CHECK_THROWS_MATCHES(Manifest(root.path, file), DataError,
                       MessageMatches(ContainsSubstring("raise .max_file_bytes")));
}

TEST_CASE("the time that rows take is linear in their number") {
  const Pictures root;
  const std::string file = GENERATE("a.jsonl", "a.csv");
  const auto seconds = [&](std::size_t count) {
    std::string content = file == "a.csv" ? "id,img,text,label\n" : "";
    for (std::size_t i = 0; i < count; ++i) {
      content += file == "a.csv" ? fmt::format("{},2.png,words,1\n", i)
                                 : fmt::format("{{\"id\": {}, \"img\": \"2.png\", \"text\": \"words\"}}\n", i);
    }
    root.write(file, content);
    const auto begin = std::chrono::steady_clock::now();
    CHECK(Manifest(root.path, file, {.check_pictures = false}).size() == count);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  };
  constexpr std::size_t few = 20'000, many = 8 * few;
  const auto time_of_few = std::max(seconds(few), seconds(few)), time_of_many = std::min(seconds(many), seconds(many));
  CHECK(time_of_many < 24 * time_of_few);  // 8 if it is linear, 64 if quadratic
}

}  // namespace
}  // namespace sslmeme
