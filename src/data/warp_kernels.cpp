// Compiled without fused multiply-add, which would round differently from one instruction set to the next.
#include "data/warp_kernels.hpp"

#include <algorithm>
#include <cstddef>
#include <cstring>

#ifndef SSLMEME_WARP_KERNELS_ONCE  // this file is read again for each instruction set
#define SSLMEME_WARP_KERNELS_ONCE
namespace sslmeme::detail {
namespace {

constexpr int chunk = 128;   // pixels whose places are found at once
constexpr int outside = -2;  // no pixel inside has such a left neighbour

/// Where pixels come from: the upper left of four neighbours, and the way from its centre.
struct Places {
  alignas(64) std::array<double, chunk> dx;
  alignas(64) std::array<double, chunk> dy;
  alignas(64) std::array<std::int32_t, chunk> left;
  alignas(64) std::array<std::int32_t, chunk> top;
};

/// Those of n pixels from (first, y) on.
[[maybe_unused]] void find_places(const Image& image, const double* m, int first, int y, int n, Places& places) {
  const double v = y + 0.5;
  const auto floor_of = [](double value) {
    const int cut = static_cast<int>(value);
    return value < cut ? cut - 1 : cut;
  };
  for (int i = 0; i < n; ++i) {
    const double u = first + i + 0.5, depth = m[6] * u + m[7] * v + 1;
    const double x = (m[0] * u + m[1] * v + m[2]) / depth, y_in = (m[3] * u + m[4] * v + m[5]) / depth;
    const auto at = static_cast<std::size_t>(i);
    places.left[at] = outside;
    if (!(x >= 0 && x < image.width && y_in >= 0 && y_in < image.height)) continue;
    places.left[at] = floor_of(x - 0.5);
    places.top[at] = floor_of(y_in - 0.5);
    places.dx[at] = x - 0.5 - places.left[at];
    places.dy[at] = y_in - 0.5 - places.top[at];
  }
}

void sample(const Image& image, int left, int top, double dx, double dy, std::uint8_t* out) {
  const int x0 = 3 * std::max(left, 0), x1 = 3 * std::min(left + 1, image.width - 1);
  const auto* upper = image.row(std::max(top, 0));
  const auto* lower = image.row(std::min(top + 1, image.height - 1));
  for (int c = 0; c < 3; ++c) {
    const double above = upper[x0 + c] + (upper[x1 + c] - upper[x0 + c]) * dx;
    const double below = lower[x0 + c] + (lower[x1 + c] - lower[x0 + c]) * dx;
    out[c] = static_cast<std::uint8_t>(above + (below - above) * dy);
  }
}

[[maybe_unused]] void sample_all(const Image& image, const Places& places, int n, std::uint8_t* out) {
  for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i) {
    if (places.left[i] == outside) continue;
    sample(image, places.left[i], places.top[i], places.dx[i], places.dy[i], out + 3 * i);
  }
}

}  // namespace
}  // namespace sslmeme::detail
#endif

#ifdef SSLMEME_HIGHWAY

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "data/warp_kernels.cpp"  // this file again, once for each instruction set
#include <hwy/foreach_target.h>

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace sslmeme::detail::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

