#include "data/pixel_kernels.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>

#ifndef SSLMEME_PIXEL_KERNELS_ONCE  // this file is read again for each instruction set
#define SSLMEME_PIXEL_KERNELS_ONCE
namespace sslmeme::detail {
namespace {

constexpr std::int32_t half = 1 << (resize_bits - 1);
// A pixel of all rows side by side; and bytes that are touched beyond the last one.
[[maybe_unused]] constexpr std::size_t staged_pixel = 3 * rows_at_once, staged_slack = 16;

std::uint8_t rounded(std::int32_t sum) {
  return static_cast<std::uint8_t>(std::clamp(sum >> resize_bits, 0, 255));
}

[[maybe_unused]] void resize_row(const std::uint8_t* in, const TapsView& taps, std::uint8_t* out) {
  for (int x = 0; x < taps.size; ++x) {
    const auto* weights = taps.weights + static_cast<std::ptrdiff_t>(x) * taps.stride;
    for (int c = 0; c < 3; ++c) {
      const auto* value = in + static_cast<std::ptrdiff_t>(taps.first[x]) * 3 + c;
      auto sum = half;
      for (int k = 0; k < taps.count[x]; ++k) sum += weights[k] * value[3 * static_cast<std::ptrdiff_t>(k)];
      out[3 * static_cast<std::ptrdiff_t>(x) + c] = rounded(sum);
    }
  }
}

/// One value, as the vectors do it.
[[maybe_unused]] std::int16_t blurred_value(std::int32_t sum, std::int32_t weight) {
  return static_cast<std::int16_t>((std::clamp(sum, -32768, 32767) * weight + (1 << 14)) >> 15);
}

std::uint8_t from_blur_value(std::int32_t value) {
  return static_cast<std::uint8_t>(std::clamp(((value + (1 << (blur_bits - 1))) >> blur_bits) + 128, 0, 255));
}

}  // namespace
}  // namespace sslmeme::detail
#endif

#ifdef SSLMEME_HIGHWAY

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "data/pixel_kernels.cpp"  // this file again, once for each instruction set
#include <hwy/foreach_target.h>

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace sslmeme::detail::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR  // has vectors of one lane only

void resize_staged(const std::uint8_t* const* rows, int, const TapsView& taps, std::uint8_t*, std::uint8_t*,
                   std::uint8_t* const* out) {
  for (std::size_t i = 0; i < rows_at_once; ++i) resize_row(rows[i], taps, out[i]);
}

std::size_t mirror(const std::uint8_t*, std::size_t, std::uint8_t*) {
  return 0;
}

#else

using Block = hn::FixedTag<std::uint8_t, 16>;
using Words = hn::FixedTag<std::uint32_t, 4>;
using Pairs = hn::FixedTag<std::uint64_t, 2>;

/// Four rows of four words each, turned about.
struct Square {
  hn::Vec<Words> a, b, c, e;

  Square turned() const {
    const Words words;
    const Pairs pairs;
    const auto upper_ab = hn::BitCast(pairs, hn::InterleaveLower(words, a, b)),
               upper_ce = hn::BitCast(pairs, hn::InterleaveLower(words, c, e)),
               lower_ab = hn::BitCast(pairs, hn::InterleaveUpper(words, a, b)),
               lower_ce = hn::BitCast(pairs, hn::InterleaveUpper(words, c, e));
    return {hn::BitCast(words, hn::InterleaveLower(pairs, upper_ab, upper_ce)),
            hn::BitCast(words, hn::InterleaveUpper(pairs, upper_ab, upper_ce)),
            hn::BitCast(words, hn::InterleaveLower(pairs, lower_ab, lower_ce)),
            hn::BitCast(words, hn::InterleaveUpper(pairs, lower_ab, lower_ce))};
  }
};

/// Four pixels of three bytes, a word each.
HWY_INLINE hn::Vec<Words> four_pixels(const std::uint8_t* from) {
  alignas(16) static constexpr std::uint8_t order[16] = {0, 1, 2, 2, 3, 4, 5, 5, 6, 7, 8, 8, 9, 10, 11, 11};
  const Block d;
  return hn::BitCast(Words{}, hn::TableLookupBytes(hn::LoadU(d, from), hn::Load(d, order)));
}
/// And back. Four bytes more are written.
HWY_INLINE void put_four_pixels(hn::Vec<Words> pixels, std::uint8_t* to) {
  alignas(16) static constexpr std::uint8_t order[16] = {0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 15, 15, 15, 15};
  const Block d;
  hn::StoreU(hn::TableLookupBytes(hn::BitCast(d, pixels), hn::Load(d, order)), d, to);
}

// Reading and writing of four pixels touches 16 bytes: there must be six of them.
constexpr int room = 6;

