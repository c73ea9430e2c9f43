// The decoder of each picture format, and what they share. They throw PictureError without a file name; the caller
// adds it.
#pragma once

#include <sslmeme/core/error.hpp>
#include <sslmeme/data/image_io.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string_view>

namespace sslmeme::detail {

Image decode_jpeg(std::span<const std::byte> bytes, const DecodeLimits& limits);
Image decode_png(std::span<const std::byte> bytes, const DecodeLimits& limits);
Image decode_bmp(std::span<const std::byte> bytes, const DecodeLimits& limits);
Image decode_gif(std::span<const std::byte> bytes, const DecodeLimits& limits);

/// Throws PictureError::unknown_format, naming what to install, where libwebp was missing at build time.
Image decode_webp(std::span<const std::byte> bytes, const DecodeLimits& limits);
bool has_webp();

/// decode_png's two ways: libpng for every PNG; and, where libdeflate was there at build time, a fast one for the
/// usual kind — 8-bit grey, RGB or RGBA, not interlaced, without tRNS or eXIf. It gives nothing for every other PNG and
/// for one with anything odd about it, so that libpng alone decides what is refused.
Image decode_any_png(std::span<const std::byte> bytes, const DecodeLimits& limits);
std::optional<Image> decode_plain_png(std::span<const std::byte> bytes, const DecodeLimits& limits);

enum class PictureFormat { unknown, jpeg, png, webp, gif, bmp };

/// What a file that begins with `bytes`, at least 12 of them unless it is shorter, claims to be.
PictureFormat format_of(std::string_view bytes);

/// decode_image, its errors naming `path`.
Image decode_named(std::span<const std::byte> bytes, const DecodeLimits& limits, const std::filesystem::path& path);

/// Throws InvalidArgument for a limit that is not positive.
void check_limits(const DecodeLimits& limits);

/// Throws PictureError::too_large for a file of more bytes than the limit.
void check_bytes(std::int64_t bytes, const DecodeLimits& limits);

/// Throws PictureError if a header claims an empty picture or one beyond the limits: called before anything is
/// allocated.
void check_size(std::string_view format, std::int64_t width, std::int64_t height, const DecodeLimits& limits);

/// Throws PictureError::too_large if decoding would hold more bytes than the limit.
void check_memory(std::string_view format, std::int64_t bytes, const DecodeLimits& limits);

/// Throws PictureError: "damaged or truncated FORMAT: why".
[[noreturn]] void fail(PictureFault fault, std::string_view format, std::string_view why);

/// A value 0 … 255 of opacity `alpha` over white, rounded.
constexpr std::uint8_t on_white(int value, int alpha) {
  return static_cast<std::uint8_t>((value * alpha + 255 * (255 - alpha) + 127) / 255);
}

/// A row of RGBA pixels on white, as RGB.
void on_white(const std::uint8_t* rgba, std::size_t pixels, std::uint8_t* rgb);

}  // namespace sslmeme::detail
