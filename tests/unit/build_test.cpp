// What this was built from: one fmt, one version, a LibTorch that is new enough.
#include <sslmeme/version.hpp>

#include <fmt/format.h>
#include <torch/version.h>
#include <catch2/catch_test_macros.hpp>

#include <cstdio>
#include <fstream>
#include <string>

namespace {

/// The value of FMT_VERSION in a header, read as text; 0 without one.
int fmt_version_in(const std::string& header) {
  std::ifstream file{header};
  const std::string define = "#define FMT_VERSION ";
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(define)) return std::stoi(line.substr(define.size()));
  }
  return 0;
}

TEST_CASE("there is one fmt, and it is the one that CMake chose") {
  std::printf("fmt %d from %s\n", FMT_VERSION, SSLMEME_TEST_FMT_INCLUDE);
  const std::string include = SSLMEME_TEST_FMT_INCLUDE;
  auto expected = fmt_version_in(include + "/fmt/base.h");  // fmt 11 and newer
  if (expected == 0) expected = fmt_version_in(include + "/fmt/core.h");
  REQUIRE(expected > 0);
  CHECK(FMT_VERSION == expected);
}

TEST_CASE("version.hpp and CMake agree on the version") {
  CHECK(std::string{SSLMEME_VERSION} == SSLMEME_TEST_PROJECT_VERSION);
  CHECK(fmt::format("{}.{}.{}", SSLMEME_VERSION_MAJOR, SSLMEME_VERSION_MINOR, SSLMEME_VERSION_PATCH) ==
        SSLMEME_VERSION);
}

TEST_CASE("LibTorch is 2.11 or newer") {
  std::printf("LibTorch %s\n", TORCH_VERSION);
  CHECK(TORCH_VERSION_MAJOR * 1000 + TORCH_VERSION_MINOR >= 2011);
}

}  // namespace
