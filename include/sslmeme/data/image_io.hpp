// Reading and writing pictures: JPEG, PNG, WebP, GIF and BMP in, PNG out. Made for files from strangers: limits are
// checked before anything is allocated, and a damaged picture is an error, never a half-grey result.
#pragma once

#include <sslmeme/core/image.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

namespace sslmeme {

/// What a picture may cost before it is refused. All must be positive.
struct DecodeLimits {
  std::int64_t max_pixels = 100'000'000;            ///< width × height as the header claims
  std::int64_t max_bytes = 256 << 20;               ///< length of the encoded file
  std::int64_t max_edge = 65'535;                   ///< width and height, the most that JPEG and GIF can say
  std::int64_t max_scan_pixels = 1'000'000'000;     ///< width × height × scans of a progressive JPEG, which is time
  std::int64_t max_memory = std::int64_t{1} << 30;  ///< bytes that decoding holds at once, the picture included
};

/// The picture in `bytes` as 8-bit RGB. The format is told by its first bytes, not by a file name.
///
/// What is transparent lies on white. JPEG, PNG and WebP are turned upright as their EXIF orientation says.
/// JPEG: baseline and progressive; grey, YCbCr, CMYK and YCCK, both taken as inverted, as Adobe writes them and Pillow
/// reads them. PNG: every colour type; 16 bits are scaled to 8. WebP, if built with libwebp: lossy, lossless and the
/// first frame of an animation. GIF: the first frame on its logical screen, white where the frame does not reach. BMP:
/// 1, 4, 8, 16, 24 and 32 bits, run lengths, bit fields of up to 8 bits, alpha where a header of 56 bytes or more
/// declares it; pixels that run lengths skip have colour 0.
/// Throws PictureError, with the fault, for another format, a damaged or truncated picture and one beyond the limits;
/// InvalidArgument for a limit that is not positive.
Image decode_image(std::span<const std::byte> bytes, const DecodeLimits& limits = {});

/// Reads and decodes a file. Throws IoError if it cannot be read and PictureError, naming it, as decode_image does.
Image read_image(const std::filesystem::path& path, const DecodeLimits& limits = {});

/// The picture as an 8-bit RGB PNG file. Throws InvalidArgument for an empty picture.
std::vector<std::byte> encode_png(const Image& image);

/// Writes a PNG file; either the whole file is replaced or none of it. Throws IoError.
void write_png(const std::filesystem::path& path, const Image& image);

}  // namespace sslmeme
