// Compiled without fused multiply-add, which would round differently from one instruction set to the next.
#include "data/color_kernels.hpp"

#include <algorithm>
#include <array>

#ifndef SSLMEME_COLOR_KERNELS_ONCE  // this file is read again for each instruction set
#define SSLMEME_COLOR_KERNELS_ONCE
namespace sslmeme::detail {
namespace {

// Rec. 601 luma, 16-bit fixed point.
constexpr std::int32_t luma_r = 19595, luma_g = 38470, luma_b = 7471, luma_half = 0x8000;
constexpr int luma_bits = 16;

/// A step with its mean luma found: what is done to one pixel does not depend on others.
struct PixelStep {
  ColorStep::Kind kind;
  float factor;
  std::int32_t amount;  // of contrast the mean luma
};

// Pixels that are worked on at once, taken apart into channels, so that the steps find them in the nearest cache.
[[maybe_unused]] constexpr std::size_t chunk = 512;

// The hue of a colour is (base ± share) / 6, where share = (most − middle) / (most − least). base + 1 of the six orders
// of the channels, and whether share is subtracted.
[[maybe_unused]] constexpr std::uint8_t minus = 0x80, red_green_blue = 2 | minus, red_blue_green = 0,
                                        green_red_blue = 2, green_blue_red = 4 | minus, blue_red_green = 6 | minus,
                                        blue_green_red = 4;

// 1 / 255 = 2^-8 + 2^-16 + …
[[maybe_unused]] constexpr float over_255_high = 0x1.01p-8F, over_255_low = 0x1.0p-16F / 255;

}  // namespace
}  // namespace sslmeme::detail
#endif

#ifdef SSLMEME_HIGHWAY

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "data/color_kernels.cpp"  // this file again, once for each instruction set
#include <hwy/foreach_target.h>

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace sslmeme::detail::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using Bytes = hn::ScalableTag<std::uint8_t>;
using Ints = hn::ScalableTag<std::int32_t>;
using Floats = hn::ScalableTag<float>;
using FewBytes = hn::Rebind<std::uint8_t, Ints>;

struct Planes {
  HWY_ALIGN std::uint8_t r[chunk], g[chunk], b[chunk];
};

HWY_INLINE auto load_ints(const std::uint8_t* from) {
  return hn::PromoteTo(Ints{}, hn::LoadU(FewBytes{}, from));
}
HWY_INLINE void store_ints(hn::Vec<Ints> values, std::uint8_t* to) {  // cut off to 0 … 255
  hn::StoreU(hn::DemoteTo(FewBytes{}, values), FewBytes{}, to);
}

/// The rest of each plane, up to a whole vector, is 0.
void take_apart(const std::uint8_t* pixels, std::size_t n, Planes& planes) {
  const Bytes d;
  const auto lanes = hn::Lanes(d);
  std::size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    hn::Vec<Bytes> r, g, b;
    hn::LoadInterleaved3(d, pixels + 3 * i, r, g, b);
    hn::Store(r, d, planes.r + i);
    hn::Store(g, d, planes.g + i);
    hn::Store(b, d, planes.b + i);
  }
  if (i == n) return;
  for (const auto plane : {planes.r, planes.g, planes.b}) hn::Store(hn::Zero(d), d, plane + i);
  for (; i < n; ++i) {
    planes.r[i] = pixels[3 * i];
    planes.g[i] = pixels[3 * i + 1];
    planes.b[i] = pixels[3 * i + 2];
  }
}

void put_together(const Planes& planes, std::size_t n, std::uint8_t* pixels) {
  const Bytes d;
  const auto lanes = hn::Lanes(d);
  std::size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    hn::StoreInterleaved3(hn::Load(d, planes.r + i), hn::Load(d, planes.g + i), hn::Load(d, planes.b + i), d,
                          pixels + 3 * i);
  }
  for (; i < n; ++i) {
    pixels[3 * i] = planes.r[i];
    pixels[3 * i + 1] = planes.g[i];
    pixels[3 * i + 2] = planes.b[i];
  }
}

