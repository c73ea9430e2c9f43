// Compiled without fused multiply-add, which would round differently from one instruction set to the next.
#include "data/pixel_kernels.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#ifndef SSLMEME_PIXEL_KERNELS_ONCE  // this file is read again for each instruction set
#define SSLMEME_PIXEL_KERNELS_ONCE
namespace sslmeme::detail {
namespace {

constexpr std::int32_t half = 1 << (resize_bits - 1);
[[maybe_unused]] constexpr std::size_t rows_at_once = 4;

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

/// rows: padded by a byte, so that the last pixel can be read as four bytes.
void resize_four_rows(const std::uint8_t* const* rows, const TapsView& taps, std::uint8_t* const* out) {
#if HWY_TARGET == HWY_SCALAR  // has vectors of one lane only
  for (std::size_t i = 0; i < rows_at_once; ++i) resize_row(rows[i], taps, out[i]);
#else
  const hn::FixedTag<std::int32_t, 4> d;
  const hn::FixedTag<std::uint8_t, 4> bytes;
  const auto start = hn::Set(d, half);
  for (int x = 0; x < taps.size; ++x) {
    const auto* weights = taps.weights + static_cast<std::ptrdiff_t>(x) * taps.stride;
    const auto begin = static_cast<std::ptrdiff_t>(taps.first[x]) * 3;
    auto a = start, b = start, c = start, e = start;
    for (int k = 0; k < taps.count[x]; ++k) {
      const auto weight = hn::Set(d, weights[k]);
      const auto at = begin + 3 * k;
      a = hn::Add(a, hn::Mul(weight, hn::PromoteTo(d, hn::LoadU(bytes, rows[0] + at))));
      b = hn::Add(b, hn::Mul(weight, hn::PromoteTo(d, hn::LoadU(bytes, rows[1] + at))));
      c = hn::Add(c, hn::Mul(weight, hn::PromoteTo(d, hn::LoadU(bytes, rows[2] + at))));
      e = hn::Add(e, hn::Mul(weight, hn::PromoteTo(d, hn::LoadU(bytes, rows[3] + at))));
    }
    const auto store = [&](auto sum, std::uint8_t* to) {
      std::uint8_t pixel[4];
      hn::StoreU(hn::DemoteTo(bytes, hn::ShiftRight<resize_bits>(sum)), bytes, pixel);
      std::memcpy(to + 3 * x, pixel, 3);
    };
    store(a, out[0]);
    store(b, out[1]);
    store(c, out[2]);
    store(e, out[3]);
  }
#endif
}

/// How many of the n values are done; the caller does the others.
std::size_t weigh_bytes(const std::uint8_t* const* rows, const std::int32_t* weights, std::size_t count, std::size_t n,
                        std::uint8_t* out) {
  const hn::ScalableTag<std::int32_t> d;
  const hn::Rebind<std::uint8_t, decltype(d)> bytes;
  const auto lanes = hn::Lanes(d);
  const auto start = hn::Set(d, half);
  std::size_t i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    auto a = start, b = start;
    for (std::size_t k = 0; k < count; ++k) {
      const auto weight = hn::Set(d, weights[k]);
      a = hn::Add(a, hn::Mul(weight, hn::PromoteTo(d, hn::LoadU(bytes, rows[k] + i))));
      b = hn::Add(b, hn::Mul(weight, hn::PromoteTo(d, hn::LoadU(bytes, rows[k] + i + lanes))));
    }
    hn::StoreU(hn::DemoteTo(bytes, hn::ShiftRight<resize_bits>(a)), bytes, out + i);
    hn::StoreU(hn::DemoteTo(bytes, hn::ShiftRight<resize_bits>(b)), bytes, out + i + lanes);
  }
  return i;
}

/// The same for floats.
std::size_t weigh_floats(const float* const* rows, const float* weights, std::size_t count, std::size_t n, float* out) {
  const hn::ScalableTag<float> d;
  const auto lanes = hn::Lanes(d);
  std::size_t i = 0;
  for (; i + 4 * lanes <= n; i += 4 * lanes) {
    auto a = hn::Zero(d), b = a, c = a, e = a;
    for (std::size_t k = 0; k < count; ++k) {
      const auto weight = hn::Set(d, weights[k]);
      const auto* from = rows[k] + i;
      a = hn::Add(a, hn::Mul(weight, hn::LoadU(d, from)));
      b = hn::Add(b, hn::Mul(weight, hn::LoadU(d, from + lanes)));
      c = hn::Add(c, hn::Mul(weight, hn::LoadU(d, from + 2 * lanes)));
      e = hn::Add(e, hn::Mul(weight, hn::LoadU(d, from + 3 * lanes)));
    }
    hn::StoreU(a, d, out + i);
    hn::StoreU(b, d, out + i + lanes);
    hn::StoreU(c, d, out + i + 2 * lanes);
    hn::StoreU(e, d, out + i + 3 * lanes);
  }
  return i;
}

}  // namespace sslmeme::detail::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // SSLMEME_HIGHWAY

#if !defined(SSLMEME_HIGHWAY) || HWY_ONCE
namespace sslmeme::detail {

#ifdef SSLMEME_HIGHWAY
HWY_EXPORT(resize_four_rows);
HWY_EXPORT(weigh_bytes);
HWY_EXPORT(weigh_floats);
#endif

void resize_rows(std::span<const std::uint8_t* const> in, int width, const TapsView& taps,
                 std::span<std::uint8_t* const> out) {
#ifdef SSLMEME_HIGHWAY
  const auto bytes = static_cast<std::size_t>(width) * 3;
  std::vector<std::uint8_t> padded(rows_at_once * (bytes + 1)), unused(static_cast<std::size_t>(taps.size) * 3);
  for (std::size_t first = 0; first < in.size(); first += rows_at_once) {
    std::array<const std::uint8_t*, rows_at_once> from{};
    std::array<std::uint8_t*, rows_at_once> to{};
    for (std::size_t i = 0; i < rows_at_once; ++i) {
      const bool used = first + i < in.size();
      auto* const copy = padded.data() + i * (bytes + 1);
      if (used) std::memcpy(copy, in[first + i], bytes);
      from[i] = copy;
      to[i] = used ? out[first + i] : unused.data();
    }
    HWY_DYNAMIC_DISPATCH(resize_four_rows)(from.data(), taps, to.data());
  }
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

void weighted_rows(std::span<const float* const> rows, const float* weights, std::size_t n, float* out) {
  std::size_t i = 0;
#ifdef SSLMEME_HIGHWAY
  i = HWY_DYNAMIC_DISPATCH(weigh_floats)(rows.data(), weights, rows.size(), n, out);
#endif
  for (; i < n; ++i) {
    float sum = 0;
    for (std::size_t k = 0; k < rows.size(); ++k) sum += weights[k] * rows[k][i];
    out[i] = sum;
  }
}

}  // namespace sslmeme::detail
#endif
