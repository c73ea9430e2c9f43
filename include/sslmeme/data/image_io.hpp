// Reading and writing pictures: JPEG, PNG and BMP in, PNG out. Made for files from strangers: limits are checked before
// anything is allocated, and a damaged picture is an error, never a half-grey result.
#pragma once

#include <sslmeme/core/image.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

namespace sslmeme {

/// What a picture may cost before it is refused.
struct DecodeLimits {
  std::int64_t max_pixels = 100'000'000;  ///< width × height as the header claims
  std::int64_t max_bytes = 256 << 20;     ///< length of the encoded file
};

/// The picture in `bytes` as 8-bit RGB. The format is told by its first bytes, not by a file name.
///
/// JPEG: baseline and progressive; grey, YCbCr, CMYK and YCCK (with Adobe's inversion); turned upright as EXIF says.
/// PNG: every colour type; 16 bits are scaled to 8; what is transparent lies on white. BMP as stb_image reads it.
/// Throws DataError for another format, a damaged or truncated picture, and one beyond the limits.
Image decode_image(std::span<const std::byte> bytes, const DecodeLimits& limits = {});

/// Reads and decodes a file. Throws IoError if it cannot be read and DataError, naming it, as decode_image does.
Image read_image(const std::filesystem::path& path, const DecodeLimits& limits = {});

/// The picture as an 8-bit RGB PNG file. Throws InvalidArgument for an empty picture.
std::vector<std::byte> encode_png(const Image& image);

/// Writes a PNG file; either the whole file is replaced or none of it. Throws IoError.
void write_png(const std::filesystem::path& path, const Image& image);

}  // namespace sslmeme