HWY_INLINE hn::Vec<Ints> luma(hn::Vec<Ints> r, hn::Vec<Ints> g, hn::Vec<Ints> b) {
  const Ints d;
  const auto sum = hn::Add(hn::Add(hn::Mul(r, hn::Set(d, luma_r)), hn::Mul(g, hn::Set(d, luma_g))),
                           hn::Add(hn::Mul(b, hn::Set(d, luma_b)), hn::Set(d, luma_half)));
  return hn::ShiftRight<luma_bits>(sum);
}

/// from + factor · (to − from), cut off like Pillow does.
HWY_INLINE hn::Vec<Ints> blended(hn::Vec<Ints> from, hn::Vec<Ints> to, hn::Vec<Floats> factor) {
  const Floats f;
  const auto value = hn::Add(hn::ConvertTo(f, from), hn::Mul(factor, hn::ConvertTo(f, hn::Sub(to, from))));
  return hn::ConvertTo(Ints{}, hn::Min(hn::Max(value, hn::Zero(f)), hn::Set(f, 255.0F)));
}

void blend(Planes& planes, std::size_t n, int grey, float factor) {
  const auto from = hn::Set(Ints{}, grey);
  const auto factors = hn::Set(Floats{}, factor);
  for (const auto plane : {planes.r, planes.g, planes.b}) {
    for (std::size_t i = 0; i < n; i += hn::Lanes(Ints{}))
      store_ints(blended(from, load_ints(plane + i), factors), plane + i);
  }
}

void saturate(Planes& planes, std::size_t n, float factor) {
  const auto factors = hn::Set(Floats{}, factor);
  for (std::size_t i = 0; i < n; i += hn::Lanes(Ints{})) {
    const auto r = load_ints(planes.r + i), g = load_ints(planes.g + i), b = load_ints(planes.b + i);
    const auto grey = luma(r, g, b);
    store_ints(blended(grey, r, factors), planes.r + i);
    store_ints(blended(grey, g, factors), planes.g + i);
    store_ints(blended(grey, b, factors), planes.b + i);
  }
}

void gray(Planes& planes, std::size_t n) {
  for (std::size_t i = 0; i < n; i += hn::Lanes(Ints{})) {
    const auto grey = luma(load_ints(planes.r + i), load_ints(planes.g + i), load_ints(planes.b + i));
    for (const auto plane : {planes.r, planes.g, planes.b}) store_ints(grey, plane + i);
  }
}

std::uint64_t luma_sum(const Planes& planes, std::size_t n) {
  const Ints d;
  const auto lanes = hn::Lanes(d);
  auto sums = hn::Zero(d);  // of a chunk: far from overflow
  std::size_t i = 0;
  for (; i + lanes <= n; i += lanes)
    sums = hn::Add(sums, luma(load_ints(planes.r + i), load_ints(planes.g + i), load_ints(planes.b + i)));
  auto sum = static_cast<std::uint64_t>(hn::GetLane(hn::SumOfLanes(d, sums)));
  for (; i < n; ++i) {
    sum += static_cast<std::uint64_t>(
        (planes.r[i] * luma_r + planes.g[i] * luma_g + planes.b[i] * luma_b + luma_half) >> luma_bits);
  }
  return sum;
}

void solarize(Planes& planes, std::size_t n, int threshold) {
  if (threshold > 255) return;
  const Bytes d;
  const auto from = hn::Set(d, static_cast<std::uint8_t>(threshold)), all = hn::Set(d, std::uint8_t{255});
  for (const auto plane : {planes.r, planes.g, planes.b}) {
    for (std::size_t i = 0; i < n; i += hn::Lanes(d)) {
      const auto value = hn::Load(d, plane + i);
      hn::Store(hn::IfThenElse(hn::Eq(hn::Max(value, from), value), hn::Xor(value, all), value), d, plane + i);
    }
  }
}

/// What hue needs of each pixel.
struct HuePlanes {
  HWY_ALIGN std::uint8_t most[chunk], range[chunk], share[chunk], order[chunk];  // to HSV
  HWY_ALIGN std::uint8_t sector[chunk], middle[chunk], least[chunk];             // from HSV
};

