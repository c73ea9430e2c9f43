// Reading and writing pictures, good ones and bad ones.
#include <sslmeme/core/error.hpp>
#include <sslmeme/data/image_io.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <zlib.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/decoders.hpp"
#include "files.hpp"
#include "peak_memory.hpp"

namespace sslmeme {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

const fs::path pictures = fs::path{SSLMEME_TEST_DATA} / "pictures";

std::vector<std::byte> bytes_of(const fs::path& path) {
  const auto text = test::bytes_of(path);
  const auto bytes = std::as_bytes(std::span{text});
  return {bytes.begin(), bytes.end()};
}

int largest_difference(const Image& a, const Image& b) {
  REQUIRE(a.width == b.width);
  REQUIRE(a.height == b.height);
  int largest = 0;
  for (std::size_t i = 0; i < a.pixels.size(); ++i) largest = std::max(largest, std::abs(a.pixels[i] - b.pixels[i]));
  return largest;
}

std::byte byte(int value) {
  return static_cast<std::byte>(value);
}

TEST_CASE("every kind of picture decodes as Pillow does") {
  const std::string name =
      GENERATE("rgb.png", "grey.png", "one_bit.png", "palette.png", "palette_transparent.png", "grey16.png", "rgba.png",
               "interlaced.png", "rgb.bmp", "baseline.jpg", "progressive.jpg", "grey.jpg", "cmyk.jpg");
  CAPTURE(name);
  const auto expected = read_image(pictures / (name + ".expected.png"));
  // Decoders of JPEG may round differently, and compositing may round to either side.
  const int tolerance = name.ends_with(".jpg") || name == "rgba.png" ? 1 : 0;
  CHECK(largest_difference(read_image(pictures / name), expected) <= tolerance);
}

TEST_CASE("a JPEG is turned upright as its EXIF orientation says") {
  const int orientation = GENERATE(2, 3, 4, 5, 6, 7, 8);
  CAPTURE(orientation);
  const auto image = read_image(pictures / ("orientation_" + std::to_string(orientation) + ".jpg"));
  CHECK(largest_difference(image, read_image(pictures / "rgb.png")) <
        24);  // JPEG at quality 98; any wrong turn is off by over 100
}

TEST_CASE("a picture cut off anywhere is an error") {
  const std::string name = GENERATE("baseline.jpg", "progressive.jpg", "rgb.png", "rgba.png", "rgb.bmp");
  const auto whole = bytes_of(pictures / name);
  const double share = GENERATE(0.0, 0.01, 0.1, 0.5, 0.9, 1.0);
  const auto size = std::min(static_cast<std::size_t>(static_cast<double>(whole.size()) * share), whole.size() - 1);
  CAPTURE(name, size);
  CHECK_THROWS_AS(decode_image(std::span{whole}.first(size)), DataError);
}

TEST_CASE("a damaged picture is an error") {
  auto png = bytes_of(pictures / "rgb.png");
  png[png.size() / 2] ^= byte(0x10);
  CHECK_THROWS_MATCHES(decode_image(png), DataError, MessageMatches(ContainsSubstring("damaged or truncated PNG")));

  auto jpeg = bytes_of(pictures / "baseline.jpg");
  for (std::size_t i = jpeg.size() / 2; i < jpeg.size() / 2 + 40; ++i) jpeg[i] = byte(0xFF);
  CHECK_THROWS_MATCHES(decode_image(jpeg), DataError, MessageMatches(ContainsSubstring("damaged or truncated JPEG")));
}

TEST_CASE("what is no picture is named") {
  const auto decode = [](std::string_view text) { return decode_image(std::as_bytes(std::span{text})); };
  CHECK_THROWS_MATCHES(decode(""), DataError, MessageMatches(ContainsSubstring("empty file")));
  CHECK_THROWS_MATCHES(decode({"II*\0...", 7}), DataError,
                       MessageMatches(ContainsSubstring("TIFF") && ContainsSubstring("convert")));
  CHECK_THROWS_MATCHES(decode("<html>"), DataError,
                       MessageMatches(ContainsSubstring("no JPEG, PNG, WebP, GIF or BMP")));
}

TEST_CASE("limits are checked in the header, before anything is allocated") {
  const std::string name = GENERATE("baseline.jpg", "rgb.png", "rgb.bmp");
  CAPTURE(name);
  CHECK(read_image(pictures / name, {.max_pixels = 48 * 32}).width == 48);
  CHECK_THROWS_MATCHES(read_image(pictures / name, {.max_pixels = 48 * 32 - 1}), DataError,
                       MessageMatches(ContainsSubstring("48 × 32") && ContainsSubstring("1535") &&
                                      ContainsSubstring(".limits.max_pixels") && ContainsSubstring(name)));
  CHECK_THROWS_MATCHES(read_image(pictures / name, {.max_bytes = 100}), DataError,
                       MessageMatches(ContainsSubstring(".limits.max_bytes") && ContainsSubstring(name)));
  CHECK_THROWS_AS(decode_image(bytes_of(pictures / name), {.max_bytes = 100}), DataError);
}

Image decode(std::string_view bytes, const DecodeLimits& limits = {}) {
  return decode_image(std::as_bytes(std::span{bytes}), limits);
}

std::string big_endian(std::uint32_t value, int bytes = 4) {
  std::string text;
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) text += static_cast<char>(value >> shift);
  return text;
}

