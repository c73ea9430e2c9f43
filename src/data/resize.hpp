// A part of a resized picture, without the rest.
#pragma once

#include <sslmeme/data/image_ops.hpp>

namespace sslmeme::detail {

/// crop(resized_crop(image, box, width, height, interpolation), window), of which only the window is computed.
Image resized_window(const Image& image, const Box& box, int width, int height, const Box& window,
                     Interpolation interpolation);

}  // namespace sslmeme::detail
