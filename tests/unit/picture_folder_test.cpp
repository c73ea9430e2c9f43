// Pictures of a folder, whatever they show.
#include <sslmeme/core/error.hpp>
#include <sslmeme/data/dataset.hpp>
#include <sslmeme/data/picture_folder.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <filesystem>
#include <string>

#include "files.hpp"

namespace sslmeme {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

static_assert(Dataset<PictureFolder>);

TEST_CASE("every picture at any depth is a sample, by path") {
  const test::TemporaryFolder folder;
  fs::create_directories(folder / "deep/er");
  write_png(folder / "deep/er/a.png", Image{3, 1});
  write_png(folder / "no_extension", Image{2, 2});
  write_png(folder / ".hidden.png", Image{1, 1});
  folder.write("notes.md", "no picture");
  const PictureFolder data{folder.path};
  REQUIRE(data.size() == 2);
  CHECK(data.name(0) == "deep/er/a.png");
  CHECK(data.source(0) == (folder / "deep/er/a.png").string());
  CHECK(data.name(1) == "no_extension");
  const auto sample = data.get(0);
  CHECK(sample.picture.width == 3);
  CHECK(sample.id == data.id(0));
  CHECK(sample.text.empty());
  CHECK_FALSE(sample.label.has_value());
  CHECK(data.bytes(1).size() == fs::file_size(folder / "no_extension"));

  const auto id = data.id(0);
  write_png(folder / "a.png", Image{1, 1});
  CHECK(PictureFolder{folder.path}.id(1) == id);
}

TEST_CASE("what is no folder of pictures is refused") {
  const test::TemporaryFolder folder;
  folder.write("notes.md", "no picture");
  CHECK_THROWS_MATCHES(PictureFolder{folder.path}, DataError,
                       MessageMatches(ContainsSubstring("holds no .jpg, .jpeg, .png, .gif, .webp or .bmp picture")));
  CHECK_THROWS_AS((PictureFolder{folder / "away"}), IoError);
  CHECK_THROWS_AS((PictureFolder{folder.path, {.max_files = 0}}), DataError);
  CHECK_THROWS_AS((PictureFolder{folder.path, {.max_files = -1}}), InvalidArgument);
}

TEST_CASE("a damaged picture is reported when it is read, not left out") {
  const test::TemporaryFolder folder;
  folder.write("a.jpg", "no jpeg");
  const PictureFolder data{folder.path};
  REQUIRE(data.size() == 1);
  CHECK_THROWS_MATCHES(data.get(0), PictureError, MessageMatches(ContainsSubstring("a.jpg")));
}

}  // namespace
}  // namespace sslmeme