/// Value (the largest channel), the distances to it from the least and from the middle one, and their order.
void rank(const Planes& planes, std::size_t n, HuePlanes& out) {
  const Bytes d;
  const auto code = [&](std::uint8_t value) HWY_ATTR { return hn::Set(d, value); };
  for (std::size_t i = 0; i < n; i += hn::Lanes(d)) {
    const auto r = hn::Load(d, planes.r + i), g = hn::Load(d, planes.g + i), b = hn::Load(d, planes.b + i);
    const auto lower = hn::Min(r, g), upper = hn::Max(r, g);
    const auto most = hn::Max(upper, b), least = hn::Min(lower, b), middle = hn::Max(lower, hn::Min(upper, b));
    const auto red = hn::IfThenElse(hn::Eq(hn::Max(g, b), g), code(red_green_blue), code(red_blue_green));
    const auto green = hn::IfThenElse(hn::Eq(hn::Max(r, b), r), code(green_red_blue), code(green_blue_red));
    const auto blue = hn::IfThenElse(hn::Eq(hn::Max(r, g), r), code(blue_red_green), code(blue_green_red));
    const auto order = hn::IfThenElse(hn::Eq(r, most), red, hn::IfThenElse(hn::Eq(g, most), green, blue));
    hn::Store(most, d, out.most + i);
    hn::Store(hn::Sub(most, least), d, out.range + i);
    hn::Store(hn::Sub(most, middle), d, out.share + i);
    hn::Store(order, d, out.order + i);
  }
}

/// x / 255 for x in [0, 65535].
HWY_INLINE hn::Vec<Ints> over_255(hn::Vec<Ints> x) {
  return hn::ShiftRight<8>(hn::Add(hn::Add(x, hn::Set(Ints{}, 1)), hn::ShiftRight<8>(x)));
}

/// Into HSV, turned, and out of it as far as the three values that the channels will have. Everything is integer but
/// for the hue and saturation, whose fp32 arithmetic is Pillow's.
void turn(HuePlanes& planes, std::size_t n, int shift) {
  const Ints d;
  const Floats f;
  const auto one = hn::Set(d, 1), all = hn::Set(d, 255);
  const auto to_byte = hn::Set(f, 255.0F);
  for (std::size_t i = 0; i < n; i += hn::Lanes(d)) {
    const auto most = load_ints(planes.most + i), order = load_ints(planes.order + i);
    const auto range = hn::ConvertTo(f, hn::Max(load_ints(planes.range + i), one));
    const auto share = hn::Div(hn::ConvertTo(f, load_ints(planes.share + i)), range);
    const auto base = hn::ConvertTo(f, hn::Sub(hn::And(order, hn::Set(d, 7)), one));
    const auto sign = hn::BitCast(f, hn::ShiftLeft<24>(hn::And(order, hn::Set(d, minus))));
    const auto sixth = hn::Div(hn::Add(base, hn::Xor(share, sign)), hn::Set(f, 6.0F));
    const auto hue = hn::Add(sixth, hn::IfThenElseZero(hn::Lt(sixth, hn::Zero(f)), hn::Set(f, 1.0F)));
    const auto h = hn::And(hn::Add(hn::ConvertTo(d, hn::Mul(hue, to_byte)), hn::Set(d, shift)), all);
    // A grey pixel has range 1 here, which must give saturation 0.
    const auto true_range = hn::ConvertTo(f, load_ints(planes.range + i));
    const auto saturation = hn::Div(true_range, hn::ConvertTo(f, hn::Max(most, one)));
    const auto s = hn::ConvertTo(d, hn::Mul(saturation, to_byte));

    const auto at = hn::Mul(h, hn::Set(d, 6));  // sector · 255 + 255 · the fraction of the way through it
    const auto sector = over_255(at);
    const auto fraction = hn::Sub(at, hn::Mul(sector, all));
    const auto is_odd = hn::Eq(hn::And(sector, one), one);
    const auto away = hn::IfThenElse(is_odd, fraction, hn::Sub(all, fraction));
    const auto depth = hn::Mul(most, s);
    const auto least = hn::Sub(most, over_255(hn::Add(depth, hn::Set(d, 127))));
    // depth · away / 255², rounded: from just below, then put right by what remains.
    const auto product = hn::Mul(depth, away);
    const auto low =
        hn::ConvertTo(d, hn::Add(hn::Mul(hn::ConvertTo(f, product), hn::Set(f, 1.0F / 65025)), hn::Set(f, 0.4999F)));
    const auto rest = hn::Sub(product, hn::Mul(low, hn::Set(d, 65025)));
    const auto drop = hn::Add(low, hn::IfThenElseZero(hn::Gt(rest, hn::Set(d, 32512)), one));
    store_ints(sector, planes.sector + i);
    store_ints(hn::Sub(most, drop), planes.middle + i);
    store_ints(least, planes.least + i);
  }
}

