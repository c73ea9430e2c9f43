// Tar shards: what WebDataset packs is read as the same samples in a folder are, and each kind of bad archive is named.
#include <sslmeme/core/error.hpp>
#include <sslmeme/data/dataset.hpp>
#include <sslmeme/data/loader.hpp>
#include <sslmeme/data/meme_jsonl.hpp>
#include <sslmeme/data/tar_shards.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "files.hpp"
#include "open_watch.hpp"
#include "tar_files.hpp"

namespace sslmeme {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using test::checked, test::member, test::tar;
using namespace std::string_literals;

static_assert(Dataset<TarShards>);
static_assert(Sampler<ShardOrder>);

/// The bytes of a PNG whose pixels tell `number`.
std::string picture(int number) {
  Image image{6, 5};
  for (std::size_t i = 0; i < image.pixels.size(); ++i)
    image.pixels[i] = static_cast<std::uint8_t>(static_cast<std::size_t>(number) * 37 + i * 5);
  const auto bytes = encode_png(image);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string sample(const std::string& key, int number = 0) {
  return member(key + ".png", picture(number));
}

/// Shards of `sizes` samples, with ids from 0 on, in which a sample's picture, words and label tell its id.
std::vector<fs::path> write_shards(const test::TemporaryFolder& folder, const std::vector<int>& sizes) {
  std::vector<fs::path> shards;
  int number = 0;
  for (const int size : sizes) {
    std::string content;
    for (int i = 0; i < size; ++i, ++number) {
      const auto key = std::to_string(number);
      content += member(key + ".png", picture(number)) + member(key + ".txt", "meme " + key + "\n") +
                 member(key + ".cls", std::to_string(number % 2));
    }
    shards.push_back(folder.write("memes-" + std::to_string(shards.size()) + ".tar", tar(content)));
  }
  return shards;
}

TEST_CASE("shards hold the samples that a folder holds") {
  const test::TemporaryFolder folder;
  std::string lines;
  for (int i = 0; i < 7; ++i) {
    const auto number = std::to_string(i);
    folder.write(number + ".png", picture(i));
    lines += R"({"id": )" + number + R"(, "img": ")" + number + R"(.png", "label": )" + std::to_string(i % 2) +
             R"(, "text": "meme )" + number + "\"}\n";
  }
  folder.write("train.jsonl", lines);
  const AnyDataset files = MemeJsonl{folder.path, "train"}, packed = TarShards{write_shards(folder, {3, 4})};
  REQUIRE(packed.size() == files.size());
  for (std::size_t i = 0; i < files.size(); ++i) {
    CAPTURE(i);
    const auto expected = files.get(i), got = packed.get(i);
    CHECK(got.picture == expected.picture);
    CHECK(got.text == expected.text);
    CHECK(got.label == expected.label);
    CHECK(got.id == expected.id);
    CHECK(packed.id(i) == files.id(i));
    CHECK(packed.text(i) == files.text(i));
    CHECK(packed.label(i) == files.label(i));
    CHECK((packed.bytes(i) == files.bytes(i)));
  }
  CHECK(packed.source(3) == (folder / "memes-1.tar").string() + ":3.png");
}

TEST_CASE("what Python's tarfile writes is read as WebDataset reads it", "[golden]") {
  const std::string format = GENERATE("ustar", "gnu", "pax");
  CAPTURE(format);
  const TarShards data{{fs::path{SSLMEME_TEST_DATA} / "shards" / (format + ".tar")}};
  const auto expected = test::golden_samples(fs::path{SSLMEME_TEST_DATA} / "shards" / "expected.json", format);
  REQUIRE(data.size() == expected.size());
  for (std::size_t i = 0; i < data.size(); ++i) {
    CAPTURE(i);
    CHECK_THAT(data.source(i), ContainsSubstring(":" + expected[i].key.substr(0, 60)));
    CHECK(data.text(i) == expected[i].text);
    CHECK(data.label(i) == expected[i].label);
    CHECK(data.bytes(i).size() == expected[i].picture_bytes);
    CHECK(data.get(i).picture.width == 3);
  }
}

TEST_CASE("batches are the same whatever the number of workers") {
  const test::TemporaryFolder folder;
  const TarShards data{write_shards(folder, {5, 3, 6, 4})};
  const auto batches = [&](int workers) {
    DataLoader loader{data,
                      Views{{.size = 8, .transform = Resize{.width = 8, .height = 8}}},
                      {.batch_size = 4,
                       .workers = workers,
                       .seed = 3,
                       .drop_last = false,
                       .sampler = ShardOrder{data.shard_sizes(), {.window = 5}}}};
    std::vector<Batch> all;
    loader.start_epoch(1);
    while (auto batch = loader.next()) all.push_back(std::move(*batch));
    return all;
  };
  const auto expected = batches(0);
  REQUIRE(expected.size() == 5);
  const int workers = GENERATE(1, 2, 4);
  const auto got = batches(workers);
  REQUIRE(got.size() == expected.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    CHECK(torch::equal(got[i].ids, expected[i].ids));
    CHECK(torch::equal(got[i].labels, expected[i].labels));
    CHECK(torch::equal(got[i].views[0], expected[i].views[0]));
  }
}

TEST_CASE("many threads read from more shards than stay open") {
  const test::TemporaryFolder folder;
  const TarShards data{write_shards(folder, std::vector<int>(20, 2))};
  std::vector<std::thread> threads;
  std::vector<int> wrong(4);
  for (std::size_t t = 0; t < wrong.size(); ++t) {
    threads.emplace_back([&, t] {
      for (std::size_t k = 0; k < 200; ++k) {
        const auto i = (k * 7 + t * 11) % data.size();
        wrong[t] += data.text(i) != "meme " + std::to_string(i);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(wrong == std::vector<int>(4));
}

TEST_CASE("members make samples by their keys") {
  const test::TemporaryFolder folder;
  const auto read = [&](const std::string& content, const TarShardOptions& options = {}) {
    return TarShards{{folder.write("a.tar", tar(content))}, options};
  };

  SECTION("words and labels, of .json where .txt and .cls are missing") {
    const auto data =
        read(sample("1") + member("1.json", R"({"caption": "from json \u00e9", "label": 3, "more": {"label": "x"}})") +
             sample("2") + member("2.json", R"({"text": "one", "caption": "two", "label": null})") + sample("3") +
             member("3.json", R"({"text": "one", "label": 1})") + member("3.txt", "own\r\n") + member("3.cls", " 5\n") +
             sample("4"));
    REQUIRE(data.size() == 4);
    CHECK(data.text(0) == "from json é");
    CHECK(data.label(0) == 3);
    CHECK(data.text(1) == "one");
    CHECK_FALSE(data.label(1).has_value());
    CHECK(data.text(2) == "own");
    CHECK(data.label(2) == 5);
    CHECK(data.text(3).empty());
    CHECK_FALSE(data.label(3).has_value());
  }
  SECTION("keys of .json have any names") {
    const auto data =
        read(sample("1") + member("1.json", R"({"TEXT": "words", "label": "not this one", "hateful": 1})"),
             {.text_keys = {"TEXT"}, .label_key = "hateful"});
    CHECK(data.text(0) == "words");
    CHECK(data.label(0) == 1);
  }
  SECTION("malformed UTF-8 becomes U+FFFD") {
    CHECK(read(sample("1") + member("1.txt", "a\xFFz")).text(0) == "a\uFFFDz");
  }
  SECTION("the key is the path up to the first dot, the extension the rest") {
    const auto data = read(member("dir.d/a.PNG", picture(0)) + member("dir.d/a.seg.png", "other") +
                           member("dir.d/a.npy", "x") + member("./b.png", picture(1)));
    REQUIRE(data.size() == 2);
    CHECK(data.source(0).ends_with("a.tar:dir.d/a.png"));
    CHECK(data.source(1).ends_with("a.tar:b.png"));
  }
  SECTION("hidden files, names without a dot, folders and what describes the shard are passed over") {
    const auto data = read(member("dir/", "", '5') + member("README", "x") + member("._1.png", "x") +
                           member("__meta__/1.png", "x") + sample("1"));
    CHECK(data.size() == 1);
  }
  SECTION("ids are the numbers, else a hash that stays when a shard is moved") {
    const auto id = read(sample("a")).id(0);
    CHECK(id == 3886667648544812649);  // for ever: dice come from it
    fs::create_directory(folder / "moved");
    CHECK(TarShards{{folder.write("moved/a.tar", tar(sample("0") + sample("a")))}}.id(1) == id);
    CHECK(TarShards{{folder.write("b.tar", tar(sample("a")))}}.id(0) != id);
    CHECK(read(sample("007")).id(0) == 7);
    CHECK(read(sample("007"), {.number_ids = false}).id(0) != 7);
    CHECK(read(sample("9223372036854775808")).id(0) >= 0);  // 2^63: no id, so hashed
  }
  SECTION("ids that meet") {
    const auto a = folder.write("a.tar", tar(sample("1"))), b = folder.write("b.tar", tar(sample("1")));
    CHECK_THROWS_MATCHES(
        TarShards({a, b}), DataError,
        MessageMatches(ContainsSubstring("a.tar:1.png and ") && ContainsSubstring("b.tar:1.png") &&
                       ContainsSubstring("the same id 1") && ContainsSubstring(".number_ids = false")));
    CHECK(TarShards({a, b}, {.number_ids = false}).size() == 2);
    fs::create_directory(folder / "c");
    const auto c = folder.write("c/a.tar", tar(sample("1")));
    CHECK_THROWS_MATCHES(TarShards({a, c}, {.number_ids = false}), DataError,
                         MessageMatches(ContainsSubstring("different file names")));
  }
}

TEST_CASE("a sample that is none is named") {
  struct Case {
    std::string content, message;
  };
  const auto [content, message] = GENERATE(values<Case>({
      {sample("1") + member("2.txt", "x") + sample("3"), "sample 2 has no .jpg"},
      {sample("1") + member("2.txt", "x"), "sample 2 has no .jpg"},
      {sample("1") + member("1.jpg", "x"), "member 1.jpg is a second picture"},
      {sample("1") + member("1.txt", "x") + member("1.TXT", "y"), "member 1.TXT is a second text"},
      {sample("1") + member("1.cls", "1") + member("1.cls", "1"), "second label"},
      {sample("1") + sample("2") + sample("1", 1), "the key 1 stands twice"},
      {sample("a") + sample("b") + member("a.txt", "x") + sample("a"), "the key a stands twice"},
      {member("README", "x"), "no sample"},
  }));
  const test::TemporaryFolder folder;
  CHECK_THROWS_MATCHES(
      TarShards({folder.write("a.tar", tar(content))}), DataError,
      MessageMatches(ContainsSubstring((folder / "a.tar").string() + ": ") && ContainsSubstring(message)));
}

TEST_CASE("members that cannot be used are named when they are read") {
  const test::TemporaryFolder folder;
  const auto read = [&](const std::string& content, const TarShardOptions& options = {}) {
    return TarShards{{folder.write("a.tar", tar(content))}, options};
  };
  // Catch's matchers refer to their parts, so they cannot be returned.
  const auto check = [&]<class E>(const E&, const auto& call, const std::string& member_name, const std::string& what) {
    CHECK_THROWS_MATCHES(call(), E,
                         MessageMatches(ContainsSubstring("a.tar:" + member_name + ": ") && ContainsSubstring(what)));
  };
  const DataError data_error{""};
  const PictureError picture_error{PictureFault::corrupt, ""};

  SECTION("labels") {
    const std::string label = GENERATE("-1", "1.5", "", " ", "one", "9223372036854775808", "1 2");
    const auto data = read(sample("1") + member("1.cls", label));
    check(data_error, [&] { return data.label(0); }, "1.cls", "is no label");
  }
  SECTION("objects") {
    struct Case {
      std::string json, message;
    };
    const auto [json, message] = GENERATE(values<Case>({
        {"{", "not JSON"},
        {"[1]", "array instead of an object"},
        {"", "not JSON"},
        {"{\xC3\xA9", "not JSON"},  // whose message would cut the character
        {R"({"label": -1})", "must be a whole number from 0, null, or be left out, but is -1"},
        {R"({"label": true})", "but is true"},
        {R"({"label": 1.0})", "but is 1.0"},
        {R"({"label": 18446744073709551615})", "whole number"},
        {R"({"text": 4})", "\"text\" must be a string, but is number"},
        {R"({"label": 1, "label": 0})", "the key \"label\" stands twice"},
        {R"({"x": )" + std::string(100, '[') + std::string(100, ']') + "}", "nested more than 32 deep"},
    }));
    const auto data = read(sample("1") + member("1.json", json));
    check(data_error, [&] { return data.get(0); }, "1.json", message);
  }
  SECTION("pictures") {
    const auto damaged = read(member("1.png", picture(0).substr(0, 60)));
    check(picture_error, [&] { return damaged.get(0); }, "1.png", "runcated");
    const auto wide = read(sample("1"), {.limits = {.max_pixels = 29}});
    check(picture_error, [&] { return wide.get(0); }, "1.png", "6 × 5");
    const auto heavy = read(sample("1"), {.limits = {.max_bytes = 40}});
    check(picture_error, [&] { return heavy.get(0); }, "1.png", ".limits.max_bytes");
    check(picture_error, [&] { return heavy.bytes(0); }, "1.png", ".limits.max_bytes");
  }
  SECTION("words beyond the limit") {
    const TarShardOptions options{.max_text_bytes = 100};
    CHECK(read(sample("1") + member("1.txt", std::string(100, 'x')), options).text(0).size() == 100);
    const auto data = read(sample("1") + member("1.txt", std::string(101, 'x')), options);
    check(data_error, [&] { return data.text(0); }, "1.txt", ".max_text_bytes");
  }
}

TEST_CASE("an archive that is damaged, cut off or not plain is named") {
  const test::TemporaryFolder folder;
  const auto check = [&](const std::string& bytes, const std::string& message, const TarShardOptions& options = {}) {
    CAPTURE(message);
    CHECK_THROWS_MATCHES(
        TarShards({folder.write("a.tar", bytes)}, options), DataError,
        MessageMatches(ContainsSubstring((folder / "a.tar").string() + ": ") && ContainsSubstring(message)));
  };
  const auto with_field = [](std::size_t at, const std::string& value) {
    auto bytes = sample("1");
    bytes.replace(at, value.size(), value);
    return tar(sample("0") + checked(bytes));
  };
  constexpr std::size_t size_field = 124;

  SECTION("compressed") {
    check("\x1F\x8B\x08"s + std::string(600, 'x'), "compressed by gzip: samples are read from any place, so unpack it");
    check("\x28\xB5\x2F\xFD"s + std::string(600, 'x'), "compressed by zstd");
    check("BZh"s + std::string(600, 'x'), "compressed by bzip2");
    check("\xFD"s + "7zXZ" + std::string(600, 'x'), "compressed by xz");
  }
  SECTION("no archive") {
    check("", "empty file");
    check(std::string(511, '\0'), "shorter than a header");
    check(picture(0) + std::string(600, 'x'), "no tar archive: its first header's checksum is wrong");
  }
  SECTION("cut off anywhere") {
    const auto whole = sample("0") + sample("1") + member("1.txt", "x");
    for (const std::size_t left : {whole.size() - 1, whole.size() - 512, whole.size() - 513, whole.size() - 700,
                                   whole.size() - 1024, std::size_t{700}, std::size_t{513}, std::size_t{512}}) {
      check(whole.substr(0, left), "truncated");
    }
    check(whole, "a header or the end's zeros are missing");
    CHECK(TarShards{{folder.write("a.tar", whole + std::string(512, '\0'))}}.size() == 2);  // one empty block will do
  }
  SECTION("data after the end") {
    check(tar(sample("0")) + tar(sample("1")), "data follow the archive's end");
    check(tar(sample("0")) + std::string(2 << 20, '\0'), "data follow the archive's end");
    check(sample("0") + std::string(512, '\0') + sample("1"), "data follow the archive's end");
  }
  SECTION("checksum") {
    auto bytes = tar(sample("0") + sample("1"));
    bytes[sample("0").size() + 3] ^= 1;
    check(bytes, "damaged: the header at byte 1024 has a wrong checksum");
  }
  SECTION("sizes") {
    check(with_field(size_field, "77777777777"), "member 1.png: claims 8589934591 bytes, but ");
    check(with_field(size_field, "777777777777"), "claims 68719476735 bytes");
    check(with_field(size_field, "0000000009 "), "its size is \"0000000009\", no octal number");
    check(with_field(size_field, "-0000000001"), "no octal number");
    check(with_field(size_field, "0x000000010"), "no octal number");
    check(with_field(size_field, "\x80\x7F" + std::string(10, '\xFF')), "its size has over 63 bits");
    check(with_field(size_field, "\x80"s + std::string(3, '\0') + "\x7F" + std::string(7, '\xFF')),
          "claims 9223372036854775807 bytes");
    check(with_field(size_field, std::string(12, '\xFF')), "its size is negative");
  }
  SECTION("sizes in base 256") {
    auto bytes = sample("1");
    bytes.replace(size_field, 12,
                  "\x80"s + std::string(9, '\0') + static_cast<char>(picture(0).size() >> 8) +
                      static_cast<char>(picture(0).size() & 0xFF));
    const TarShards data{{folder.write("a.tar", tar(checked(bytes)))}};
    CHECK(data.bytes(0).size() == picture(0).size());
  }
  SECTION("kinds") {
    check(tar(sample("0") + member("1.png", "", '1')), "member 1.png: a link: pack the files themselves");
    check(tar(sample("0") + member("1.png", "", '2')), "a link");
    check(tar(sample("0") + member("1.png", "", '3')), "a device");
    check(tar(sample("0") + member("1.png", "", '4')), "a device");
    check(tar(sample("0") + member("1.png", "", '6')), "a pipe");
    check(tar(sample("0") + member("1.png", "", 'S')), "a sparse file");
    check(tar(sample("0") + member("1.png", "", 'M')), "multi-volume");
    check(tar(sample("0") + member("1.png", "", 'Q')), "of a kind that POSIX does not define");
    check(tar(member("dir/", "x", '5') + sample("1")), "a folder or label of 1 bytes");
  }
  SECTION("too many members") {
    const std::string content = sample("0") + sample("1") + sample("2");
    CHECK(TarShards({folder.write("a.tar", tar(content))}, {.max_members = 3}).size() == 3);
    check(tar(content), "more than 2 members: pack fewer or raise .max_members", {.max_members = 2});
  }
}

TEST_CASE("extended headers") {
  const test::TemporaryFolder folder;
  const auto read = [&](const std::string& content) { return TarShards{{folder.write("a.tar", tar(content))}}; };
  const auto check = [&](const std::string& content, const std::string& message) {
    CAPTURE(message);
    CHECK_THROWS_MATCHES(read(content), DataError, MessageMatches(ContainsSubstring(message)));
  };
  const auto pax = [](const std::string& records, char kind = 'x') { return member("pax", records, kind); };
  const std::string png = member("short.png", picture(1)), name(200, 'n');

  SECTION("name and size hold for the next member alone") {
    const auto data =
        read(pax(test::pax_record("path", name + ".png") + test::pax_record("mtime", "1.5")) + png + sample("2") +
             member("@LongLink", "2." + name + ".txt\0"s, 'L') + member("2.txt", "x") + member("2.txt", "y"));
    REQUIRE(data.size() == 2);
    CHECK(data.source(0).find(std::string(70, 'n')) != std::string::npos);
    CHECK(data.source(1).ends_with(":2.png"));
    CHECK(data.text(1) == "y");
  }
  SECTION("a size beyond eight gigabytes comes by pax") {
    auto bytes = png;
    bytes.replace(124, 12, std::string(12, '0'));
    const auto data = read(pax(test::pax_record("size", std::to_string(picture(1).size()))) + checked(bytes));
    CHECK(data.get(0).picture.width == 6);
  }
  SECTION("sizes that are none") {
    const std::string size = GENERATE("-1", "9223372036854775808", "1x", "", " 1");
    check(pax(test::pax_record("size", size)) + png, "no number from 0 to 2^63 − 1");
  }
  SECTION("malformed") {
    const std::string records = GENERATE("x", "12", " path=a\n", "99 path=a\n", "10 path=a.p", "4 a\n", "0 path=a\n",
                                         "2 ", "-9 path=a\n", "99999999999999999999 path=a\n");
    check(sample("0") + pax(records) + png, "the pax header at byte 1024 ");
  }
  SECTION("refused") {
    check(pax(test::pax_record("GNU.sparse.major", "1")) + png, "a sparse file");
    check(pax(test::pax_record("path", "a.png"), 'g') + png, "sets the path of every member");
    check(pax(test::pax_record("path", "a\0.png"s)) + png, "holds a NUL");
    check(pax(test::pax_record("path", std::string(5000, 'n') + ".png")) + png,
          "its name has 5004 bytes, more than 4096");
    check(member("@LongLink", std::string(5000, 'n'), 'L') + png, "an extended header of 5000 bytes, more than 4097");
    check(pax(std::string((1 << 20) + 1, 'x')) + png, "an extended header of 1048577 bytes");
    check(sample("0") + pax(test::pax_record("path", "a.png")), "the archive ends after its extended header");
    CHECK(read(pax(test::pax_record("comment", "x"), 'g') + png).size() == 1);
  }
  SECTION("a name is shown on one line") {
    check(sample("0") + pax(test::pax_record("path", "a\nb.png")) + member("x", "", '2'), "a\\nb.png");
  }
}

TEST_CASE("a shard is a regular file, and stays the one that was indexed") {
  const test::TemporaryFolder folder;
  CHECK_THROWS_MATCHES(TarShards({folder / "none.tar"}), IoError, MessageMatches(ContainsSubstring("none.tar")));
  CHECK_THROWS_MATCHES(TarShards({folder.path}), IoError, MessageMatches(ContainsSubstring("no regular file")));
  REQUIRE(::mkfifo((folder / "pipe.tar").c_str(), 0600) == 0);
  const test::OpenWatch pipe{folder / "pipe.tar"};
  CHECK_THROWS_MATCHES(TarShards({folder / "pipe.tar"}), IoError, MessageMatches(ContainsSubstring("no regular file")));
  CHECK_FALSE(pipe.opened());
  CHECK_THROWS_AS(TarShards({}), InvalidArgument);
  CHECK_THROWS_MATCHES(TarShards({folder / "a.tar"}, {.max_members = 0}), InvalidArgument,
                       MessageMatches(ContainsSubstring(".max_members is 0")));

  std::vector<fs::path> shards;
  for (int i = 0; i < 17; ++i)
    shards.push_back(folder.write(std::to_string(i) + ".tar", tar(sample(std::to_string(i)))));
  const TarShards data{shards};
  folder.write("0.tar", tar(sample("0") + sample("1")));
  CHECK_THROWS_MATCHES(data.get(0), IoError, MessageMatches(ContainsSubstring("changed since it was indexed")));
  fs::remove(folder / "0.tar");
  CHECK_THROWS_MATCHES(data.get(0), IoError, MessageMatches(ContainsSubstring("0.tar")));
  CHECK(data.get(16).id == 16);
}

TEST_CASE("braces stand for shards") {
  const auto names = [](const std::string& pattern) {
    std::vector<std::string> all;
    for (const auto& path : expand_shards(pattern)) all.push_back(path.string());
    return all;
  };
  using Names = std::vector<std::string>;
  CHECK(names("memes-{000..012}.tar").size() == 13);
  CHECK(names("memes-{000..012}.tar").back() == "memes-012.tar");
  CHECK(names("{8..11}") == Names{"8", "9", "10", "11"});
  CHECK(names("{08..11}") == Names{"08", "09", "10", "11"});
  CHECK(names("{a,b}/{0..1}.tar") == Names{"a/0.tar", "a/1.tar", "b/0.tar", "b/1.tar"});
  CHECK(names("one.tar") == Names{"one.tar"});
  CHECK(names("{18446744073709551614..18446744073709551615}").size() == 2);
  const std::string wrong = GENERATE("{0..1", "0..1}", "{{0..1}}", "{0..}", "{a..b}", "{2..1}", "{-1..1}",
                                     "{0..100000}", "{0..999}{0..999}", "{0..99999999999999999999}");
  CAPTURE(wrong);
  CHECK_THROWS_AS(expand_shards(wrong), InvalidArgument);
}

TEST_CASE("an epoch by shards has every sample once, none long before its turn") {
  const std::size_t window = GENERATE(1, 4, 1000);
  const ShardOrder order{{5, 9, 1, 7}, {.window = window}};
  const SamplerEpoch epoch{.samples = 22, .batch_size = 4, .seed = 5, .epoch = 2};
  const auto positions = order.order(epoch);
  CHECK(order.draws(22) == 22);
  CHECK(std::set(positions.begin(), positions.end()).size() == 22);
  CHECK(positions.size() == 22);
  CHECK(order.order(epoch) == positions);
  CHECK(order.order({.samples = 22, .batch_size = 4, .seed = 5, .epoch = 3}) != positions);
  CHECK(order.order({.samples = 22, .batch_size = 4, .seed = 6, .epoch = 2}) != positions);

  // With a window of 1 shards stay whole; a larger one draws from the same sequence.
  const auto sequence = ShardOrder{{5, 9, 1, 7}, {.window = 1}}.order(epoch);
  const std::set<std::size_t> starts{0, 5, 14, 15};
  for (std::size_t i = 0; i < sequence.size(); ++i)
    CHECK((starts.contains(sequence[i]) || sequence[i] == sequence[i - 1] + 1));
  for (std::size_t i = 0; i < positions.size(); ++i) {
    const auto turn = static_cast<std::size_t>(std::ranges::find(sequence, positions[i]) - sequence.begin());
    CHECK(turn < i + window);
  }
}

TEST_CASE("a wide window gives every order the same chance") {
  const ShardOrder order{{3}, {.window = 3}};
  std::map<std::vector<std::size_t>, int> counts;
  constexpr int epochs = 6000;
  for (int epoch = 0; epoch < epochs; ++epoch)
    ++counts[order.order({.samples = 3, .batch_size = 1, .seed = 1, .epoch = epoch})];
  CHECK(counts.size() == 6);
  for (const auto& [positions, count] : counts) CHECK(std::abs(count - epochs / 6) < 150);  // 5 deviations
}

TEST_CASE("a rank reads its own shards alone, and as many samples as the others") {
  const test::TemporaryFolder folder;
  const auto shards = write_shards(folder, {2, 7, 3, 2, 4});
  const std::int64_t rank = GENERATE(0, 1);
  const TarShards data{shards};
  const ShardOrder order{data.shard_sizes(), {.window = 3, .ranks = 2}};
  CHECK(order.shards_of(rank) == (rank == 0 ? std::vector<std::size_t>{0, 2, 4} : std::vector<std::size_t>{1, 3}));
  CHECK(order.draws(18) == 18);  // nine each
  // Those of the other rank are gone before anything but their headers was read.
  for (const auto shard : order.shards_of(1 - rank)) fs::remove(shards[shard]);
  DataLoader loader{TarShards{data},
                    Views{{.size = 8, .transform = Resize{.width = 8, .height = 8}}},
                    {.batch_size = 2, .workers = 2, .drop_last = false, .sampler = order, .rank = rank, .ranks = 2}};
  std::set<std::int64_t> ids;
  std::int64_t rows = 0;
  loader.start_epoch(4);
  while (const auto batch = loader.next()) {
    for (std::int64_t i = 0; i < batch->size(); ++i) ids.insert(batch->ids[i].item<std::int64_t>());
    rows += batch->size();
  }
  CHECK(rows == 9);
  CHECK(ids.size() == 9);
}

TEST_CASE("a rank may index its own shards alone") {
  const test::TemporaryFolder folder;
  const auto shards = write_shards(folder, {2, 7, 3, 2, 4});
  fs::remove(shards[1]);
  fs::remove(shards[3]);
  const TarShards data{shards_of(shards, 0, 2)};
  CHECK(data.size() == 9);
  const ShardOrder longer{data.shard_sizes(), {.draws = 12}}, shorter{data.shard_sizes(), {.draws = 4}};
  const SamplerEpoch epoch{.samples = 9, .batch_size = 2};
  CHECK(longer.draws(9) == 12);
  const auto positions = longer.order(epoch);
  CHECK(positions.size() == 12);
  CHECK(std::set(positions.begin(), positions.end()).size() == 9);
  CHECK(shorter.order(epoch).size() == 4);
  CHECK_THROWS_AS(shards_of(shards, 2, 2), InvalidArgument);
  CHECK_THROWS_AS(shards_of(shards, -1, 2), InvalidArgument);
  CHECK_THROWS_AS(shards_of(shards, 0, 6), InvalidArgument);
}

TEST_CASE("an order by shards that cannot work") {
  CHECK_THROWS_AS(ShardOrder({2, 2}, {.window = 0}), InvalidArgument);
  CHECK_THROWS_AS(ShardOrder({2, 2}, {.ranks = 0}), InvalidArgument);
  CHECK_THROWS_AS(ShardOrder({2, 2}, {.ranks = 3}), InvalidArgument);
  CHECK_THROWS_AS(ShardOrder({2, 2}, {.ranks = 2, .draws = 3}), InvalidArgument);
  CHECK_THROWS_AS(ShardOrder({2, 0}), InvalidArgument);
  CHECK_THROWS_AS(ShardOrder({}), InvalidArgument);
  const ShardOrder order{{2, 2}, {.ranks = 2}};
  CHECK_THROWS_AS(order.draws(5), InvalidArgument);
  CHECK_THROWS_AS(order.shards_of(2), InvalidArgument);
  CHECK_THROWS_AS(order.order({.samples = 4, .batch_size = 3}), InvalidArgument);
}

}  // namespace
}  // namespace sslmeme