/// The rows side by side, pixel by pixel.
void stage(const std::uint8_t* const* rows, int width, std::uint8_t* staged) {
  int x = 0;
  for (; x + room <= width; x += 4, staged += 4 * staged_pixel) {
    const auto at = [&](std::size_t row) HWY_ATTR { return four_pixels(rows[row] + 3 * x); };
    const auto upper = Square{at(0), at(1), at(2), at(3)}.turned(), lower = Square{at(4), at(5), at(6), at(7)}.turned();
    const auto put = [&](auto first, auto second, std::size_t pixel) HWY_ATTR {
      put_four_pixels(first, staged + pixel * staged_pixel);
      put_four_pixels(second, staged + pixel * staged_pixel + staged_pixel / 2);
    };
    put(upper.a, lower.a, 0);
    put(upper.b, lower.b, 1);
    put(upper.c, lower.c, 2);
    put(upper.e, lower.e, 3);
  }
  for (; x < width; ++x, staged += staged_pixel) {
    for (std::size_t i = 0; i < rows_at_once; ++i) std::memcpy(staged + 3 * i, rows[i] + 3 * x, 3);
  }
}

/// The opposite.
void unstage(const std::uint8_t* staged, int width, std::uint8_t* const* rows) {
  int x = 0;
  for (; x + room <= width; x += 4, staged += 4 * staged_pixel) {
    for (std::size_t i = 0; i < rows_at_once; i += 4) {
      const auto at = [&](std::size_t pixel) HWY_ATTR { return four_pixels(staged + pixel * staged_pixel + 3 * i); };
      const auto four = Square{at(0), at(1), at(2), at(3)}.turned();
      put_four_pixels(four.a, rows[i] + 3 * x);
      put_four_pixels(four.b, rows[i + 1] + 3 * x);
      put_four_pixels(four.c, rows[i + 2] + 3 * x);
      put_four_pixels(four.e, rows[i + 3] + 3 * x);
    }
  }
  for (; x < width; ++x, staged += staged_pixel) {
    for (std::size_t i = 0; i < rows_at_once; ++i) std::memcpy(rows[i] + 3 * x, staged + 3 * i, 3);
  }
}

/// in: room for the rows side by side; out the same for the result.
void resize_staged(const std::uint8_t* const* rows, int width, const TapsView& taps, std::uint8_t* in,
                   std::uint8_t* result, std::uint8_t* const* out) {
  stage(rows, width, in);
  // As many taps for each pixel, though the last may weigh nothing: a loop of one length is faster.
  const int count = *std::max_element(taps.count, taps.count + taps.size);
  std::memset(in + static_cast<std::size_t>(width) * staged_pixel, 0, static_cast<std::size_t>(count) * staged_pixel);
  const hn::CappedTag<std::int32_t, 8> d;
  const hn::Rebind<std::uint8_t, decltype(d)> bytes;
  const auto lanes = hn::Lanes(d);
  const auto start = hn::Set(d, half);
  for (int x = 0; x < taps.size; ++x) {
    const auto* weights = taps.weights + static_cast<std::ptrdiff_t>(x) * taps.stride;
    for (std::size_t i = 0; i < staged_pixel; i += 3 * lanes) {
      const auto* at = in + static_cast<std::size_t>(taps.first[x]) * staged_pixel + i;
      auto a = start, b = start, c = start;
      const auto add = [&](int k, const std::uint8_t* from) HWY_ATTR {
        const auto weight = hn::Set(d, weights[k]);
        a = hn::Add(a, hn::Mul(weight, hn::PromoteTo(d, hn::LoadU(bytes, from))));
        b = hn::Add(b, hn::Mul(weight, hn::PromoteTo(d, hn::LoadU(bytes, from + lanes))));
        c = hn::Add(c, hn::Mul(weight, hn::PromoteTo(d, hn::LoadU(bytes, from + 2 * lanes))));
      };
      int k = 0;
      for (; k + 2 <= count; k += 2, at += 2 * staged_pixel) {
        add(k, at);
        add(k + 1, at + staged_pixel);
      }
      if (k < count) add(k, at);
      auto* to = result + static_cast<std::size_t>(x) * staged_pixel + i;
      hn::StoreU(hn::DemoteTo(bytes, hn::ShiftRight<resize_bits>(a)), bytes, to);
      hn::StoreU(hn::DemoteTo(bytes, hn::ShiftRight<resize_bits>(b)), bytes, to + lanes);
      hn::StoreU(hn::DemoteTo(bytes, hn::ShiftRight<resize_bits>(c)), bytes, to + 2 * lanes);
    }
  }
  unstage(result, taps.size, out);
}