/// The values to the channels: which is which depends on the sector.
void place(const HuePlanes& from, std::size_t n, Planes& planes) {
  const Bytes d;
  for (std::size_t i = 0; i < n; i += hn::Lanes(d)) {
    const auto v = hn::Load(d, from.most + i), q = hn::Load(d, from.middle + i), p = hn::Load(d, from.least + i);
    const auto sector = hn::Load(d, from.sector + i);
    const auto in = [&](int number) HWY_ATTR { return hn::Eq(sector, hn::Set(d, static_cast<std::uint8_t>(number))); };
    const auto s1 = in(1), s2 = in(2), s3 = in(3), s4 = in(4), s5 = in(5);  // 6 is 0
    const auto middle_r = hn::Or(s1, s4), least_r = hn::Or(s2, s3);
    const auto most_g = hn::Or(s1, s2), least_g = hn::Or(s4, s5);
    const auto most_b = hn::Or(s3, s4), middle_b = hn::Or(s2, s5);
    hn::Store(hn::IfThenElse(middle_r, q, hn::IfThenElse(least_r, p, v)), d, planes.r + i);
    hn::Store(hn::IfThenElse(most_g, v, hn::IfThenElse(least_g, p, q)), d, planes.g + i);
    hn::Store(hn::IfThenElse(most_b, v, hn::IfThenElse(middle_b, q, p)), d, planes.b + i);
  }
}

/// The steps, and the sum of luma after them if it is wanted.
std::uint64_t pass(std::uint8_t* pixels, std::size_t n, const PixelStep* steps, std::size_t count, bool sum_luma) {
  const auto lanes = hn::Lanes(Bytes{});
  std::uint64_t sum = 0;
  Planes planes;
  HuePlanes hue;
  for (std::size_t first = 0; first < n; first += chunk) {
    const auto size = std::min(chunk, n - first), padded = (size + lanes - 1) / lanes * lanes;
    auto* const at = pixels + 3 * first;
    take_apart(at, size, planes);
    for (std::size_t i = 0; i < count; ++i) {
      const auto& step = steps[i];
      switch (step.kind) {
        case ColorStep::Kind::brightness:
        case ColorStep::Kind::contrast:
          blend(planes, padded, step.amount, step.factor);
          break;
        case ColorStep::Kind::saturation:
          saturate(planes, padded, step.factor);
          break;
        case ColorStep::Kind::hue:
          rank(planes, padded, hue);
          turn(hue, padded, step.amount);
          place(hue, padded, planes);
          break;
        case ColorStep::Kind::grayscale:
          gray(planes, padded);
          break;
        case ColorStep::Kind::solarize:
          solarize(planes, padded, step.amount);
          break;
      }
    }
    if (count > 0) put_together(planes, size, at);
    if (sum_luma) sum += luma_sum(planes, size);
  }
  return sum;
}

/// value / 255 − mean, rounded at each step, without a division: high and low part of 1 / 255, of which the product
/// with the first is exact.
HWY_INLINE hn::Vec<Floats> centered(hn::Vec<Ints> value, hn::Vec<Floats> mean) {
  const Floats d;
  const auto v = hn::ConvertTo(d, value);
  return hn::Sub(hn::Add(hn::Mul(v, hn::Set(d, over_255_high)), hn::Mul(v, hn::Set(d, over_255_low))), mean);
}

