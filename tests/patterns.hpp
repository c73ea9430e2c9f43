// Pictures made by a formula that scripts/golden/transforms.py has too, and fingerprints of results, so that goldens of
// large pictures stay small.
#pragma once

#include <sslmeme/core/image.hpp>

#include <catch2/catch_test_macros.hpp>

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace sslmeme::test {

/// kind: "waves", "gentle" (of few values), "constant", "two" (values) or "mostly" (one value).
inline Image pattern(std::string_view kind, int width, int height) {
  const auto value = [&](int x, int y, int c) {
    const int waves = ((7 * x + 13 * y + 50 * c) ^ (x * y / 8)) & 255;
    if (kind == "waves") return waves;
    if (kind == "gentle") return 60 + 10 * c + waves / 4;
    if (kind == "constant") return 200 - 70 * c;
    if (kind == "two") return (x + y) % 3 == 0 ? 40 + 60 * c : 41 - 20 * c;
    if (kind != "mostly") FAIL("no pattern " << kind);
    return x % 7 == 0 ? waves : 128;
  };
  Image image{width, height};
  for (int y = 0; y < height; ++y) {
    for (int i = 0; i < 3 * width; ++i) image.row(y)[i] = static_cast<std::uint8_t>(value(i / 3, y, i % 3));
  }
  return image;
}

/// 64-bit FNV-1a of the pixels.
inline std::string fingerprint(const Image& image) {
  std::uint64_t value = 0xCBF29CE484222325U;
  for (const auto byte : image.pixels) value = (value ^ byte) * 0x100000001B3U;
  return fmt::format("{:016x}", value);
}

}  // namespace sslmeme::test
