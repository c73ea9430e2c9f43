// The curve along which weight decay and a teacher's momentum go from one value to another.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>

namespace sslmeme::detail {

/// `first` in step 0, `last` in step total_steps, half a cosine between.
inline double half_cosine(double first, double last, std::int64_t step, std::int64_t total_steps) {
  const auto progress = static_cast<double>(step) / static_cast<double>(std::max<std::int64_t>(1, total_steps));
  return last + 0.5 * (first - last) * (1 + std::cos(std::numbers::pi * progress));
}

}  // namespace sslmeme::detail
