// Colours and a float picture: what backgrounds and sprites are painted on before it becomes 8 bits.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

namespace sslmeme {

/// Red, green, blue, 0 to 1.
struct Rgb {
  float r = 0;
  float g = 0;
  float b = 0;

  constexpr Rgb operator+(Rgb o) const { return {r + o.r, g + o.g, b + o.b}; }
  constexpr Rgb operator*(Rgb o) const { return {r * o.r, g * o.g, b * o.b}; }
  constexpr Rgb operator*(float k) const { return {r * k, g * k, b * k}; }
};

/// a at t = 0, b at t = 1.
constexpr Rgb mix(Rgb a, Rgb b, float t) {
  return a * (1 - t) + b * t;
}

/// 0 below `low`, 1 above `high`, smooth between.
constexpr float smooth_step(float low, float high, float x) {
  const float t = std::clamp((x - low) / (high - low), 0.0F, 1.0F);
  return t * t * (3 - 2 * t);
}

/// A square picture of floats.
struct Canvas {
  int size = 0;
  std::vector<Rgb> pixels;  ///< size × size, row by row

  explicit Canvas(int size_) : size{size_}, pixels(static_cast<std::size_t>(size_) * static_cast<std::size_t>(size_)) {}
  Rgb& at(int x, int y) {
    return pixels[static_cast<std::size_t>(y) * static_cast<std::size_t>(size) + static_cast<std::size_t>(x)];
  }
};

}  // namespace sslmeme
