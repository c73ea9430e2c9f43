// Pictures sorted into folders.
#include <sslmeme/core/error.hpp>
#include <sslmeme/data/dataset.hpp>
#include <sslmeme/data/image_folder.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <sys/stat.h>

#include <filesystem>
#include <string>

#include "files.hpp"

namespace sslmeme {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

static_assert(Dataset<ImageFolder>);

/// rose/wild/c.png, snail/a.PNG and snail/b.png, 4, 2 and 3 pixels wide.
struct Classes : test::TemporaryFolder {
  Classes() {
    for (const auto* name : {"snail", "rose", "rose/wild"}) fs::create_directories(path / name);
    write_png(path / "snail/b.png", Image{3, 1});
    write_png(path / "snail/a.PNG", Image{2, 1});
    write_png(path / "rose/wild/c.png", Image{4, 1});
  }
};

TEST_CASE("labels are positions of sorted folders; folders without pictures are errors") {
  const test::TemporaryFolder empty;
  CHECK_THROWS_MATCHES(ImageFolder(empty.path), DataError, MessageMatches(ContainsSubstring("no sub-folder")));
  CHECK_THROWS_MATCHES(ImageFolder(empty / "missing"), IoError, MessageMatches(ContainsSubstring("missing")));

  const Classes root;
  root.write("rose/notes.txt", "not a picture");
  root.write("README", "not a class");
  fs::create_directory(root / ".cache");

  const ImageFolder data{root.path};
  CHECK(data.classes() == std::vector<std::string>{"rose", "snail"});
  REQUIRE(data.size() == 3);
  CHECK(data.source(0) == (root / "rose/wild/c.png").string());
  CHECK(data.label(0) == 0);
  CHECK(data.label(1) == 1);
  CHECK(data.get(1).picture.width == 2);
  CHECK(data.get(2).picture.width == 3);
  CHECK(data.get(2).label == 1);
  CHECK(data.get(2).id == data.id(2));
  CHECK(data.bytes(2).size() == fs::file_size(root / "snail/b.png"));

  fs::create_directories(root / "turtle");
  CHECK_THROWS_MATCHES(ImageFolder(root.path), DataError,
                       MessageMatches(ContainsSubstring("turtle") && ContainsSubstring("no .jpg")));
}

TEST_CASE("an id is a picture's own and stays when others come or go") {
  const Classes root;
  CHECK(ImageFolder{root.path}.id(0) == 674300576668899259);  // of "rose/wild/c.png", by Python
  const auto of_b = ImageFolder{root.path}.id(2);
  sslmeme::remove_tree(root / "rose/wild");
  fs::create_directory(root / "anemone");
  write_png(root / "anemone/1.png", Image{1, 1});
  write_png(root / "rose/1.png", Image{1, 1});
  const ImageFolder data{root.path};
  REQUIRE(data.size() == 4);
  CHECK(data.id(3) == of_b);
  CHECK(data.id(0) != data.id(1));
}

TEST_CASE("a picture is told by its first bytes; one that is only named as such is reported when read") {
  const Classes root;
  const auto png = test::bytes_of(root / "snail/b.png");
  root.write("rose/png", png);
  root.write("rose/really.txt", png);
  root.write("rose/gif", "GIF89a and so on");
  root.write("rose/webp", "RIFF....WEBPVP8 ");
  root.write("rose/sound", "RIFF....WAVEfmt ");
  root.write("rose/letter", "BMW builds cars and motorcycles");
  root.write("rose/bmp", std::string("BM\x3A\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0", 18));
  root.write("rose/jpg", "\xFF\xD8\xFF\xE0");
  root.write("rose/empty.jpg", "");
  const ImageFolder data{root.path};
  std::string found;
  for (std::size_t i = 0; i < data.size(); ++i) found += fs::path{data.source(i)}.filename().string() + " ";
  CHECK(found == "bmp empty.jpg gif jpg png really.txt webp c.png a.PNG b.png ");
  CHECK(data.get(5).picture.width == 3);
  CHECK_THROWS_MATCHES(data.get(1), DataError, MessageMatches(ContainsSubstring("empty.jpg: ")));
  fs::remove(root / "rose/png");
  try {
    data.get(4);
    FAIL("a picture that went away was read");
  } catch (const PictureError& error) {
    CHECK(error.fault() == PictureFault::missing);
    CHECK_THAT(error.what(), ContainsSubstring("rose/png"));
  }
}

TEST_CASE("links that stay inside are followed, others are errors and none is followed twice") {
  const Classes root, other;
  fs::create_symlink("../snail/b.png", root / "rose/in.png");
  CHECK(ImageFolder{root.path}.size() == 4);

  const auto refused = [&](const std::string& message) {
    CHECK_THROWS_MATCHES(ImageFolder(root.path), DataError, MessageMatches(ContainsSubstring(message)));
  };
  SECTION("a folder outside, as a class") {
    fs::create_directory_symlink(other / "rose", root / "tulip");
    refused((root / "tulip").string() + " is a link that leads out");
  }
  SECTION("a folder outside, within a class") {
    fs::create_directory_symlink(other / "rose", root / "rose/more");
    refused((root / "rose/more").string() + " is a link that leads out");
  }
  SECTION("a picture outside") {
    fs::create_symlink(other / "snail/b.png", root / "rose/out.png");
    refused("rose/out.png is a link that leads out");
  }
  SECTION("up and out by ..") {
    fs::create_symlink(fs::path{"../.."} / other.path.filename() / "snail/b.png", root / "rose/out.png");
    refused("rose/out.png is a link that leads out");
  }
  SECTION("a device") {
    fs::create_symlink("/dev/zero", root / "rose/zero.png");
    refused("rose/zero.png is a link that leads out");
  }
  SECTION("a circle") {
    fs::create_directory_symlink("..", root / "rose/up");
    refused("in a circle");
    fs::remove(root / "rose/up");
    fs::create_symlink("round", root / "rose/round");
    refused("rose/round is a link that leads out");
  }
  SECTION("two ways to a folder, which could be 2ⁿ") {
    fs::create_directory_symlink("wild", root / "rose/tame");
    refused("by two ways");
  }
  SECTION("a class that is a link to another, whose pictures would have two labels") {
    fs::create_directory_symlink("rose", root / "tulip");
    refused((root / "tulip").string() + " by two ways");
  }
  SECTION("a folder linked into two classes") {
    fs::create_directory_symlink("../rose/wild", root / "snail/wild");
    refused("snail/wild by two ways");
  }
}

TEST_CASE("pipes are not opened, and what is too deep or too much is an error") {
  const Classes root;
  REQUIRE(::mkfifo((root / "rose/pipe.png").c_str(), 0600) == 0);
  CHECK(ImageFolder{root.path}.size() == 3);
  CHECK(ImageFolder(root.path, {.max_files = 7}).size() == 3);
  CHECK_THROWS_MATCHES(ImageFolder(root.path, {.max_files = 6}), DataError,
                       MessageMatches(ContainsSubstring("raise .max_files")));
  CHECK_THROWS_AS(ImageFolder(root.path, {.max_files = -1}), InvalidArgument);
  fs::path deep = root / "rose";
  for (int i = 0; i < 40; ++i) deep /= "d";
  fs::create_directories(deep);
  CHECK_THROWS_MATCHES(ImageFolder(root.path), DataError,
                       MessageMatches(ContainsSubstring("more than 32 folders deep")));
}

TEST_CASE("a folder that may not be listed and a name full of tricks are one line each") {
  const Classes root;
  const std::string name = "evil\n\x1B[31m\u202E";
  fs::create_directory(root / name);
  CHECK_THROWS_MATCHES(ImageFolder(root.path), DataError,
                       MessageMatches(ContainsSubstring("evil\\n\\x1B[31m\\u202E") && !ContainsSubstring("\n")));
  fs::remove(root / name);
  fs::permissions(root / "rose/wild", fs::perms::none);
  if (::access((root / "rose/wild").c_str(), R_OK) != 0) {  // root may read everything
    CHECK_THROWS_MATCHES(ImageFolder(root.path), IoError, MessageMatches(ContainsSubstring("cannot list")));
  }
  fs::permissions(root / "rose/wild", fs::perms::owner_all);
}

}  // namespace
}  // namespace sslmeme
