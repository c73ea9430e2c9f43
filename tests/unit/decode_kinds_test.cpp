// Every kind of picture file beside what Pillow makes of it (scripts/golden/pictures.py), and each way to be refused.
#include "data/decoders.hpp"
#include "data/orientation.hpp"

#include <sslmeme/core/error.hpp>
#include <sslmeme/data/image_io.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>

#include "files.hpp"

namespace sslmeme {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

const fs::path pictures = fs::path{SSLMEME_TEST_DATA} / "pictures";

std::string bytes_of(const std::string& name) {
  return test::bytes_of(pictures / name);
}

Image decode(std::string_view bytes, const DecodeLimits& limits = {}) {
  return decode_image(std::as_bytes(std::span{bytes}), limits);
}

/// None where it decodes.
std::optional<PictureFault> fault_of(std::string_view bytes, const DecodeLimits& limits = {}) {
  try {
    decode(bytes, limits);
  } catch (const PictureError& error) {
    INFO(error.what());
    CHECK(std::string_view{error.what()}.find('\n') == std::string_view::npos);
    return error.fault();
  }
  return std::nullopt;
}

/// Little-endian, as GIF, BMP and WebP are.
template <class T>
std::string with(std::string bytes, std::size_t at, T value) {
  std::memcpy(bytes.data() + at, &value, sizeof value);
  return bytes;
}

/// Every picture of the script beside its expected one, in order.
std::set<std::string> kinds() {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator{pictures}) {
    const auto name = entry.path().filename().string();
    if (fs::exists(pictures / (name + ".expected.png")) && (detail::has_webp() || !name.ends_with(".webp")))
      names.insert(name);
  }
  return names;
}

}  // namespace

TEST_CASE("Every kind of picture decodes as Pillow, or its specification, has it") {
  const auto names = kinds();
  CHECK(names.size() >= (detail::has_webp() ? 80U : 65U));
  for (const auto& name : names) {
    CAPTURE(name);
    const auto image = read_image(pictures / name), expected = read_image(pictures / (name + ".expected.png"));
    REQUIRE(image.width == expected.width);
    REQUIRE(image.height == expected.height);
    int largest = 0;
    for (std::size_t i = 0; i < image.pixels.size(); ++i)
      largest = std::max(largest, std::abs(image.pixels[i] - expected.pixels[i]));
    // Another release of libjpeg or libwebp rounds otherwise; so do compositing and fewer than 8 bits.
    const bool is_exact = name.starts_with("gif") || name.starts_with("orientation") || name.starts_with("bmp_1") ||
                          name.starts_with("bmp_8") || name.starts_with("bmp_4") || name.starts_with("bmp_24") ||
                          name == "rgb16.png" || name == "webp_lossless.webp";
    CHECK(largest <= (is_exact && !name.starts_with("bmp_16") ? 0 : 1));
  }
}

TEST_CASE("Both ways of reading PNG give the same pixels, and the fast one reads the usual kind") {
  int fast = 0;
  for (const auto& entry : fs::directory_iterator{pictures}) {
    if (entry.path().extension() != ".png") continue;
    CAPTURE(entry.path().filename().string());
    const auto text = test::bytes_of(entry.path());
    const auto bytes = std::as_bytes(std::span{text});
    const auto plain = detail::decode_plain_png(bytes, {});
    if (!plain) continue;
    CHECK(*plain == detail::decode_any_png(bytes, {}));
    ++fast;
  }
  const auto text = bytes_of("rgb.png");
  const bool has_fast = detail::decode_plain_png(std::as_bytes(std::span{text}), {}).has_value();
  CHECK(fast >= (has_fast ? 80 : 0));
}

TEST_CASE("A fault is told: what is no picture, or another kind") {
  CHECK(fault_of("") == PictureFault::truncated);
  CHECK(fault_of("<html>") == PictureFault::unknown_format);
  CHECK(fault_of(std::string_view{"II*\0", 4}) == PictureFault::unknown_format);
  CHECK(fault_of("GIF88a\1\0\1\0") == PictureFault::unknown_format);
  CHECK(fault_of("RIFF\4\0\0\0WAVEfmt ") == PictureFault::unknown_format);
  CHECK_THROWS_MATCHES(decode("<html>"), PictureError,
                       MessageMatches(ContainsSubstring("no JPEG, PNG, WebP, GIF or BMP")));
  CHECK(fault_of(with(bytes_of("bmp_24.bmp"), 30, std::uint32_t{4})) == PictureFault::unknown_format);   // JPEG within
  CHECK(fault_of(with(bytes_of("bmp_24.bmp"), 14, std::uint32_t{41})) == PictureFault::unknown_format);  // header size
  CHECK(fault_of(with(bytes_of("bmp_24.bmp"), 28, std::uint16_t{2})) == PictureFault::unknown_format);   // bits
  if (!detail::has_webp()) {
    CHECK_THROWS_MATCHES(decode(bytes_of("webp_lossy.webp")), PictureError,
                         MessageMatches(ContainsSubstring("libwebp-dev")));
    CHECK(fault_of(bytes_of("webp_lossy.webp")) == PictureFault::unknown_format);
  }
}

