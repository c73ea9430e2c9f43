// The inner loop of perspective and affine maps, made for several instruction sets, of which the best is taken at run
// time (Google Highway). Results are the same, bit by bit, on all of them and without Highway.
#pragma once

#include <sslmeme/core/image.hpp>

#include <array>
#include <cstdint>

namespace sslmeme::detail {

/// Row y of the picture seen through a map, bilinear, to `out`, which has room for image.width pixels; those that come
/// from outside are left as they are. The centre (x, y) of an output pixel comes from ((m0 x + m1 y + m2) / d,
/// (m3 x + m4 y + m5) / d), d = m6 x + m7 y + 1. Pillow's arithmetic (Geometry.c).
void bilinear_row(const Image& image, const std::array<double, 8>& m, int y, std::uint8_t* out);

}  // namespace sslmeme::detail
