#include "data/png_filters.hpp"

#include <cstdlib>
#include <cstring>

#ifndef SSLMEME_PNG_FILTERS_ONCE  // this file is read again for each instruction set
#define SSLMEME_PNG_FILTERS_ONCE
namespace sslmeme::detail {
namespace {

enum Filter { none, sub, up, average, paeth, filters };

/// From the pixel on the left, the one above and the one above that on the left.
template <int filter>
int guessed(int a, int b, int c) {
  if constexpr (filter == sub) return a;
  if constexpr (filter == up) return b;
  if constexpr (filter == average) return (a + b) / 2;
  const int pa = std::abs(b - c), pb = std::abs(a - c), pc = std::abs(a + b - 2 * c);
  return pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
}

/// From byte `x` on.
template <int filter>
void unfilter_rest(std::size_t pixel_bytes, const std::uint8_t* in, const std::uint8_t* above, std::size_t x,
                   std::size_t n, std::uint8_t* out) {
  if (x == 0 && pixel_bytes == 1) {  // what is on the left stays in registers
    std::uint8_t left = 0, corner = 0;
    for (; x < n; ++x) {
      left = static_cast<std::uint8_t>(in[x] + guessed<filter>(left, above[x], corner));
      corner = above[x];
      out[x] = left;
    }
  }
  for (; x < n; ++x) {
    const bool first = x < pixel_bytes;
    const int left = first ? 0 : out[x - pixel_bytes], corner = first ? 0 : above[x - pixel_bytes];
    out[x] = static_cast<std::uint8_t>(in[x] + guessed<filter>(left, above[x], corner));
  }
}

}  // namespace
}  // namespace sslmeme::detail
#endif

#ifdef SSLMEME_HIGHWAY

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "data/png_filters.cpp"  // this file again, once for each instruction set
#include <hwy/foreach_target.h>

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace sslmeme::detail::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

std::size_t add_above(const std::uint8_t* in, const std::uint8_t* above, std::size_t n, std::uint8_t* out) {
  const hn::ScalableTag<std::uint8_t> d;
  const auto lanes = hn::Lanes(d);
  std::size_t x = 0;
  for (; x + lanes <= n; x += lanes) hn::StoreU(hn::Add(hn::LoadU(d, in + x), hn::LoadU(d, above + x)), d, out + x);
  return x;
}

#if HWY_TARGET != HWY_SCALAR  // which has vectors of one lane only

using Pixel = hn::FixedTag<std::uint8_t, 4>;

/// A pixel of 3 bytes is read and written with the byte behind it, which is written again with its own pixel: the last
/// pixel of a row is left to the caller.
template <std::size_t pixel_bytes>
std::size_t add_left(const std::uint8_t* in, std::size_t n, std::uint8_t* out) {
  const Pixel d;
  auto left = hn::Zero(d);
  std::size_t x = 0;
  for (; x + 4 <= n; x += pixel_bytes) {
    left = hn::Add(left, hn::LoadU(d, in + x));
    hn::StoreU(left, d, out + x);
  }
  return x;
}

template <std::size_t pixel_bytes>
std::size_t add_average(const std::uint8_t* in, const std::uint8_t* above, std::size_t n, std::uint8_t* out) {
  const Pixel d;
  const auto one = hn::Set(d, 1);
  auto left = hn::Zero(d);
  std::size_t x = 0;
  for (; x + 4 <= n; x += pixel_bytes) {
    const auto up_row = hn::LoadU(d, above + x);
    const auto odd = hn::And(hn::Xor(left, up_row), one);  // AverageRound rounds up, PNG down
    left = hn::Add(hn::LoadU(d, in + x), hn::Sub(hn::AverageRound(left, up_row), odd));
    hn::StoreU(left, d, out + x);
  }
  return x;
}

template <std::size_t pixel_bytes>
std::size_t add_paeth(const std::uint8_t* in, const std::uint8_t* above, std::size_t n, std::uint8_t* out) {
  const Pixel bytes;
  const hn::FixedTag<std::int16_t, 4> d;
  const hn::Repartition<std::uint8_t, decltype(d)> halves;
  auto a = hn::Zero(d), c = a;
  std::size_t x = 0;
  for (; x + 4 <= n; x += pixel_bytes) {
    const auto b = hn::PromoteTo(d, hn::LoadU(bytes, above + x));
    const auto along = hn::Sub(b, c), down = hn::Sub(a, c);
    const auto pa = hn::Abs(along), pb = hn::Abs(down), pc = hn::Abs(hn::Add(along, down));
    const auto least = hn::Min(hn::Min(pa, pb), pc);
    const auto guess = hn::IfThenElse(hn::Eq(pa, least), a, hn::IfThenElse(hn::Eq(pb, least), b, c));
    // Added byte by byte, so that the upper one stays 0.
    const auto value = hn::PromoteTo(d, hn::LoadU(bytes, in + x));
    a = hn::BitCast(d, hn::Add(hn::BitCast(halves, value), hn::BitCast(halves, guess)));
    hn::StoreU(hn::DemoteTo(bytes, a), bytes, out + x);
    c = b;
  }
  return x;
}

template <std::size_t pixel_bytes>
std::size_t unfilter_pixels(int filter, const std::uint8_t* in, const std::uint8_t* above, std::size_t n,
                            std::uint8_t* out) {
  switch (filter) {
    case sub:
      return add_left<pixel_bytes>(in, n, out);
    case average:
      return add_average<pixel_bytes>(in, above, n, out);
    default:
      return add_paeth<pixel_bytes>(in, above, n, out);
  }
}

#endif

/// How many of the n bytes are done; the caller does the others.
std::size_t unfilter(int filter, [[maybe_unused]] std::size_t pixel_bytes, const std::uint8_t* in,
                     const std::uint8_t* above, std::size_t n, std::uint8_t* out) {
  if (filter == up) return add_above(in, above, n, out);
#if HWY_TARGET != HWY_SCALAR
  if (pixel_bytes == 3) return unfilter_pixels<3>(filter, in, above, n, out);
  if (pixel_bytes == 4) return unfilter_pixels<4>(filter, in, above, n, out);
#endif
  return 0;
}

}  // namespace sslmeme::detail::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // SSLMEME_HIGHWAY

#if !defined(SSLMEME_HIGHWAY) || HWY_ONCE
namespace sslmeme::detail {

#ifdef SSLMEME_HIGHWAY
HWY_EXPORT(unfilter);
#endif

bool unfilter_row(int filter, std::size_t pixel_bytes, const std::uint8_t* in, const std::uint8_t* above, std::size_t n,
                  std::uint8_t* out) {
  if (filter < none || filter >= filters) return false;
  if (filter == none) {
    std::memmove(out, in, n);
    return true;
  }
  std::size_t done = 0;
#ifdef SSLMEME_HIGHWAY
  done = HWY_DYNAMIC_DISPATCH(unfilter)(filter, pixel_bytes, in, above, n, out);
#endif
  switch (filter) {
    case sub:
      unfilter_rest<sub>(pixel_bytes, in, above, done, n, out);
      break;
    case up:
      unfilter_rest<up>(pixel_bytes, in, above, done, n, out);
      break;
    case average:
      unfilter_rest<average>(pixel_bytes, in, above, done, n, out);
      break;
    default:
      unfilter_rest<paeth>(pixel_bytes, in, above, done, n, out);
  }
  return true;
}

}  // namespace sslmeme::detail
#endif