/// How many of the n pixels of `out` are done; the caller does the others.
std::size_t mirror(const std::uint8_t* in, std::size_t n, std::uint8_t* out) {
  const hn::FixedTag<std::uint8_t, 16> d;
  constexpr std::size_t pixels = 5;  // in 16 bytes; the last byte is overwritten by the next pixel
  alignas(16) static constexpr std::uint8_t order[16] = {13, 14, 15, 10, 11, 12, 7, 8, 9, 4, 5, 6, 1, 2, 3, 0};
  const auto turned = hn::Load(d, order);
  std::size_t i = 0;
  for (; i + pixels < n; i += pixels)
    hn::StoreU(hn::TableLookupBytes(hn::LoadU(d, in + 3 * (n - i - pixels) - 1), turned), d, out + 3 * i);
  return i;
}

#endif

/// How many of the n values are done; the caller does the others.
std::size_t weigh_bytes(const std::uint8_t* const* rows, const std::int32_t* weights, std::size_t count, std::size_t n,
                        std::uint8_t* out) {
  const hn::ScalableTag<std::int32_t> d;
  const hn::Rebind<std::uint8_t, decltype(d)> bytes;
  const auto lanes = hn::Lanes(d);
  const auto start = hn::Set(d, half);
  std::size_t i = 0;
  for (; i + 4 * lanes <= n; i += 4 * lanes) {
    auto a = start, b = start, c = start, e = start;
    for (std::size_t k = 0; k < count; ++k) {
      const auto weight = hn::Set(d, weights[k]);
      const auto* from = rows[k] + i;
      a = hn::Add(a, hn::Mul(weight, hn::PromoteTo(d, hn::LoadU(bytes, from))));
      b = hn::Add(b, hn::Mul(weight, hn::PromoteTo(d, hn::LoadU(bytes, from + lanes))));
      c = hn::Add(c, hn::Mul(weight, hn::PromoteTo(d, hn::LoadU(bytes, from + 2 * lanes))));
      e = hn::Add(e, hn::Mul(weight, hn::PromoteTo(d, hn::LoadU(bytes, from + 3 * lanes))));
    }
    hn::StoreU(hn::DemoteTo(bytes, hn::ShiftRight<resize_bits>(a)), bytes, out + i);
    hn::StoreU(hn::DemoteTo(bytes, hn::ShiftRight<resize_bits>(b)), bytes, out + i + lanes);
    hn::StoreU(hn::DemoteTo(bytes, hn::ShiftRight<resize_bits>(c)), bytes, out + i + 2 * lanes);
    hn::StoreU(hn::DemoteTo(bytes, hn::ShiftRight<resize_bits>(e)), bytes, out + i + 3 * lanes);
  }
  return i;
}

void blur(const std::int16_t* center, const std::int16_t* const* before, const std::int16_t* const* after,
          const std::int16_t* weights, std::size_t pairs, std::size_t n, std::int16_t* out) {
  const hn::ScalableTag<std::int16_t> d;
  const auto lanes = hn::Lanes(d);
  for (std::size_t i = 0; i < n; i += 2 * lanes) {
    const auto first = hn::Set(d, weights[0]);
    auto a = hn::MulFixedPoint15(hn::LoadU(d, center + i), first),
         b = hn::MulFixedPoint15(hn::LoadU(d, center + i + lanes), first);
    for (std::size_t k = 0; k < pairs; ++k) {
      const auto weight = hn::Set(d, weights[k + 1]);
      const auto *left = before[k] + i, *right = after[k] + i;
      const auto sum = hn::SaturatedAdd(hn::LoadU(d, left), hn::LoadU(d, right)),
                 next = hn::SaturatedAdd(hn::LoadU(d, left + lanes), hn::LoadU(d, right + lanes));
      a = hn::Add(a, hn::MulFixedPoint15(sum, weight));
      b = hn::Add(b, hn::MulFixedPoint15(next, weight));
    }
    hn::StoreU(a, d, out + i);
    hn::StoreU(b, d, out + i + lanes);
  }
}

std::size_t widen(const std::uint8_t* values, std::size_t n, std::int16_t* out) {
  const hn::ScalableTag<std::int16_t> d;
  const hn::Rebind<std::uint8_t, decltype(d)> bytes;
  const auto lanes = hn::Lanes(d);
  const auto middle = hn::Set(d, std::int16_t{128});
  std::size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const auto value = hn::PromoteTo(d, hn::LoadU(bytes, values + i));
    hn::StoreU(hn::ShiftLeft<blur_bits>(hn::Sub(value, middle)), d, out + i);
  }
  return i;
}