/// x / std, by a product with 1 / std and a correction by what remains: rounded right where the multiplication and
/// addition are fused.
HWY_INLINE hn::Vec<Floats> corrected_product(hn::Vec<Floats> x, hn::Vec<Floats> std, hn::Vec<Floats> over_std) {
  const auto near = hn::Mul(x, over_std);
  return hn::MulAdd(hn::NegMulAdd(near, std, x), over_std, near);
}

/// Whether corrected_product() is the quotient, bit for bit, for every value that there is.
bool product_is_exact(float mean, float std) {
  const Floats d;
  const auto means = hn::Set(d, mean), stds = hn::Set(d, std), over_std = hn::Set(d, 1 / std);
  for (int value = 0; value < 256; value += static_cast<int>(hn::Lanes(d))) {
    const auto x = centered(hn::Iota(Ints{}, value), means);
    if (!hn::AllTrue(d, hn::Eq(corrected_product(x, stds, over_std), hn::Div(x, stds)))) return false;
  }
  return true;
}

/// n values of a plane to floats.
template <bool by_product>
void normalize_plane(const std::uint8_t* plane, std::size_t n, float mean, float std, float* out) {
  const Floats d;
  const auto lanes = hn::Lanes(d);
  const auto means = hn::Set(d, mean), stds = hn::Set(d, std), over_std = hn::Set(d, 1 / std);
  const auto at = [&](std::size_t i) HWY_ATTR {
    const auto x = centered(load_ints(plane + i), means);
    if constexpr (by_product) return corrected_product(x, stds, over_std);
    return hn::Div(x, stds);
  };
  std::size_t i = 0;
  for (; i + lanes <= n; i += lanes) hn::StoreU(at(i), d, out + i);
  if (i == n) return;
  HWY_ALIGN float rest[hn::MaxLanes(Floats{})];
  hn::Store(at(i), d, rest);
  std::copy_n(rest, n - i, out + i);
}

void normalize_pixels(const std::uint8_t* pixels, std::size_t n, const float* mean, const float* std, float* out) {
  bool by_product = true;  // a division takes three times as long
  for (std::size_t c = 0; c < 3; ++c) by_product = by_product && product_is_exact(mean[c], std[c]);
  const auto plane = by_product ? normalize_plane<true> : normalize_plane<false>;
  Planes planes;
  for (std::size_t first = 0; first < n; first += chunk) {
    const auto size = std::min(chunk, n - first);
    take_apart(pixels + 3 * first, size, planes);
    plane(planes.r, size, mean[0], std[0], out + first);
    plane(planes.g, size, mean[1], std[1], out + n + first);
    plane(planes.b, size, mean[2], std[2], out + 2 * n + first);
  }
}

}  // namespace sslmeme::detail::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // SSLMEME_HIGHWAY

