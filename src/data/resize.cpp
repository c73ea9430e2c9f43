// Resizing and cropping. The arithmetic is Pillow's (Resample.c), in 22-bit fixed point, so that results are equal.
#include <sslmeme/core/error.hpp>
#include <sslmeme/data/image_ops.hpp>

#include "data/pixel_kernels.hpp"
#include "data/resize.hpp"

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

/// The weighted input positions of the output positions begin … end − 1 along one axis.
struct Taps {
  int stride = 0;          // weights of one output position
  int start = 0, end = 0;  // the input positions in use
  std::vector<int> first;  // input position of the first weight, counted from `start`
  std::vector<int> count;  // weights in use
  std::vector<std::int32_t> weights;

  Taps(int in_size, int out_size, int begin, int until, Interpolation interpolation) {
    if (interpolation == Interpolation::bicubic)
      fill(in_size, out_size, begin, until, 2.0, cubic);
    else
      fill(in_size, out_size, begin, until, 1.0, triangle);
  }

  int size() const { return static_cast<int>(first.size()); }
  const std::int32_t* of(int i) const { return weights.data() + static_cast<std::ptrdiff_t>(i) * stride; }
  /// Of `n` output positions from `from` on.
  detail::TapsView view(int from, int n) const {
    return {first.data() + from, count.data() + from, of(from), stride, n};
  }

 private:
  template <class Filter>
  void fill(int in_size, int out_size, int begin, int until, double radius, const Filter& filter) {
    const double scale = static_cast<double>(in_size) / out_size, filter_scale = std::max(scale, 1.0);
    const double support = radius * filter_scale, step = 1.0 / filter_scale;
    stride = static_cast<int>(std::ceil(support)) * 2 + 1;
    const auto size = static_cast<std::size_t>(until - begin);
    first.reserve(size);
    count.reserve(size);
    weights.resize(size * static_cast<std::size_t>(stride));
    std::vector<double> exact(static_cast<std::size_t>(stride));
    auto* out = weights.data();
    for (int i = begin; i < until; ++i, out += stride) {
      const double centre = (i + 0.5) * scale;
      const int from = std::max(0, static_cast<int>(centre - support + 0.5));
      const int to = std::min(in_size, static_cast<int>(centre + support + 0.5));
      double sum = 0;
      for (int k = from; k < to; ++k)
        sum += exact[static_cast<std::size_t>(k - from)] = filter((k - centre + 0.5) * step);
      for (int k = 0; k < to - from; ++k) {
        const double weight = exact[static_cast<std::size_t>(k)] / sum * (1 << detail::resize_bits);
        out[k] = static_cast<std::int32_t>(weight < 0 ? weight - 0.5 : weight + 0.5);
      }
      if (i == begin) start = from;
      end = to;
      first.push_back(from - start);
      count.push_back(to - from);
    }
  }
};

/// Resizes the columns x … x + width − 1 of the result. ring: room for `kept` rows of them, at least as many as a row
/// of the result needs and rows_at_once more.
void resize_strip(const Image& image, const Box& box, const Taps& columns, const Taps& rows, int x, int width,
                  std::size_t kept, std::uint8_t* ring, Image& out) {
  const auto bytes = static_cast<std::size_t>(width) * 3;
  const auto slot = [&](int row) { return ring + static_cast<std::size_t>(row) % kept * bytes; };
  const auto taps = columns.view(x, width);
  const int start = taps.first[0], end = taps.first[width - 1] + taps.count[width - 1];
  std::vector<int> firsts(taps.first, taps.first + width);  // counted from the first column that is read
  for (auto& first : firsts) first -= start;
  std::vector<const std::uint8_t*> from;
  std::vector<std::uint8_t*> to;
  int made = 0;
  for (int y = 0; y < out.height; ++y) {
    const int first = rows.first[static_cast<std::size_t>(y)], last = first + rows.count[static_cast<std::size_t>(y)];
    while (made < last) {
      from.clear();
      to.clear();
      for (; made < rows.end - rows.start && from.size() < detail::rows_at_once; ++made) {
        from.push_back(image.row(box.y + rows.start + made) +
                       3 * static_cast<std::ptrdiff_t>(box.x + columns.start + start));
        to.push_back(slot(made));
      }
      detail::resize_rows(from, end - start, {firsts.data(), taps.count, taps.weights, taps.stride, width}, to);
    }
    from.clear();
    for (int row = first; row < last; ++row) from.push_back(slot(row));
    detail::weighted_rows(from, rows.of(y), bytes, out.row(y) + 3 * static_cast<std::ptrdiff_t>(x));
  }
}