std::string png_chunk(const std::string& kind, const std::string& data) {
  const auto guarded = kind + data;
  const auto sum = crc32(0, reinterpret_cast<const Bytef*>(guarded.data()), static_cast<unsigned>(guarded.size()));
  return big_endian(static_cast<std::uint32_t>(data.size())) + guarded + big_endian(static_cast<std::uint32_t>(sum));
}

/// A file of a few hundred bytes whose header claims `edge` × `edge` pixels.
std::string header_bomb(const std::string& name, std::uint32_t edge) {
  auto bytes = test::bytes_of(pictures / name);
  const auto put = [&](std::size_t at, const std::string& value) { bytes.replace(at, value.size(), value); };
  const auto little = [](std::uint32_t value, int count) {
    auto text = big_endian(value, count);
    std::ranges::reverse(text);
    return text;
  };
  if (name.ends_with(".png")) {
    constexpr std::size_t header = 8, whole = 25;  // behind the signature; length, kind, 13 bytes, checksum
    auto content = bytes.substr(header + 8, 13);
    content.replace(0, 8, big_endian(edge) + big_endian(edge));
    bytes.replace(header, whole, png_chunk("IHDR", content));
  } else if (name.ends_with(".gif")) {
    put(6, little(edge, 2) + little(edge, 2));
  } else if (name.ends_with(".bmp")) {
    put(18, little(edge, 4) + little(edge, 4));
  } else if (name.ends_with(".webp")) {  // a lossless one: 14 bits each of width and height, less 1
    const auto sizes = (edge - 1) | (edge - 1) << 14U;
    put(21, little((sizes & 0x0FFFFFFFU) | (static_cast<unsigned char>(bytes[24]) & 0xF0U) << 24U, 4));
  } else {  // a JPEG: start of frame, length, precision, height, width
    const auto frame = bytes.find("\xFF\xC0");
    REQUIRE(frame != std::string::npos);
    put(frame + 5, big_endian(edge, 2) + big_endian(edge, 2));
  }
  return bytes;
}

