// The orientation that cameras note in EXIF, and turning a picture upright.
#pragma once

#include <sslmeme/core/image.hpp>

#include <cstdint>
#include <span>

namespace sslmeme::detail {

/// The orientation, 1 … 8, in EXIF data: a TIFF file, after "Exif\0\0" or not (EXIF 2.32, 4.6.4 A). 1 if it has none or
/// is malformed.
int exif_orientation(std::span<const std::uint8_t> exif);

/// The picture turned upright: what orientation 1 … 8 asks for.
Image oriented(Image image, int orientation);

}  // namespace sslmeme::detail
