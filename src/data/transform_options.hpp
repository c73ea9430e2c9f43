// What random transforms share: checks of their options, and a draw.
#pragma once

#include <sslmeme/core/error.hpp>
#include <sslmeme/core/random.hpp>

#include <array>
#include <cstdint>
#include <string_view>

#include <fmt/format.h>

namespace sslmeme::detail {

// The smallest positive bound of ranges that must not hold 0.
inline constexpr double tiny = 1e-6;

inline void check_probability(std::string_view name, double p) {
  if (!(p >= 0 && p <= 1)) throw InvalidArgument(fmt::format("{}.p is {}: must be within 0 and 1", name, p));
}

inline void check_range(std::string_view name, const std::array<double, 2>& range, double low, double high) {
  if (!(range[0] >= low && range[0] <= range[1] && range[1] <= high)) {
    throw InvalidArgument(
        fmt::format("{} is {{{}, {}}}: must rise and lie within {} and {}", name, range[0], range[1], low, high));
  }
}

inline void check_value(std::string_view name, double value, double low, double high) {
  check_range(name, {value, value}, low, high);
}

/// Uniform among low … high.
inline int draw_int(Rng& rng, int low, int high) {
  return low + static_cast<int>(rng.below(static_cast<std::uint64_t>(high - low + 1)));
}

/// The corner pixels: top left, top right, bottom right, bottom left.
inline std::array<Point, 4> corners_of(int width, int height) {
  return {Point{0, 0}, Point{width - 1.0, 0}, Point{width - 1.0, height - 1.0}, Point{0, height - 1.0}};
}

}  // namespace sslmeme::detail
