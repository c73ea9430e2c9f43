// Where pixels move: affine and perspective maps (Pillow's Geometry.c).
#include <sslmeme/core/error.hpp>
#include <sslmeme/data/image_ops.hpp>

#include "data/warp_kernels.hpp"

#include <Eigen/Dense>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <numbers>

#include <fmt/format.h>

namespace sslmeme {

namespace {

void check_interpolation(Interpolation interpolation) {
  if (interpolation == Interpolation::bicubic) {
    throw InvalidArgument("perspective and affine with .interpolation bicubic: choose nearest or bilinear");
  }
}

/// Of an output pixel's centre (x, y): it comes from ((m0 x + m1 y + m2) / d, (m3 x + m4 y + m5) / d), d = m6 x + m7 y
/// + 1.
using Projection = std::array<double, 8>;

Image warped_bilinear(const Image& image, const Projection& m) {
  Image out{image.width, image.height};
  for (int y = 0; y < out.height; ++y) detail::bilinear_row(image, m, y, out.row(y));
  return out;
}

Image warped_nearest(const Image& image, const Projection& m) {
  Image out{image.width, image.height};
  for (int i = 0; i < out.height; ++i) {
    auto* row = out.row(i);
    for (int k = 0; k < out.width; ++k, row += 3) {
      const double u = k + 0.5, v = i + 0.5, depth = m[6] * u + m[7] * v + 1;
      const double x = (m[0] * u + m[1] * v + m[2]) / depth, y = (m[3] * u + m[4] * v + m[5]) / depth;
      if (!(x >= 0 && x < image.width && y >= 0 && y < image.height)) continue;
      std::copy_n(image.row(static_cast<int>(y)) + 3 * static_cast<int>(x), 3, row);
    }
  }
  return out;
}

/// Steps from pixel to pixel as m says, whose last column is the place of the first.
Image stepped(const Image& image, const std::array<double, 6>& m) {
  const auto inside = [](double at, int size) { return at >= 0 && at < size; };
  Image out{image.width, image.height};
  auto row_x = m[2], row_y = m[5];
  for (int y = 0; y < out.height; ++y, row_x += m[1], row_y += m[4]) {
    auto* row = out.row(y);
    auto x = row_x, y_in = row_y;
    for (int i = 0; i < out.width; ++i, row += 3, x += m[0], y_in += m[3]) {
      if (inside(x, image.width) && inside(y_in, image.height))
        std::copy_n(image.row(static_cast<int>(y_in)) + 3 * static_cast<int>(x), 3, row);
    }
  }
  return out;
}

/// The steps i within [first, last) for which 0 ≤ from + step · i < end are those left in it.
void keep_inside(std::int64_t from, std::int64_t step, std::int64_t end, std::int64_t& first, std::int64_t& last) {
  if (step == 0) {
    if (from < 0 || from >= end) last = first;
    return;
  }
  // The least i of which from + step · i reaches `bound`, going up; or goes below it, going down.
  const auto reaches = [&](std::int64_t bound) {
    const auto way = step > 0 ? bound - from : from - bound + 1, size = std::abs(step);
    return way <= 0 ? std::int64_t{0} : (way + size - 1) / size;
  };
  first = std::max(first, step > 0 ? reaches(0) : reaches(end));
  last = std::max(first, std::min(last, step > 0 ? reaches(end) : reaches(0)));
}

/// As stepped(), in 16-bit fixed point.
Image stepped_fixed(const Image& image, const std::array<std::int64_t, 6>& m) {
  constexpr int bits = 16;
  Image out{image.width, image.height};
  auto row_x = m[2], row_y = m[5];
  for (int y = 0; y < out.height; ++y, row_x += m[1], row_y += m[4]) {
    std::int64_t first = 0, last = out.width;
    keep_inside(row_x, m[0], std::int64_t{image.width} << bits, first, last);
    keep_inside(row_y, m[3], std::int64_t{image.height} << bits, first, last);
    auto* to = out.row(y) + 3 * first;
    auto x = row_x + m[0] * first, y_in = row_y + m[3] * first;
    for (auto i = first; i < last; ++i, to += 3, x += m[0], y_in += m[3])
      std::memcpy(to, image.row(static_cast<int>(y_in >> bits)) + 3 * (x >> bits), 3);
  }
  return out;
}

/// Pillow steps in 16-bit fixed point where it can, but not where rows and columns stay such; so do we, to land on the
/// same pixels.
Image stepped_nearest(const Image& image, std::array<double, 6> m) {
  constexpr double most = 32768;  // pixels, that fixed point holds
  bool fits = m[1] != 0 || m[3] != 0;
  for (const int x : {0, image.width}) {
    for (const int y : {0, image.height}) {
      fits = fits && std::abs(m[0] * x + m[1] * y + m[2]) < most && std::abs(m[3] * x + m[4] * y + m[5]) < most;
    }
  }
  m[2] += m[1] * 0.5 + m[0] * 0.5;
  m[5] += m[4] * 0.5 + m[3] * 0.5;
  if (!fits) return stepped(image, m);
  std::array<std::int64_t, 6> fixed{};
  std::ranges::transform(m, fixed.begin(),
                         [](double value) { return static_cast<std::int64_t>(std::floor(value * 65536.0 + 0.5)); });
  return stepped_fixed(image, fixed);
}

/// The place in the picture of a place in the result: x = m[0] x' + m[1] y' + m[2], y = m[3] x' + m[4] y' + m[5]. The
/// order of the operations is torchvision's (_get_inverse_affine_matrix).
std::array<double, 6> inverse_of(const AffineMotion& motion, const Point& center) {
  constexpr double degree = std::numbers::pi / 180;
  const double turn = motion.degrees * degree, along_x = motion.shear.x * degree, along_y = motion.shear.y * degree;
  const double a = std::cos(turn - along_y) / std::cos(along_y);
  const double b = -std::cos(turn - along_y) * std::tan(along_x) / std::cos(along_y) - std::sin(turn);
  const double c = std::sin(turn - along_y) / std::cos(along_y);
  const double d = -std::sin(turn - along_y) * std::tan(along_x) / std::cos(along_y) + std::cos(turn);
  std::array<double, 6> m{d, -b, 0, -c, a, 0};
  for (auto& value : m) value /= motion.scale;
  const double x = -center.x - motion.shift.x, y = -center.y - motion.shift.y;
  m[2] = m[0] * x + m[1] * y + center.x;
  m[5] = m[3] * x + m[4] * y + center.y;
  return m;
}

void check_motion(const AffineMotion& motion) {
  if (!(motion.scale > 0)) throw InvalidArgument(fmt::format("affine: .scale is {}: must be positive", motion.scale));
  for (const double degrees : {motion.shear.x, motion.shear.y}) {
    if (std::abs(degrees) < 90) continue;
    throw InvalidArgument(
        fmt::format("affine: .shear is ({}, {}): must lie between -90 and 90 degrees", motion.shear.x, motion.shear.y));
  }
}

}  // namespace

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
  // One cast after the other in a single expression leaves some of them as they were (seen with GCC 12 and Eigen 3.4).
  const Eigen::Matrix<float, 8, 1> solution = equations.partialPivLu().solve(values).cast<float>();
  Projection m{};
  std::copy_n(solution.data(), m.size(), m.begin());
  return interpolation == Interpolation::nearest ? warped_nearest(image, m) : warped_bilinear(image, m);
}

Image affine(const Image& image, const AffineMotion& motion, Interpolation interpolation) {
  check_interpolation(interpolation);
  check_motion(motion);
  const auto m = inverse_of(motion, motion.center.value_or(Point{image.width * 0.5, image.height * 0.5}));
  if (interpolation == Interpolation::nearest) return stepped_nearest(image, m);
  return warped_bilinear(image, {m[0], m[1], m[2], m[3], m[4], m[5], 0, 0});
}

}  // namespace sslmeme
