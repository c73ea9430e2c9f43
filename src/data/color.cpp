// Colours, value by value. The arithmetic is Pillow's (Blend.c, Convert.c), so that results are equal.
#include <sslmeme/data/image_ops.hpp>

#include "data/color_kernels.hpp"

#include <algorithm>
#include <utility>

namespace sslmeme {

namespace {

using Kind = detail::ColorStep::Kind;

Image adjusted(Image image, const detail::ColorStep& step) {
  detail::adjust_colors(image.pixels.data(), image.pixels.size() / 3, {&step, 1});
  return image;
}

}  // namespace

Image grayscale(Image image) {
  return adjusted(std::move(image), {.kind = Kind::grayscale});
}

Image adjust_brightness(Image image, double factor) {
  return adjusted(std::move(image), {.kind = Kind::brightness, .factor = static_cast<float>(factor)});
}

Image adjust_contrast(Image image, double factor) {
  return adjusted(std::move(image), {.kind = Kind::contrast, .factor = static_cast<float>(factor)});
}

Image adjust_saturation(Image image, double factor) {
  return adjusted(std::move(image), {.kind = Kind::saturation, .factor = static_cast<float>(factor)});
}

Image adjust_hue(Image image, double factor) {
  return adjusted(std::move(image), {.kind = Kind::hue, .amount = detail::hue_turn(factor)});
}

Image solarize(Image image, int threshold) {
  return adjusted(std::move(image), {.kind = Kind::solarize, .amount = std::clamp(threshold, 0, 256)});
}

}  // namespace sslmeme
