// The inner loops of colours, made for several instruction sets, of which the best is taken at run time (Google
// Highway). Results are the same, bit by bit, on all of them and without Highway.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace sslmeme::detail {

/// One thing to do to colours, with Pillow's arithmetic.
struct ColorStep {
  enum class Kind {
    brightness,  ///< factor · value
    contrast,    ///< mean + factor · (value − mean) of the mean luma
    saturation,  ///< luma + factor · (value − luma)
    hue,         ///< turned by `amount` of 256 in 8-bit HSV
    grayscale,   ///< luma in all three channels
    solarize,    ///< 255 − value from `amount` on
  };
  Kind kind;
  float factor = 1;  ///< of brightness, contrast and saturation
  int amount = 0;    ///< of hue, in [0, 255]; of solarize, in [0, 256]
};

/// ColorStep::amount of a hue turned by `factor` of the circle.
constexpr int hue_turn(double factor) {
  return static_cast<int>(factor * 255) & 255;
}

/// All steps in order, in place, on n RGB pixels, in one pass, or two where one is contrast.
void adjust_colors(std::uint8_t* pixels, std::size_t n, std::span<const ColorStep> steps);

/// out[c · n + i] = (channel c of pixel i / 255 − mean[c]) / std[c] in fp32, every operation rounded.
void normalize(const std::uint8_t* pixels, std::size_t n, const std::array<float, 3>& mean,
               const std::array<float, 3>& std, float* out);

}  // namespace sslmeme::detail