TEST_CASE("a header that claims a huge picture takes no memory") {
  std::vector<std::string> names{"rgb.png",    "interlaced.png", "gif_256.gif",
                                 "bmp_24.bmp", "bmp_8_runs.bmp", "baseline.jpg"};
  if (detail::has_webp()) names.emplace_back("webp_lossless.webp");
  const auto refused = [](const std::string& bytes, const std::string& limit, const DecodeLimits& limits) {
    try {
      decode(bytes, limits);
      FAIL("decoded");
    } catch (const PictureError& error) {
      CHECK(error.fault() == PictureFault::too_large);
      CHECK_THAT(error.what(), ContainsSubstring(limit));
    }
  };
  constexpr std::int64_t little = 4 * 1024;  // KiB; a picture of 9,000² takes 237,000
  for (const auto& name : names) {
    CAPTURE(name);
    const auto larger = header_bomb(name, 16'000), large = header_bomb(name, 9000);
    CHECK(test::peak_growth([&] { refused(larger, "16000 × 16000", {}); }) < little);
    if (name == "bmp_24.bmp") continue;  // whose header tells how long the file must be
    CHECK(test::peak_growth([&] { refused(large, ".limits.max_memory", {.max_memory = 200 << 20}); }) < little);
  }
}

TEST_CASE("what a PNG holds beside its picture is not inflated") {
  const std::string kind = GENERATE("zTXt", "iTXt");
  const std::string text(std::size_t{7} << 20, 'a');
  auto size = compressBound(text.size());
  std::string packed(size, '\0');
  REQUIRE(compress(reinterpret_cast<Bytef*>(packed.data()), &size, reinterpret_cast<const Bytef*>(text.data()),
                   text.size()) == Z_OK);
  packed.resize(size);
  const auto chunk = png_chunk(
      kind, std::string("key\0", 4) + (kind == "iTXt" ? std::string("\1\0\0\0", 4) : std::string(1, '\0')) + packed);
  const std::string image = GENERATE("rgb16.png", "palette.png", "interlaced.png");
  auto bomb = test::bytes_of(pictures / image);
  constexpr std::size_t behind_header = 33;
  for (int i = 0; i < 20; ++i) bomb.insert(behind_header, chunk);
  CAPTURE(kind, image);
  const auto expected = read_image(pictures / image);
  CHECK(test::peak_growth([&] { CHECK(decode(bomb) == expected); }) < 4 * 1024);  // KiB, of 143,000 inflated
}

TEST_CASE("a JPEG's APP1 markers are read, not kept") {
  auto jpeg = test::bytes_of(pictures / "orientation_6.jpg");
  const auto expected = decode(jpeg);
  std::string markers;
  for (int i = 0; i < 512; ++i) markers += "\xFF\xE1\xFF\xFF" + std::string(0xFFFF - 2, 'x');
  jpeg.insert(2, markers);  // behind the start; EXIF comes after them
  CHECK(test::peak_growth([&] { CHECK(decode(jpeg) == expected); }) < 8 * 1024);  // KiB, of 32,000
  // One that ends beyond the file.
  CHECK_THROWS_MATCHES(decode(jpeg.substr(0, 1000)), PictureError,
                       MessageMatches(ContainsSubstring("damaged or truncated JPEG")));
}

TEST_CASE("a JPEG header that claims 60000 × 60000 pixels is refused") {
  CHECK_THROWS_MATCHES(decode(header_bomb("baseline.jpg", 60'000)), DataError,
                       MessageMatches(ContainsSubstring("60000 × 60000")));
}

TEST_CASE("a progressive JPEG of more than 100 scans is refused") {
  const auto jpeg = bytes_of(pictures / "progressive.jpg");
  std::size_t last = 0;
  for (std::size_t i = 2; i + 1 < jpeg.size(); ++i) {
    if (jpeg[i] == byte(0xFF) && jpeg[i + 1] == byte(0xDA)) last = i;
  }
  REQUIRE(last > 0);
  // Refining a coefficient by zero bits over and over is legal, costs nothing to write and a whole pass to read.
  std::vector<std::byte> bomb(jpeg.begin(), jpeg.end() - 2);
  for (int i = 0; i < 200; ++i)
    bomb.insert(bomb.end(), jpeg.begin() + static_cast<std::ptrdiff_t>(last), jpeg.end() - 2);
  bomb.insert(bomb.end(), jpeg.end() - 2, jpeg.end());
  CHECK_THROWS_MATCHES(decode_image(bomb), DataError, MessageMatches(ContainsSubstring("100 progressive scans")));
}

TEST_CASE("a written PNG reads back the same, and replaces the old one") {
  const test::TemporaryFolder folder;
  const auto image = read_image(pictures / "rgb.png");
  const auto path = folder / "out.png";
  write_png(path, Image{3, 2});
  write_png(path, image);
  CHECK(read_image(path) == image);
  CHECK(decode_image(encode_png(image)) == image);
  CHECK(folder.entries() == 1);  // no temporary file stays behind
  CHECK_THROWS_AS(encode_png(Image{}), InvalidArgument);
}

TEST_CASE("files that cannot be read or written are named") {
  const test::TemporaryFolder folder;
  const auto missing = folder / "missing" / "a.png";
  CHECK_THROWS_MATCHES(read_image(missing), IoError,
                       MessageMatches(ContainsSubstring(missing.string()) && ContainsSubstring("No such file")));
  CHECK_THROWS_MATCHES(write_png(missing, Image{2, 2}), IoError, MessageMatches(ContainsSubstring(missing.string())));
  CHECK_THROWS_MATCHES(read_image(folder.path), IoError, MessageMatches(ContainsSubstring("no regular file")));
}

}  // namespace
}  // namespace sslmeme