std::size_t narrow(const std::int16_t* values, std::size_t n, std::uint8_t* out) {
  const hn::ScalableTag<std::int16_t> d;
  const hn::Rebind<std::uint8_t, decltype(d)> bytes;
  const auto lanes = hn::Lanes(d);
  const auto up = hn::Set(d, std::int16_t{1 << (blur_bits - 1)}), middle = hn::Set(d, std::int16_t{128});
  std::size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const auto value = hn::ShiftRight<blur_bits>(hn::SaturatedAdd(hn::LoadU(d, values + i), up));
    hn::StoreU(hn::DemoteTo(bytes, hn::Add(value, middle)), bytes, out + i);
  }
  return i;
}

}  // namespace sslmeme::detail::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // SSLMEME_HIGHWAY

#if !defined(SSLMEME_HIGHWAY) || HWY_ONCE
namespace sslmeme::detail {

#ifdef SSLMEME_HIGHWAY
HWY_EXPORT(resize_staged);
HWY_EXPORT(mirror);
HWY_EXPORT(weigh_bytes);
HWY_EXPORT(blur);
HWY_EXPORT(widen);
HWY_EXPORT(narrow);
#endif

void resize_rows(std::span<const std::uint8_t* const> in, int width, const TapsView& taps,
                 std::span<std::uint8_t* const> out) {
#ifdef SSLMEME_HIGHWAY
  const auto row = static_cast<std::size_t>(taps.size) * 3;
  const auto in_size = static_cast<std::size_t>(width + taps.stride) * staged_pixel + staged_slack;
  const auto out_size = row * rows_at_once + staged_slack;
  const auto scratch = std::make_unique_for_overwrite<std::uint8_t[]>(in_size + out_size + row);
  std::array<const std::uint8_t*, rows_at_once> from{};
  std::array<std::uint8_t*, rows_at_once> to{};
  for (std::size_t i = 0; i < rows_at_once; ++i) {
    from[i] = in[std::min(i, in.size() - 1)];
    to[i] = i < in.size() ? out[i] : scratch.get() + in_size + out_size;
  }
  HWY_DYNAMIC_DISPATCH(resize_staged)(from.data(), width, taps, scratch.get(), scratch.get() + in_size, to.data());
#else
  static_cast<void>(width);
  for (std::size_t i = 0; i < in.size(); ++i) resize_row(in[i], taps, out[i]);
#endif
}

void weighted_rows(std::span<const std::uint8_t* const> rows, const std::int32_t* weights, std::size_t n,
                   std::uint8_t* out) {
  std::size_t i = 0;
#ifdef SSLMEME_HIGHWAY
  i = HWY_DYNAMIC_DISPATCH(weigh_bytes)(rows.data(), weights, rows.size(), n, out);
#endif
  for (; i < n; ++i) {
    auto sum = half;
    for (std::size_t k = 0; k < rows.size(); ++k) sum += weights[k] * rows[k][i];
    out[i] = rounded(sum);
  }
}

void blurred_row(const std::int16_t* center, std::span<const std::int16_t* const> before,
                 std::span<const std::int16_t* const> after, const std::int16_t* weights, std::size_t n,
                 std::int16_t* out) {
#ifdef SSLMEME_HIGHWAY
  HWY_DYNAMIC_DISPATCH(blur)(center, before.data(), after.data(), weights, before.size(), n, out);
#else
  for (std::size_t i = 0; i < n; ++i) {
    int sum = blurred_value(center[i], weights[0]);
    for (std::size_t k = 0; k < before.size(); ++k) sum += blurred_value(before[k][i] + after[k][i], weights[k + 1]);
    out[i] = static_cast<std::int16_t>(sum);
  }
#endif
}

void to_blur(const std::uint8_t* values, std::size_t n, std::int16_t* out) {
  std::size_t i = 0;
#ifdef SSLMEME_HIGHWAY
  i = HWY_DYNAMIC_DISPATCH(widen)(values, n, out);
#endif
  for (; i < n; ++i) out[i] = static_cast<std::int16_t>((values[i] - 128) * (1 << blur_bits));
}

void from_blur(const std::int16_t* values, std::size_t n, std::uint8_t* out) {
  std::size_t i = 0;
#ifdef SSLMEME_HIGHWAY
  i = HWY_DYNAMIC_DISPATCH(narrow)(values, n, out);
#endif
  for (; i < n; ++i) out[i] = from_blur_value(values[i]);
}

void mirrored_row(const std::uint8_t* in, std::size_t n, std::uint8_t* out) {
  std::size_t i = 0;
#ifdef SSLMEME_HIGHWAY
  i = HWY_DYNAMIC_DISPATCH(mirror)(in, n, out);
#endif
  for (; i < n; ++i) std::copy_n(in + 3 * (n - 1 - i), 3, out + 3 * i);
}

}  // namespace sslmeme::detail
#endif
