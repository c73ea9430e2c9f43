// Sharpness, with the arithmetic of Pillow's Filter.c and Blend.c.
#include <sslmeme/data/image_ops.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace sslmeme {

namespace {

/// smooth + factor × (value − smooth), cut off like Pillow does.
std::uint8_t blended(int smooth, int value, float factor) {
  const float result = static_cast<float>(smooth) + factor * static_cast<float>(value - smooth);
  return static_cast<std::uint8_t>(std::clamp(result, 0.0F, 255.0F));
}

}  // namespace

Image adjust_sharpness(const Image& image, double factor) {
  Image out = image;  // what has not all its eight neighbours stays as it is
  const auto strength = static_cast<float>(factor);
  for (int y = 1; y + 1 < image.height; ++y) {
    const auto *above = image.row(y - 1), *here = image.row(y), *below = image.row(y + 1);
    auto* row = out.row(y);
    for (int i = 3; i < 3 * (image.width - 1); ++i) {
      const auto three = [i](const std::uint8_t* from) { return from[i - 3] + from[i] + from[i + 3]; };
      // Neighbours weigh 1 and the middle 5; a thirteenth is never midway, so that this rounds as Pillow's floats do.
      const int sum = three(above) + three(here) + three(below) + 4 * here[i];
      row[i] = blended((2 * sum + 13) / 26, here[i], strength);
    }
  }
  return out;
}

}  // namespace sslmeme