/// n pixels from (first, y) on, n at most `chunk`.
void bilinear_pixels(const Image& image, const double* m, int first, int y, int n, std::uint8_t* out) {
  Places places;
#if HWY_TARGET == HWY_SCALAR || !HWY_HAVE_FLOAT64
  find_places(image, m, first, y, n, places);
  sample_all(image, places, n, out);
#else
  {
    const hn::CappedTag<double, 8> d;
    const hn::Rebind<std::int32_t, decltype(d)> ints;
    const auto v = y + 0.5;
    const auto u0 = hn::Iota(d, first + 0.5), half = hn::Set(d, 0.5), zero = hn::Zero(d), none = hn::Set(d, outside);
    const auto width = hn::Set(d, image.width), height = hn::Set(d, image.height);
    const auto along = [&](int k) HWY_ATTR { return hn::Set(d, m[k]); };
    const auto down = [&](int k) HWY_ATTR { return hn::Set(d, m[k] * v); };
    for (int i = 0; i < n; i += static_cast<int>(hn::Lanes(d))) {  // past n too: the places have room
      const auto u = hn::Add(u0, hn::Set(d, i));
      const auto depth = hn::Add(hn::Add(hn::Mul(along(6), u), down(7)), hn::Set(d, 1.0));
      const auto x = hn::Div(hn::Add(hn::Add(hn::Mul(along(0), u), down(1)), along(2)), depth);
      const auto y_in = hn::Div(hn::Add(hn::Add(hn::Mul(along(3), u), down(4)), along(5)), depth);
      const auto inside =
          hn::And(hn::And(hn::Ge(x, zero), hn::Lt(x, width)), hn::And(hn::Ge(y_in, zero), hn::Lt(y_in, height)));
      const auto from_x = hn::Sub(x, half), from_y = hn::Sub(y_in, half);
      const auto left = hn::Floor(from_x), top = hn::Floor(from_y);
      const auto at = static_cast<std::size_t>(i);
      hn::StoreU(hn::DemoteTo(ints, hn::IfThenElse(inside, left, none)), ints, places.left.data() + at);
      hn::StoreU(hn::DemoteTo(ints, hn::IfThenElse(inside, top, none)), ints, places.top.data() + at);
      hn::StoreU(hn::Sub(from_x, left), d, places.dx.data() + at);
      hn::StoreU(hn::Sub(from_y, top), d, places.dy.data() + at);
    }
  }
  // Four bytes are read of each neighbour and two or four are worked on at once, of which three are wanted.
  const hn::CappedTag<double, 4> d;
  const hn::Rebind<std::int32_t, decltype(d)> ints;
  const hn::Rebind<std::uint8_t, decltype(d)> bytes;
  for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i, out += 3) {
    const int left = places.left[i], top = places.top[i];
    if (left == outside) {
      out[0] = 0;  // which the pixel before may have written
      continue;
    }
    if (left < 0 || top < 0 || left + 2 >= image.width || top + 1 >= image.height) {
      sample(image, left, top, places.dx[i], places.dy[i], out);
      continue;
    }
    const auto* upper = image.row(top) + 3 * static_cast<std::ptrdiff_t>(left);
    const auto* lower = upper + 3 * static_cast<std::ptrdiff_t>(image.width);
    const auto dx = hn::Set(d, places.dx[i]), dy = hn::Set(d, places.dy[i]);
    const auto value = [&](const std::uint8_t* from)
                           HWY_ATTR { return hn::PromoteTo(d, hn::PromoteTo(ints, hn::LoadU(bytes, from))); };
    const auto between = [](auto from, auto to, auto share)
                             HWY_ATTR { return hn::Add(from, hn::Mul(hn::Sub(to, from), share)); };
    std::uint8_t last[4];
    const bool is_last = i + 1 == static_cast<std::size_t>(n);
    auto* const pixel = is_last ? last : out;  // of four bytes, the last of which is the next pixel's
    for (std::size_t c = 0; c < 4; c += hn::Lanes(d)) {
      const auto above = between(value(upper + c), value(upper + 3 + c), dx);
      const auto below = between(value(lower + c), value(lower + 3 + c), dx);
      hn::StoreU(hn::DemoteTo(bytes, hn::DemoteTo(ints, between(above, below, dy))), bytes, pixel + c);
    }
    if (is_last) std::memcpy(out, last, 3);
  }
#endif
}

}  // namespace sslmeme::detail::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // SSLMEME_HIGHWAY

#if !defined(SSLMEME_HIGHWAY) || HWY_ONCE
namespace sslmeme::detail {

#ifdef SSLMEME_HIGHWAY
HWY_EXPORT(bilinear_pixels);
#endif

void bilinear_row(const Image& image, const std::array<double, 8>& m, int y, std::uint8_t* out) {
  for (int first = 0; first < image.width; first += chunk, out += 3 * chunk) {
    const int n = std::min(chunk, image.width - first);
#ifdef SSLMEME_HIGHWAY
    HWY_DYNAMIC_DISPATCH(bilinear_pixels)(image, m.data(), first, y, n, out);
#else
    Places places;
    find_places(image, m.data(), first, y, n, places);
    sample_all(image, places, n, out);
#endif
  }
}

}  // namespace sslmeme::detail
#endif