TEST_CASE("A fault is told: a file cut off anywhere") {
  for (const auto& name : kinds()) {
    const auto whole = bytes_of(name);
    for (const double share : {0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98, 1.0}) {
      const auto size = std::min(static_cast<std::size_t>(static_cast<double>(whole.size()) * share), whole.size() - 1);
      CAPTURE(name, size);
      // Of an animation, what follows its first frame may be missing.
      if (name == "gif_animated.gif" && share > 0.3) continue;
      // The padding of the last row may be missing.
      if (name.starts_with("bmp") || name.ends_with(".bmp")) {
        if (whole.size() - size < 4) continue;
      }
      const auto fault = fault_of(std::string_view{whole}.substr(0, size));
      REQUIRE(fault);
      if (size < 12) continue;  // may be no known format any more
      CHECK((*fault == PictureFault::truncated || (*fault == PictureFault::corrupt && !name.ends_with(".png"))));
      if (share >= 0.3 && !name.ends_with(".jpg")) CHECK(*fault == PictureFault::truncated);
    }
  }
}

TEST_CASE("A fault is told: content that contradicts itself") {
  CHECK(fault_of(with(bytes_of("bmp_24.bmp"), 18, std::int32_t{0})) == PictureFault::corrupt);   // width
  CHECK(fault_of(with(bytes_of("bmp_24.bmp"), 18, std::int32_t{-9})) == PictureFault::corrupt);  // width
  CHECK(fault_of(with(bytes_of("bmp_24.bmp"), 10, std::uint32_t{20})) ==
        PictureFault::corrupt);  // pixels in the header
  CHECK(fault_of(with(bytes_of("bmp_8_runs.bmp"), 22, std::int32_t{-17})) == PictureFault::corrupt);  // runs top down
  CHECK(fault_of(with(bytes_of("bmp_8_runs.bmp"), 22, std::int32_t{5})) == PictureFault::corrupt);    // runs leave it
  CHECK(fault_of(with(bytes_of("bmp_8_runs.bmp"), 18, std::int32_t{12})) == PictureFault::corrupt);
  CHECK(fault_of(with(bytes_of("bmp_8_runs.bmp"), 30, std::uint32_t{2})) == PictureFault::corrupt);  // for 4 bits
  CHECK(fault_of(with(bytes_of("bmp_16_565.bmp"), 54, std::uint32_t{0})) == PictureFault::corrupt);  // a mask
  CHECK(fault_of(with(bytes_of("bmp_16_565.bmp"), 54, std::uint32_t{0x5000})) == PictureFault::corrupt);
  CHECK(fault_of(with(bytes_of("bmp_16_565.bmp"), 54, std::uint32_t{0x1F0000})) == PictureFault::unknown_format);
  // A palette of 77 colours, of which the last is used, said to have fewer.
  CHECK_THROWS_MATCHES(decode(with(bytes_of("bmp_8_few.bmp"), 46, std::uint32_t{60})), PictureError,
                       MessageMatches(ContainsSubstring("of a palette of 60")));
  CHECK(fault_of(with(bytes_of("bmp_8_few.bmp"), 46, std::uint32_t{60})) == PictureFault::corrupt);
  // A palette that the pixels begin within.
  auto overlapping = bytes_of("bmp_8_few.bmp");
  CHECK(fault_of(with(overlapping, 10, std::uint32_t{54 + 4 * 60})) == PictureFault::corrupt);

  auto gif = bytes_of("gif_local.gif");
  const auto frame = gif.find("\x2c", gif.find("hello"));
  CHECK(fault_of(with(gif, frame + 5, std::uint16_t{0})) == PictureFault::corrupt);   // width
  CHECK(fault_of(with(gif, frame + 7, std::uint16_t{90})) == PictureFault::corrupt);  // more rows than there are
  CHECK(fault_of(with(gif, frame, char{0x55})) == PictureFault::corrupt);
  CHECK(fault_of(with(gif, frame, char{0x3B})) == PictureFault::corrupt);
  CHECK(fault_of(with(gif, frame + 10 + 48, char{12})) == PictureFault::corrupt);      // the size of codes
  CHECK(fault_of(with(gif, frame + 10 + 48 + 2, char{-1})) == PictureFault::corrupt);  // a code of nothing
  gif[10] = 0;                                                                         // neither palette
  CHECK(fault_of(gif.substr(0, 13) + gif.substr(13 + 48, frame - 13 - 48 + 9) + std::string(1, '\0') +
                 gif.substr(frame + 10 + 48)) == PictureFault::corrupt);

  if (detail::has_webp()) {
    auto webp = bytes_of("webp_lossless.webp");
    for (std::size_t i = 40; i < webp.size(); ++i) webp[i] = static_cast<char>(~webp[i]);
    CHECK(fault_of(webp) == PictureFault::corrupt);
  }
}

