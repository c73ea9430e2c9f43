// Gaussian blur in 16-bit fixed point, in place: columns, then rows, of which only those in use are kept.
#include <sslmeme/core/error.hpp>
#include <sslmeme/data/image_ops.hpp>

#include "data/pixel_kernels.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include <fmt/format.h>

namespace sslmeme {

namespace {

/// The weights of the middle and of the positions at both sides of it as far as they count, with 15 bits of fraction.
std::vector<std::int16_t> half_kernel(int radius, double sigma) {
  constexpr double unit = 1 << 15;
  std::vector<double> exact;
  double sum = 0;
  for (int k = 0; k <= radius; ++k) {
    const double x = k / sigma;
    exact.push_back(std::exp(-0.5 * x * x));
    sum += (k == 0 ? 1 : 2) * exact.back();
  }
  // Rounded sums of the tail, not rounded weights: so that the sum of all is 1, and no weight is off by more than one.
  std::vector<std::int16_t> weights(exact.size());
  double tail = 0;
  for (int k = radius, done = 0; k > 0; --k) {
    tail += exact[static_cast<std::size_t>(k)] / sum;
    const auto now = static_cast<int>(std::lrint(tail * unit));
    weights[static_cast<std::size_t>(k)] = static_cast<std::int16_t>(now - done);
    done = now;
  }
  const auto sides = static_cast<int>(std::lrint(tail * unit));
  // 2^15 does not fit, but rounds the same.
  weights[0] = static_cast<std::int16_t>(std::min((1 << 15) - 2 * sides, (1 << 15) - 1));
  while (weights.size() > 1 && weights.back() == 0) weights.pop_back();
  return weights;
}

/// The position within [0, size) that reflecting at the first and last pixel leads to; position within (−size, 2 size −
/// 1).
int reflected(int position, int size) {
  if (position < 0) return -position;
  return position < size ? position : 2 * (size - 1) - position;
}

}  // namespace

Image gaussian_blur(Image image, int kernel_size, double sigma) {
  if (kernel_size < 1 || kernel_size % 2 == 0 || !(sigma > 0)) {
    throw InvalidArgument(
        fmt::format("gaussian_blur: kernel_size {} must be odd and sigma {} positive", kernel_size, sigma));
  }
  if (kernel_size / 2 >= image.width || kernel_size / 2 >= image.height) {
    throw InvalidArgument(
        fmt::format("gaussian_blur: kernel_size {} on a picture of {} × {}: must be below twice its smaller edge",
                    kernel_size, image.width, image.height));
  }
  const auto weights = half_kernel(kernel_size / 2, sigma);
  const auto radius = static_cast<int>(weights.size()) - 1;
  if (radius == 0) return image;

  const auto pairs = static_cast<std::size_t>(radius), length = static_cast<std::size_t>(image.width) * 3;
  const auto margin = 3 * pairs, stride = length + detail::blur_slack, kept = 2 * pairs + 1;
  std::vector<std::int16_t> padded(length + 2 * margin + detail::blur_slack), ring(kept * stride), sums(stride);
  std::vector<const std::int16_t*> before(pairs), after(pairs);
  const auto blurred = [&](int y) { return ring.data() + static_cast<std::size_t>(y) % kept * stride; };
  const auto blur_columns = [&](int y) {
    auto* const first = padded.data() + margin;
    detail::to_blur(image.row(y), length, first);
    for (int k = 1; k <= radius; ++k) {
      std::copy_n(first + 3 * k, 3, first - 3 * k);
      std::copy_n(first + 3 * (image.width - 1 - k), 3, first + 3 * (image.width - 1 + k));
      before[static_cast<std::size_t>(k - 1)] = first - 3 * k;
      after[static_cast<std::size_t>(k - 1)] = first + 3 * k;
    }
    detail::blurred_row(first, before, after, weights.data(), length, blurred(y));
  };
  for (int y = 0, made = 0; y < image.height; ++y) {
    for (; made < std::min(y + radius + 1, image.height); ++made) blur_columns(made);
    for (int k = 1; k <= radius; ++k) {
      before[static_cast<std::size_t>(k - 1)] = blurred(reflected(y - k, image.height));
      after[static_cast<std::size_t>(k - 1)] = blurred(reflected(y + k, image.height));
    }
    detail::blurred_row(blurred(y), before, after, weights.data(), length, sums.data());
    detail::from_blur(sums.data(), length, image.row(y));
  }
  return image;
}

}  // namespace sslmeme
