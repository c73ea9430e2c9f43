// The decoder of each picture format. They throw DataError without a file name; the caller adds it.
#pragma once

#include <sslmeme/data/image_io.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace sslmeme::detail {

Image decode_jpeg(std::span<const std::byte> bytes, const DecodeLimits& limits);
Image decode_png(std::span<const std::byte> bytes, const DecodeLimits& limits);
Image decode_bmp(std::span<const std::byte> bytes, const DecodeLimits& limits);

/// Throws DataError if a header claims an empty picture or one beyond the limit: called before anything is allocated.
void check_size(std::string_view format, std::int64_t width, std::int64_t height, const DecodeLimits& limits);

/// The EXIF orientation, 1 … 8, in an APP1 segment's payload; 1 if it has none.
int exif_orientation(std::span<const std::uint8_t> segment);

/// The picture turned upright: what EXIF orientation 1 … 8 asks for.
Image oriented(Image image, int orientation);

}  // namespace sslmeme::detail
