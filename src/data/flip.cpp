// Mirrored pictures, in place.
#include <sslmeme/data/image_ops.hpp>

#include "data/pixel_kernels.hpp"

#include <algorithm>
#include <cstdint>
#include <vector>

namespace sslmeme {

Image flip_horizontal(Image image) {
  std::vector<std::uint8_t> copy(static_cast<std::size_t>(image.width) * 3);
  for (int y = 0; y < image.height; ++y) {
    std::copy_n(image.row(y), copy.size(), copy.data());
    detail::mirrored_row(copy.data(), static_cast<std::size_t>(image.width), image.row(y));
  }
  return image;
}

Image flip_vertical(Image image) {
  std::vector<std::uint8_t> copy(static_cast<std::size_t>(image.width) * 3);
  for (int y = 0; y < image.height / 2; ++y) {
    auto *upper = image.row(y), *lower = image.row(image.height - 1 - y);
    std::copy_n(upper, copy.size(), copy.data());
    std::copy_n(lower, copy.size(), upper);
    std::copy_n(copy.data(), copy.size(), lower);
  }
  return image;
}

}  // namespace sslmeme
