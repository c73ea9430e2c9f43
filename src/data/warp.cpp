// Where pixels move: flips, affine and perspective maps (Pillow's Geometry.c), blur.
#include <sslmeme/core/error.hpp>
#include <sslmeme/data/image_ops.hpp>

#include "data/pixel_kernels.hpp"

#include <Eigen/Dense>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <vector>

#include <fmt/format.h>

namespace sslmeme {

namespace {

void check_interpolation(Interpolation interpolation) {
  if (interpolation == Interpolation::bicubic) {
    throw InvalidArgument("perspective and affine with .interpolation bicubic: choose nearest or bilinear");
  }
}

bool inside(const Image& image, double x, double y) {
  return x >= 0 && x < image.width && y >= 0 && y < image.height;
}

void sample_nearest(const Image& image, double x, double y, std::uint8_t* out) {
  if (inside(image, x, y)) std::copy_n(image.row(static_cast<int>(y)) + 3 * static_cast<int>(x), 3, out);
}

void sample_bilinear(const Image& image, double x, double y, std::uint8_t* out) {
  if (!inside(image, x, y)) return;
  x -= 0.5;
  y -= 0.5;
  const int left = static_cast<int>(std::floor(x)), top = static_cast<int>(std::floor(y));
  const double dx = x - left, dy = y - top;
  const int x0 = 3 * std::max(left, 0), x1 = 3 * std::min(left + 1, image.width - 1);
  const auto* upper = image.row(std::max(top, 0));
  const auto* lower = image.row(std::min(top + 1, image.height - 1));
  for (int c = 0; c < 3; ++c) {
    const double above = upper[x0 + c] + (upper[x1 + c] - upper[x0 + c]) * dx;
    const double below = lower[x0 + c] + (lower[x1 + c] - lower[x0 + c]) * dx;
    out[c] = static_cast<std::uint8_t>(above + (below - above) * dy);
  }
}

/// at(x, y): the place in `image` of an output pixel's centre.
template <class Map>
Image warped(const Image& image, Interpolation interpolation, const Map& at) {
  Image out{image.width, image.height};
  for (int y = 0; y < out.height; ++y) {
    auto* row = out.row(y);
    for (int x = 0; x < out.width; ++x, row += 3) {
      const Point point = at(x + 0.5, y + 0.5);
      if (interpolation == Interpolation::nearest)
        sample_nearest(image, point.x, point.y, row);
      else
        sample_bilinear(image, point.x, point.y, row);
    }
  }
  return out;
}

/// Pillow steps in 16-bit fixed point here; so do we, to land on the same pixels.
Image warped_nearest(const Image& image, const std::array<double, 6>& m) {
  const auto fixed = [](double value) { return static_cast<std::int64_t>(std::floor(value * 65536.0 + 0.5)); };
  const auto dx_x = fixed(m[0]), dx_y = fixed(m[1]), dy_x = fixed(m[3]), dy_y = fixed(m[4]);
  auto row_x = fixed(m[2] + m[0] * 0.5 + m[1] * 0.5), row_y = fixed(m[5] + m[3] * 0.5 + m[4] * 0.5);
  Image out{image.width, image.height};
  for (int y = 0; y < out.height; ++y, row_x += dx_y, row_y += dy_y) {
    auto* row = out.row(y);
    auto at_x = row_x, at_y = row_y;
    for (int x = 0; x < out.width; ++x, row += 3, at_x += dx_x, at_y += dy_x) {
      const auto in_x = at_x >> 16, in_y = at_y >> 16;
      if (in_x < 0 || in_x >= image.width || in_y < 0 || in_y >= image.height) continue;
      std::copy_n(image.row(static_cast<int>(in_y)) + 3 * in_x, 3, row);
    }
  }
  return out;
}

/// The position within [0, size) that reflecting at the first and last pixel leads to; position within (−size, 2 size −
/// 1).
int reflected(int position, int size) {
  if (position < 0) return -position;
  return position < size ? position : 2 * (size - 1) - position;
}

}  // namespace

Image flip_horizontal(const Image& image) {
  Image out{image.width, image.height};
  for (int y = 0; y < image.height; ++y) {
    const auto* in = image.row(y) + 3 * (image.width - 1);
    auto* row = out.row(y);
    for (int x = 0; x < image.width; ++x, in -= 3, row += 3) std::copy_n(in, 3, row);
  }
  return out;
}

Image flip_vertical(const Image& image) {
  Image out{image.width, image.height};
  for (int y = 0; y < image.height; ++y) std::copy_n(image.row(image.height - 1 - y), 3 * image.width, out.row(y));
  return out;
}

Image perspective(const Image& image, const std::array<Point, 4>& from, const std::array<Point, 4>& to,
                  Interpolation interpolation) {
  check_interpolation(interpolation);
  // from.x = (a to.x + b to.y + c) / (g to.x + h to.y + 1), from.y = (d to.x + e to.y + f) / (the same).
  Eigen::Matrix<double, 8, 8> equations = Eigen::Matrix<double, 8, 8>::Zero();
  Eigen::Matrix<double, 8, 1> values;
  for (int i = 0; i < 4; ++i) {
    const auto [fx, fy] = from[static_cast<std::size_t>(i)];
    const auto [tx, ty] = to[static_cast<std::size_t>(i)];
    equations.row(2 * i) << tx, ty, 1, 0, 0, 0, -fx * tx, -fx * ty;
    equations.row(2 * i + 1) << 0, 0, 0, tx, ty, 1, -fy * tx, -fy * ty;
    values.segment<2>(2 * i) << fx, fy;
  }
  // torchvision rounds the coefficients to fp32: so do we, to land on the same pixels.
  const Eigen::Matrix<double, 8, 1> m = equations.partialPivLu().solve(values).cast<float>().cast<double>();
  return warped(image, interpolation, [&](double x, double y) {
    const double depth = m[6] * x + m[7] * y + 1;
    return Point{(m[0] * x + m[1] * y + m[2]) / depth, (m[3] * x + m[4] * y + m[5]) / depth};
  });
}

Image affine(const Image& image, const AffineMotion& motion, Interpolation interpolation) {
  check_interpolation(interpolation);
  if (!(motion.scale > 0)) throw InvalidArgument(fmt::format("affine: .scale is {}: must be positive", motion.scale));
  const double angle = motion.degrees * std::numbers::pi / 180;
  const double c = std::cos(angle) / motion.scale, s = std::sin(angle) / motion.scale;
  const double cx = image.width * 0.5, cy = image.height * 0.5;
  const double x = -cx - motion.shift.x, y = -cy - motion.shift.y;
  const std::array<double, 6> m{c, s, c * x + s * y + cx, -s, c, c * y - s * x + cy};
  if (interpolation == Interpolation::nearest) return warped_nearest(image, m);
  return warped(image, interpolation,
                [&](double u, double v) { return Point{m[0] * u + m[1] * v + m[2], m[3] * u + m[4] * v + m[5]}; });
}

Image gaussian_blur(const Image& image, int kernel_size, double sigma) {
  if (kernel_size < 1 || kernel_size % 2 == 0 || !(sigma > 0)) {
    throw InvalidArgument(
        fmt::format("gaussian_blur: kernel_size {} must be odd and sigma {} positive", kernel_size, sigma));
  }
  const int radius = kernel_size / 2;
  if (radius >= image.width || radius >= image.height) {
    throw InvalidArgument(
        fmt::format("gaussian_blur: kernel_size {} on a picture of {} × {}: must be below twice its smaller edge",
                    kernel_size, image.width, image.height));
  }
  std::vector<float> kernel;
  float sum = 0;
  for (int k = -radius; k <= radius; ++k) {
    const auto x = k / sigma;
    kernel.push_back(static_cast<float>(std::exp(-0.5 * x * x)));
    sum += kernel.back();
  }
  for (auto& weight : kernel) weight /= sum;

  const auto length = static_cast<std::size_t>(image.width) * 3;
  std::vector<float> padded(length + static_cast<std::size_t>(6 * radius)), sums(length);
  std::vector<const float*> from(kernel.size());
  std::vector<float> blurred(length * static_cast<std::size_t>(image.height));
  for (int y = 0; y < image.height; ++y) {
    for (int x = -radius; x < image.width + radius; ++x) {
      std::copy_n(image.row(y) + 3 * reflected(x, image.width), 3, padded.data() + 3 * (x + radius));
    }
    for (std::size_t k = 0; k < kernel.size(); ++k) from[k] = padded.data() + 3 * k;
    detail::weighted_rows(from, kernel.data(), length, blurred.data() + static_cast<std::size_t>(y) * length);
  }
  Image out{image.width, image.height};
  for (int y = 0; y < image.height; ++y) {
    for (int k = -radius; k <= radius; ++k) {
      from[static_cast<std::size_t>(k + radius)] =
          blurred.data() + static_cast<std::size_t>(reflected(y + k, image.height)) * length;
    }
    detail::weighted_rows(from, kernel.data(), length, sums.data());
    std::ranges::transform(sums, out.row(y), [](float value) { return static_cast<std::uint8_t>(std::lrint(value)); });
  }
  return out;
}

}  // namespace sslmeme
