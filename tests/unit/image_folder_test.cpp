// Pictures sorted into folders.
#include <sslmeme/core/error.hpp>
#include <sslmeme/data/dataset.hpp>
#include <sslmeme/data/image_folder.hpp>

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

static_assert(Dataset<ImageFolder>);

TEST_CASE("labels are positions of sorted folders, ids of sorted files; folders without pictures are errors") {
  const test::TemporaryFolder root;
  CHECK_THROWS_MATCHES(ImageFolder(root.path), DataError, MessageMatches(ContainsSubstring("no sub-folder")));
  CHECK_THROWS_MATCHES(ImageFolder(root / "missing"), IoError, MessageMatches(ContainsSubstring("missing")));

  for (const auto* name : {"snail", "rose", "rose/wild"}) fs::create_directories(root / name);
  write_png(root / "snail/b.png", Image{3, 1});
  write_png(root / "snail/a.PNG", Image{2, 1});
  write_png(root / "rose/wild/c.png", Image{4, 1});
  root.write("rose/notes.txt", "not a picture");
  root.write("README", "not a class");

  const ImageFolder data{root.path};
  CHECK(data.classes() == std::vector<std::string>{"rose", "snail"});
  REQUIRE(data.size() == 3);
  CHECK(data.source(0) == (root / "rose/wild/c.png").string());
  CHECK(data.label(0) == 0);
  CHECK(data.label(1) == 1);
  CHECK(data.get(1).picture.width == 2);
  CHECK(data.get(2).picture.width == 3);
  CHECK(data.get(2).label == 1);
  CHECK(data.get(2).id == 2);

  fs::create_directories(root / "turtle");
  CHECK_THROWS_MATCHES(ImageFolder(root.path), DataError,
                       MessageMatches(ContainsSubstring("turtle") && ContainsSubstring("no .jpg")));
}

}  // namespace
}  // namespace sslmeme