TEST_CASE("A fault is told: a picture beyond the limits") {
  for (const auto& name : kinds()) {
    CAPTURE(name);
    const auto bytes = bytes_of(name);
    const auto image = decode(bytes);
    const std::int64_t pixels = std::int64_t{image.width} * image.height, edge = std::max(image.width, image.height);
    CHECK(decode(bytes, {.max_pixels = pixels, .max_edge = edge}) == image);
    CHECK(fault_of(bytes, {.max_pixels = pixels - 1}) == PictureFault::too_large);
    CHECK(fault_of(bytes, {.max_edge = edge - 1}) == PictureFault::too_large);
    CHECK(fault_of(bytes, {.max_memory = 3 * pixels - 1}) == PictureFault::too_large);
    CHECK(fault_of(bytes, {.max_bytes = std::ssize(bytes) - 1}) == PictureFault::too_large);
  }
  const auto bytes = bytes_of("bmp_24.bmp");
  CHECK_THROWS_MATCHES(decode(bytes, {.max_edge = 22}), PictureError,
                       MessageMatches(ContainsSubstring(".limits.max_edge")));
  CHECK_THROWS_MATCHES(decode(bytes, {.max_memory = 99}), PictureError,
                       MessageMatches(ContainsSubstring(".limits.max_memory")));
  CHECK(fault_of(with(bytes, 18, std::int32_t{0x7FFFFFFF}), {.max_edge = INT64_MAX}) == PictureFault::too_large);
  CHECK(fault_of(with(with(bytes, 18, std::int32_t{60000}), 22, std::int32_t{INT32_MIN})) == PictureFault::too_large);
  try {
    read_image(pictures / "bmp_24.bmp", {.max_pixels = 9});
    FAIL("decoded");
  } catch (const PictureError& error) {
    CHECK(error.fault() == PictureFault::too_large);
    CHECK_THAT(error.what(), ContainsSubstring("bmp_24.bmp"));
  }
  for (const DecodeLimits& limits :
       {DecodeLimits{.max_pixels = 0}, DecodeLimits{.max_bytes = -1}, DecodeLimits{.max_edge = 0},
        DecodeLimits{.max_scan_pixels = 0}, DecodeLimits{.max_memory = -5}}) {
    CHECK_THROWS_MATCHES(decode(bytes, limits), InvalidArgument, MessageMatches(ContainsSubstring("must be positive")));
  }
}

TEST_CASE("A progressive JPEG keeps within its scans and its memory") {
  const auto bytes = bytes_of("progressive.jpg");
  const std::int64_t pixels = 48 * 32;
  CHECK(decode(bytes, {.max_scan_pixels = 20 * pixels}).width == 48);
  CHECK_THROWS_MATCHES(
      decode(bytes, {.max_scan_pixels = 4 * pixels}), PictureError,
      MessageMatches(ContainsSubstring(".limits.max_scan_pixels") && ContainsSubstring("4 progressive")));
  CHECK(fault_of(bytes, {.max_scan_pixels = 4 * pixels}) == PictureFault::too_large);
  CHECK(decode(bytes_of("baseline.jpg"), {.max_scan_pixels = 1}).width == 48);
  // 3 bytes a pixel are enough for a baseline picture's own pixels, not for the coefficients of a progressive one.
  CHECK(fault_of(bytes, {.max_memory = 4 * pixels}) == PictureFault::too_large);
}

TEST_CASE("Orientation is read from EXIF, well-formed or not") {
  const auto orientation_of = [](std::string_view exif) {
    return detail::exif_orientation({reinterpret_cast<const std::uint8_t*>(exif.data()), exif.size()});
  };
  using namespace std::literals;
  const auto little = "II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0"sv;
  const auto big = "MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"sv;
  const auto as_long = "MM\0*\0\0\0\x08\0\1\1\x12\0\4\0\0\0\1\0\0\0\6\0\0\0\0"sv;
  CHECK(orientation_of(little) == 6);
  CHECK(orientation_of(big) == 6);
  CHECK(orientation_of(as_long) == 6);
  CHECK(orientation_of("Exif\0\0"s + std::string{little}) == 6);
  CHECK(orientation_of(with(std::string{little}, 18, char{9})) == 1);
  CHECK(orientation_of(with(std::string{little}, 18, char{0})) == 1);
  CHECK(orientation_of(with(std::string{little}, 2, char{0})) == 1);   // no TIFF
  CHECK(orientation_of(with(std::string{little}, 12, char{2})) == 1);  // text
  CHECK(orientation_of(with(std::string{little}, 4, -1)) == 1);        // a directory beyond the end
  CHECK(orientation_of(with(std::string{little}, 4, 25)) == 1);        // or half of it
  CHECK(orientation_of(with(std::string{little}, 8, char{-1})) == 6);  // more entries than there are
  CHECK(orientation_of(with(with(std::string{little}, 8, -1), 10, char{5})) == 1);
  for (std::size_t n = 0; n < little.size(); ++n) {
    // Copied, so that a sanitizer sees a read beyond the end.
    const std::vector<std::uint8_t> some(little.begin(), little.begin() + static_cast<std::ptrdiff_t>(n));
    CHECK(detail::exif_orientation(some) == (n < 22 ? 1 : 6));
  }
}

}  // namespace sslmeme
