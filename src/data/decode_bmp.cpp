// BMP through stb_image, which holds no other decoder here: those for JPEG and PNG accept damaged files.
#include "data/decoders.hpp"

#include <sslmeme/core/error.hpp>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <string_view>

#include <fmt/format.h>

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_BMP
#define STBI_NO_STDIO
#define STBI_NO_HDR
#define STBI_NO_LINEAR
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#include <stb/stb_image.h>
#pragma GCC diagnostic pop

namespace sslmeme::detail {

namespace {

// stb_image reads zeros beyond the end: whether all rows are there is checked here.
bool is_truncated(std::span<const std::byte> bytes, std::int64_t width, std::int64_t height) {
  const auto number = [&]<class T>(T, std::size_t at) -> std::int64_t {
    T value{};  // BMP is little-endian, as every machine that LibTorch runs on
    if (at + sizeof value <= bytes.size()) std::memcpy(&value, bytes.data() + at, sizeof value);
    return value;
  };
  const auto start = number(std::uint32_t{}, 10);
  const bool os2 = number(std::uint32_t{}, 14) == 12;
  const auto bits = number(std::uint16_t{}, os2 ? 24 : 28);
  const auto row_bytes = (width * bits + 31) / 32 * 4;
  return start + row_bytes * height > static_cast<std::int64_t>(bytes.size());
}

}  // namespace

Image decode_bmp(std::span<const std::byte> bytes, const DecodeLimits& limits) {
  if (bytes.size() > static_cast<std::size_t>(std::numeric_limits<int>::max())) throw DataError("BMP of over 2 GiB");
  const auto* data = reinterpret_cast<const stbi_uc*>(bytes.data());
  const auto size = static_cast<int>(bytes.size());
  const auto fail = [](std::string_view why) { throw DataError(fmt::format("damaged or truncated BMP: {}", why)); };
  int width = 0, height = 0, channels = 0;
  if (stbi_info_from_memory(data, size, &width, &height, &channels) == 0) fail(stbi_failure_reason());
  check_size("BMP", width, height, limits);
  if (is_truncated(bytes, width, height)) fail("the file ends too early");
  const std::unique_ptr<stbi_uc, decltype(&std::free)> pixels{
      stbi_load_from_memory(data, size, &width, &height, &channels, 3), &std::free};
  if (!pixels) fail(stbi_failure_reason());
  Image image{width, height};
  std::copy_n(pixels.get(), image.pixels.size(), image.pixels.data());
  return image;
}

}  // namespace sslmeme::detail