#if !defined(SSLMEME_HIGHWAY) || HWY_ONCE
namespace sslmeme::detail {

#ifdef SSLMEME_HIGHWAY
HWY_EXPORT(pass);
HWY_EXPORT(normalize_pixels);
#else
namespace {

std::int32_t luma(const std::uint8_t* rgb) {
  return (rgb[0] * luma_r + rgb[1] * luma_g + rgb[2] * luma_b + luma_half) >> luma_bits;
}

std::uint8_t blended(int from, int to, float factor) {
  const float value = static_cast<float>(from) + factor * static_cast<float>(to - from);
  return static_cast<std::uint8_t>(std::clamp(value, 0.0F, 255.0F));
}

/// As in the vectors above.
void turn(std::uint8_t* rgb, int shift) {
  const int r = rgb[0], g = rgb[1], b = rgb[2];
  const int most = std::max({r, g, b}), least = std::min({r, g, b}), middle = r + g + b - most - least;
  const auto order = r == most   ? (g >= b ? red_green_blue : red_blue_green)
                     : g == most ? (r >= b ? green_red_blue : green_blue_red)
                                 : (r >= g ? blue_red_green : blue_green_red);
  const float share = static_cast<float>(most - middle) / static_cast<float>(std::max(most - least, 1));
  const auto base = static_cast<float>((order & 7) - 1);
  const float sixth = ((order & minus) != 0 ? base - share : base + share) / 6.0F;
  const float hue = sixth < 0 ? sixth + 1.0F : sixth;
  const int h = (static_cast<int>(hue * 255.0F) + shift) & 255;
  const int s = 255 * (most - least) / std::max(most, 1);
  const int sector = 6 * h / 255, fraction = 6 * h % 255;
  const int depth = most * s, away = sector % 2 == 1 ? fraction : 255 - fraction;
  const auto v = static_cast<std::uint8_t>(most), p = static_cast<std::uint8_t>(most - (depth + 127) / 255),
             q = static_cast<std::uint8_t>(most - (depth * away + 32512) / 65025);
  const std::array<std::array<std::uint8_t, 3>, 6> colors{
      {{v, q, p}, {q, v, p}, {p, v, q}, {p, q, v}, {q, p, v}, {v, p, q}}};
  std::ranges::copy(colors[static_cast<std::size_t>(sector % 6)], rgb);
}

std::uint64_t pass(std::uint8_t* pixels, std::size_t n, const PixelStep* steps, std::size_t count, bool sum_luma) {
  std::uint64_t sum = 0;
  for (auto* rgb = pixels; rgb != pixels + 3 * n; rgb += 3) {
    for (std::size_t i = 0; i < count; ++i) {
      const auto& step = steps[i];
      if (step.kind == ColorStep::Kind::hue) turn(rgb, step.amount);
      const auto grey = luma(rgb);
      for (auto* value = rgb; value != rgb + 3; ++value) {
        if (step.kind == ColorStep::Kind::brightness || step.kind == ColorStep::Kind::contrast)
          *value = blended(step.amount, *value, step.factor);
        if (step.kind == ColorStep::Kind::saturation) *value = blended(grey, *value, step.factor);
        if (step.kind == ColorStep::Kind::grayscale) *value = static_cast<std::uint8_t>(grey);
        if (step.kind == ColorStep::Kind::solarize && *value >= step.amount)
          *value = static_cast<std::uint8_t>(255 - *value);
      }
    }
    if (sum_luma) sum += static_cast<std::uint64_t>(luma(rgb));
  }
  return sum;
}

void normalize_pixels(const std::uint8_t* pixels, std::size_t n, const float* mean, const float* std, float* out) {
  for (std::size_t c = 0; c < 3; ++c) {
    for (std::size_t i = 0; i < n; ++i)
      out[c * n + i] = (static_cast<float>(pixels[3 * i + c]) / 255.0F - mean[c]) / std[c];
  }
}

}  // namespace
#endif

void adjust_colors(std::uint8_t* pixels, std::size_t n, std::span<const ColorStep> steps) {
  if (n == 0) return;
  constexpr std::size_t most_at_once = 8;
  std::array<PixelStep, most_at_once> pending;
  std::size_t count = 0;
  const auto run = [&](bool sum_luma) {
#ifdef SSLMEME_HIGHWAY
    const auto sum = HWY_DYNAMIC_DISPATCH(pass)(pixels, n, pending.data(), count, sum_luma);
#else
    const auto sum = pass(pixels, n, pending.data(), count, sum_luma);
#endif
    count = 0;
    return sum;
  };
  for (const auto& step : steps) {
    PixelStep next{step.kind, step.factor, step.amount};
    if (step.kind == ColorStep::Kind::brightness) next.amount = 0;
    if (step.kind == ColorStep::Kind::contrast)
      next.amount = static_cast<std::int32_t>(static_cast<double>(run(true)) / static_cast<double>(n) + 0.5);
    if (count == most_at_once) run(false);
    pending[count++] = next;
  }
  if (count > 0) run(false);
}

void normalize(const std::uint8_t* pixels, std::size_t n, const std::array<float, 3>& mean,
               const std::array<float, 3>& std, float* out) {
#ifdef SSLMEME_HIGHWAY
  HWY_DYNAMIC_DISPATCH(normalize_pixels)(pixels, n, mean.data(), std.data(), out);
#else
  normalize_pixels(pixels, n, mean.data(), std.data(), out);
#endif
}

}  // namespace sslmeme::detail
#endif
