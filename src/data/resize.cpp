// Resizing and cropping. The arithmetic is Pillow's (Resample.c), in 22-bit fixed point, so that results are equal.
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

double triangle(double x) {
  x = std::abs(x);
  return x < 1 ? 1 - x : 0;
}

double cubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

/// The weighted input positions of each output position along one axis.
struct Taps {
  int stride = 0;          // weights of one output position
  std::vector<int> first;  // input position of its first weight
  std::vector<int> count;  // weights in use
  std::vector<std::int32_t> weights;

  Taps(int in_size, int out_size, Interpolation interpolation) {
    const auto filter = interpolation == Interpolation::bicubic ? cubic : triangle;
    const double scale = static_cast<double>(in_size) / out_size, filter_scale = std::max(scale, 1.0);
    const double support = (interpolation == Interpolation::bicubic ? 2.0 : 1.0) * filter_scale;
    stride = static_cast<int>(std::ceil(support)) * 2 + 1;
    const auto size = static_cast<std::size_t>(out_size);
    first.resize(size);
    count.resize(size);
    weights.resize(size * static_cast<std::size_t>(stride));
    std::vector<double> exact(static_cast<std::size_t>(stride));
    for (int i = 0; i < out_size; ++i) {
      const double centre = (i + 0.5) * scale, step = 1.0 / filter_scale;
      const int begin = std::max(0, static_cast<int>(centre - support + 0.5));
      const int end = std::min(in_size, static_cast<int>(centre + support + 0.5));
      double sum = 0;
      for (int k = begin; k < end; ++k)
        sum += exact[static_cast<std::size_t>(k - begin)] = filter((k - centre + 0.5) * step);
      first[static_cast<std::size_t>(i)] = begin;
      count[static_cast<std::size_t>(i)] = end - begin;
      auto* out = weights.data() + static_cast<std::ptrdiff_t>(i) * stride;
      for (int k = 0; k < end - begin; ++k) {
        const double weight = exact[static_cast<std::size_t>(k)] / sum * (1 << detail::resize_bits);
        out[k] = static_cast<std::int32_t>(weight < 0 ? weight - 0.5 : weight + 0.5);
      }
    }
  }

  const std::int32_t* of(int i) const { return weights.data() + static_cast<std::ptrdiff_t>(i) * stride; }
  detail::TapsView view() const {
    return {first.data(), count.data(), weights.data(), stride, static_cast<int>(first.size())};
  }
};

/// `out` holds taps.size pixels in each row, the rows of `box` from row `first` of it on.
void resize_rows(const Image& image, const Box& box, int first, const Taps& taps, Image& out) {
  std::vector<const std::uint8_t*> from;
  std::vector<std::uint8_t*> to;
  for (int y = 0; y < out.height; ++y) {
    from.push_back(image.row(box.y + first + y) + 3 * static_cast<std::ptrdiff_t>(box.x));
    to.push_back(out.row(y));
  }
  detail::resize_rows(from, box.width, taps.view(), to);
}

Image resize_nearest(const Image& image, const Box& box, int width, int height) {
  Image out{width, height};
  const double step_x = static_cast<double>(box.width) / width, step_y = static_cast<double>(box.height) / height;
  double at_y = box.y + step_y * 0.5;
  for (int y = 0; y < height; ++y, at_y += step_y) {
    const auto* in = image.row(static_cast<int>(at_y));
    auto* row = out.row(y);
    double at_x = box.x + step_x * 0.5;
    for (int x = 0; x < width; ++x, at_x += step_x, row += 3) std::copy_n(in + 3 * static_cast<int>(at_x), 3, row);
  }
  return out;
}

void check_box(const Image& image, const Box& box) {
  if (box.x < 0 || box.y < 0 || box.width <= 0 || box.height <= 0 || box.width > image.width - box.x ||
      box.height > image.height - box.y) {
    throw InvalidArgument(
        fmt::format("crop of {} × {} pixels at ({}, {}) from a picture of {} × {}: choose a box inside", box.width,
                    box.height, box.x, box.y, image.width, image.height));
  }
}

}  // namespace

Image crop(const Image& image, const Box& box) {
  check_box(image, box);
  Image out{box.width, box.height};
  for (int y = 0; y < box.height; ++y) std::copy_n(image.row(box.y + y) + 3 * box.x, 3 * box.width, out.row(y));
  return out;
}

Image resized_crop(const Image& image, const Box& box, int width, int height, Interpolation interpolation) {
  check_box(image, box);
  if (width <= 0 || height <= 0) {
    throw InvalidArgument(fmt::format("resize to {} × {} pixels: both must be positive", width, height));
  }
  if (box.width == width && box.height == height) return crop(image, box);
  if (interpolation == Interpolation::nearest) return resize_nearest(image, box, width, height);

  // Rows first, but only those that the columns will need.
  const Taps columns{box.height, height, interpolation};
  const int first = columns.first.front(), last = columns.first.back() + columns.count.back();
  Image narrowed{width, last - first};
  if (box.width == width) {
    for (int y = first; y < last; ++y)
      std::copy_n(image.row(box.y + y) + 3 * box.x, 3 * width, narrowed.row(y - first));
  } else {
    const Taps rows{box.width, width, interpolation};
    resize_rows(image, box, first, rows, narrowed);
  }
  if (box.height == height) return narrowed;

  Image out{width, height};
  std::vector<const std::uint8_t*> from;
  for (int y = 0; y < height; ++y) {
    from.clear();
    const auto begin = columns.first[static_cast<std::size_t>(y)] - first;
    for (int k = 0; k < columns.count[static_cast<std::size_t>(y)]; ++k) from.push_back(narrowed.row(begin + k));
    detail::weighted_rows(from, columns.of(y), static_cast<std::size_t>(width) * 3, out.row(y));
  }
  return out;
}

Image resize(const Image& image, int width, int height, Interpolation interpolation) {
  if (image.empty()) throw InvalidArgument("resize: the picture is empty: give it at least one pixel");
  return resized_crop(image, {0, 0, image.width, image.height}, width, height, interpolation);
}

}  // namespace sslmeme