/// Rows are narrowed a few at a time and kept for as long as rows of the result need them; where a picture is so tall
/// that this would be much, a strip of columns after the other.
Image resize_both(const Image& image, const Box& box, const Taps& columns, const Taps& rows) {
  constexpr std::size_t most_bytes = std::size_t{1} << 24U;
  Image out{columns.size(), rows.size()};
  const auto kept = static_cast<std::size_t>(std::ranges::max(rows.count)) + detail::rows_at_once;
  const auto strip = std::clamp(static_cast<int>(most_bytes / (3 * kept)), 1, out.width);
  std::vector<std::uint8_t> ring(kept * static_cast<std::size_t>(strip) * 3);
  for (int x = 0; x < out.width; x += strip)
    resize_strip(image, box, columns, rows, x, std::min(strip, out.width - x), kept, ring.data(), out);
  return out;
}

/// Only the columns change: `box` has the height of the result.
Image resize_columns(const Image& image, const Box& box, const Taps& columns) {
  Image out{columns.size(), box.height};
  std::vector<const std::uint8_t*> from;
  std::vector<std::uint8_t*> to;
  for (int y = 0; y < out.height;) {
    from.clear();
    to.clear();
    for (; y < out.height && from.size() < detail::rows_at_once; ++y) {
      from.push_back(image.row(box.y + y) + 3 * static_cast<std::ptrdiff_t>(box.x + columns.start));
      to.push_back(out.row(y));
    }
    detail::resize_rows(from, columns.end - columns.start, columns.view(0, out.width), to);
  }
  return out;
}

/// Only the rows change: `box` has the width of the result.
Image resize_height(const Image& image, const Box& box, const Taps& rows) {
  Image out{box.width, rows.size()};
  std::vector<const std::uint8_t*> from;
  for (int y = 0; y < out.height; ++y) {
    from.clear();
    for (int k = 0; k < rows.count[static_cast<std::size_t>(y)]; ++k) {
      from.push_back(image.row(box.y + rows.start + rows.first[static_cast<std::size_t>(y)] + k) +
                     3 * static_cast<std::ptrdiff_t>(box.x));
    }
    detail::weighted_rows(from, rows.of(y), static_cast<std::size_t>(out.width) * 3, out.row(y));
  }
  return out;
}

Image resize_nearest(const Image& image, const Box& box, int width, int height, const Box& window) {
  Image out{window.width, window.height};
  // Pillow adds up the steps: so do we, to land on the same pixels.
  const auto places = [](int begin, int in_size, int out_size, int first, int n) {
    std::vector<int> all;
    const double step = static_cast<double>(in_size) / out_size;
    double at = begin + step * 0.5;
    for (int i = 0; i < first + n; ++i, at += step) {
      if (i >= first) all.push_back(static_cast<int>(at));
    }
    return all;
  };
  const auto columns = places(box.x, box.width, width, window.x, window.width);
  const auto rows = places(box.y, box.height, height, window.y, window.height);
  for (int y = 0; y < out.height; ++y) {
    const auto* in = image.row(rows[static_cast<std::size_t>(y)]);
    auto* row = out.row(y);
    for (const int x : columns) row = std::copy_n(in + 3 * static_cast<std::ptrdiff_t>(x), 3, row);
  }
  return out;
}

void check_box(const Image& image, const Box& box) {
  constexpr int max_edge = 1 << 16;
  if (image.width > max_edge || image.height > max_edge) {
    throw DataError(fmt::format("a picture of {} × {} pixels has an edge over {}: crop it or leave it out", image.width,
                                image.height, max_edge));
  }
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

Image detail::resized_window(const Image& image, const Box& box, int width, int height, const Box& window,
                             Interpolation interpolation) {
  if (width <= 0 || height <= 0) {
    throw InvalidArgument(fmt::format("resize to {} × {} pixels: both must be positive", width, height));
  }
  check_box(image, box);
  const bool same_width = box.width == width, same_height = box.height == height;
  // What of the box is left where an axis keeps its size.
  const Box part{box.x + (same_width ? window.x : 0), box.y + (same_height ? window.y : 0),
                 same_width ? window.width : box.width, same_height ? window.height : box.height};
  if (same_width && same_height) return crop(image, part);
  if (interpolation == Interpolation::nearest) return resize_nearest(image, box, width, height, window);
  const auto columns = [&] { return Taps{box.width, width, window.x, window.x + window.width, interpolation}; };
  const auto rows = [&] { return Taps{box.height, height, window.y, window.y + window.height, interpolation}; };
  if (same_height) return resize_columns(image, part, columns());
  if (same_width) return resize_height(image, part, rows());
  return resize_both(image, part, columns(), rows());
}

Image resized_crop(const Image& image, const Box& box, int width, int height, Interpolation interpolation) {
  return detail::resized_window(image, box, width, height, {0, 0, width, height}, interpolation);
}

Image resize(const Image& image, int width, int height, Interpolation interpolation) {
  if (image.empty()) throw InvalidArgument("resize: the picture is empty: give it at least one pixel");
  return resized_crop(image, {0, 0, image.width, image.height}, width, height, interpolation);
}

}  // namespace sslmeme
