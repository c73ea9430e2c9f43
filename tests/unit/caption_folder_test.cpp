// Pictures with captions in files beside them.
#include <sslmeme/core/error.hpp>
#include <sslmeme/data/caption_folder.hpp>
#include <sslmeme/data/dataset.hpp>

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

static_assert(Dataset<CaptionFolder>);

/// b.png and deep/er/a.x.png, each with a caption.
struct Captions : test::TemporaryFolder {
  Captions() {
    fs::create_directories(path / "deep" / "er");
    write_png(path / "b.png", Image{2, 1});
    write("b.txt", "\xEF\xBB\xBF  a red\nrose \r\n");
    write_png(path / "deep/er/a.x.png", Image{3, 1});
    write("deep/er/a.x.txt", "a\xFF cat");
  }
};

TEST_CASE("a picture goes with the text beside it, at any depth") {
  const Captions folder;
  folder.write("notes.md", "no caption");
  folder.write(".hidden.txt", "no caption");
  const CaptionFolder data{folder.path};
  REQUIRE(data.size() == 2);
  CHECK(data.text(0) == "a red\nrose");
  CHECK(data.text(1) == "a\uFFFD cat");
  CHECK(data.source(1) == (folder / "deep/er/a.x.png").string());
  const auto sample = data.get(1);
  CHECK(sample.picture.width == 3);
  CHECK(sample.text == data.text(1));
  CHECK(sample.id == data.id(1));
  CHECK_FALSE(sample.label.has_value());
  CHECK(data.bytes(0).size() == fs::file_size(folder / "b.png"));

  const auto id = data.id(1);
  write_png(folder / "a.png", Image{1, 1});
  folder.write("a.txt", "");
  const CaptionFolder more{folder.path};
  REQUIRE(more.size() == 3);
  CHECK(more.id(2) == id);
  CHECK(more.text(0).empty());
}

TEST_CASE("unpaired files are refused by name, or counted") {
  const Captions folder;
  write_png(folder / "deep/alone.png", Image{1, 1});
  CHECK_THROWS_MATCHES(CaptionFolder(folder.path), DataError,
                       MessageMatches(ContainsSubstring("the picture " + (folder / "deep/alone.png").string()) &&
                                      ContainsSubstring("has no caption")));
  fs::rename(folder / "deep/alone.png", folder / "deep/alone.txt");
  CHECK_THROWS_MATCHES(CaptionFolder(folder.path), DataError,
                       MessageMatches(ContainsSubstring("the caption " + (folder / "deep/alone.txt").string()) &&
                                      ContainsSubstring("has no picture")));
  write_png(folder / "other.png", Image{1, 1});
  const CaptionFolder data{folder.path, {.unpaired = Unpaired::skip}};
  CHECK(data.size() == 2);
  CHECK(data.pictures_without_caption() == 1);
  CHECK(data.captions_without_picture() == 1);
}

TEST_CASE("two pictures cannot share a caption, and none at all is an error") {
  const Captions folder;
  fs::copy_file(folder / "b.png", folder / "b.jpg");
  CHECK_THROWS_MATCHES(CaptionFolder(folder.path), DataError, MessageMatches(ContainsSubstring("the same caption")));
  const test::TemporaryFolder empty;
  CHECK_THROWS_MATCHES(CaptionFolder(empty.path), DataError,
                       MessageMatches(ContainsSubstring("no picture with a caption")));
  CHECK_THROWS_AS(CaptionFolder(empty / "missing"), IoError);
  CHECK_THROWS_AS(CaptionFolder(empty.path, {.max_files = -1}), InvalidArgument);
}

TEST_CASE("captions that went away, grew or became something else are named") {
  const Captions folder, other;
  const CaptionFolder data{folder.path, {.max_caption_bytes = 20}};
  folder.write("b.txt", std::string(21, 'x'));
  CHECK_THROWS_MATCHES(data.text(0), DataError,
                       MessageMatches(ContainsSubstring("b.txt") && ContainsSubstring(".max_caption_bytes")));
  fs::remove(folder / "b.txt");
  CHECK_THROWS_MATCHES(data.text(0), DataError, MessageMatches(ContainsSubstring("b.txt")));
  REQUIRE(::mkfifo((folder / "b.txt").c_str(), 0600) == 0);
  CHECK_THROWS_MATCHES(data.get(0), DataError, MessageMatches(ContainsSubstring("no regular file")));
  fs::remove(folder / "b.txt");
  fs::create_symlink(other / "b.txt", folder / "b.txt");
  CHECK_THROWS_MATCHES(data.text(0), DataError, MessageMatches(ContainsSubstring("leads out of the folder")));
  CHECK_THROWS_MATCHES(CaptionFolder(folder.path), DataError, MessageMatches(ContainsSubstring("b.txt is a link")));
}

}  // namespace
}  // namespace sslmeme
