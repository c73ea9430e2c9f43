// Colours, value by value. The arithmetic is Pillow's (Blend.c, Convert.c), so that results are equal.
#include <sslmeme/data/image_ops.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

namespace sslmeme {

namespace {

using Table = std::array<std::uint8_t, 256>;

Image mapped(const Image& image, const Table& table) {
  Image out = image;
  for (auto& value : out.pixels) value = table[value];
  return out;
}

std::uint8_t luma(const std::uint8_t* rgb) {
  return static_cast<std::uint8_t>((rgb[0] * 19595 + rgb[1] * 38470 + rgb[2] * 7471 + 0x8000) >> 16);
}

/// from + factor × (to − from), cut off like Pillow does.
std::uint8_t blended(int from, int to, float factor) {
  const float value = static_cast<float>(from) + factor * static_cast<float>(to - from);
  return static_cast<std::uint8_t>(std::clamp(value, 0.0F, 255.0F));
}

Image blended_with_grey(const Image& image, int grey, double factor) {
  Table table;
  for (int i = 0; i < 256; ++i) table[static_cast<std::size_t>(i)] = blended(grey, i, static_cast<float>(factor));
  return mapped(image, table);
}

struct Hsv {
  std::uint8_t h, s, v;
};

Hsv to_hsv(const std::uint8_t* rgb) {
  const int r = rgb[0], g = rgb[1], b = rgb[2];
  const int most = std::max({r, g, b}), least = std::min({r, g, b});
  if (most == least) return {0, 0, static_cast<std::uint8_t>(most)};
  const auto range = static_cast<float>(most - least);
  const float s = range / static_cast<float>(most);
  const float rc = static_cast<float>(most - r) / range, gc = static_cast<float>(most - g) / range,
              bc = static_cast<float>(most - b) / range;
  const auto h = r == most ? bc - gc : static_cast<float>(g == most ? 2.0 + rc - bc : 4.0 + gc - rc);
  const double turn = h / 6.0 + 1.0;  // from 5/6 to below 2
  const auto hue = static_cast<float>(turn < 1 ? turn : turn - 1);
  const auto byte = [](double x) { return static_cast<std::uint8_t>(std::clamp(static_cast<int>(x * 255.0), 0, 255)); };
  return {byte(hue), byte(s), static_cast<std::uint8_t>(most)};
}

/// Where on the circle each hue lies: between which of six colours, and how far from the first.
struct Sector {
  int number;
  float fraction;
};
const std::array<Sector, 256> sectors = [] {
  std::array<Sector, 256> all{};
  for (int h = 0; h < 256; ++h) {
    const double at = h * 6.0 / 255.0;
    all[static_cast<std::size_t>(h)] = {static_cast<int>(at) % 6, static_cast<float>(at - static_cast<int>(at))};
  }
  return all;
}();

void from_hsv(const Hsv& hsv, std::uint8_t* rgb) {
  const auto [sector, f] = sectors[hsv.h];
  const auto s = static_cast<float>(hsv.s / 255.0);
  const auto byte = [&](double share) {  // share ≥ 0, so that this rounds as lround() does
    return static_cast<std::uint8_t>(std::min(static_cast<int>(hsv.v * share + 0.5), 255));
  };
  const auto v = hsv.v, p = byte(1.0 - s);
  // Of even sectors the third colour rises, of odd ones it falls.
  const auto q = sector % 2 == 0 ? byte(1.0 - s * (1.0 - f)) : byte(1.0 - static_cast<double>(s) * f);
  constexpr std::array<std::array<std::uint8_t, 3>, 6> which{
      // of v, q, p
      {{0, 1, 2}, {1, 0, 2}, {2, 0, 1}, {2, 1, 0}, {1, 2, 0}, {0, 2, 1}}};
  const std::array<std::uint8_t, 3> values{v, q, p};
  const auto& order = which[static_cast<std::size_t>(sector)];
  for (std::size_t c = 0; c < 3; ++c) rgb[c] = values[order[c]];
}

}  // namespace

Image grayscale(const Image& image) {
  Image out = image;
  for (std::size_t i = 0; i < out.pixels.size(); i += 3) std::fill_n(&out.pixels[i], 3, luma(&out.pixels[i]));
  return out;
}

Image adjust_brightness(const Image& image, double factor) {
  return blended_with_grey(image, 0, factor);
}

Image adjust_contrast(const Image& image, double factor) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < image.pixels.size(); i += 3) sum += luma(&image.pixels[i]);
  const double mean = static_cast<double>(sum) / (static_cast<double>(image.pixels.size()) / 3);
  return blended_with_grey(image, static_cast<int>(mean + 0.5), factor);
}

Image adjust_saturation(const Image& image, double factor) {
  Image out = image;
  for (std::size_t i = 0; i < out.pixels.size(); i += 3) {
    const int grey = luma(&out.pixels[i]);
    for (std::size_t c = i; c < i + 3; ++c) out.pixels[c] = blended(grey, out.pixels[c], static_cast<float>(factor));
  }
  return out;
}

Image adjust_hue(const Image& image, double factor) {
  const auto shift = static_cast<std::uint8_t>(static_cast<int>(factor * 255));
  Image out = image;
  for (std::size_t i = 0; i < out.pixels.size(); i += 3) {
    auto hsv = to_hsv(&out.pixels[i]);
    hsv.h = static_cast<std::uint8_t>(hsv.h + shift);  // around the circle
    from_hsv(hsv, &out.pixels[i]);
  }
  return out;
}

Image solarize(const Image& image, int threshold) {
  Table table;
  for (int i = 0; i < 256; ++i)
    table[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(i < threshold ? i : 255 - i);
  return mapped(image, table);
}

}  // namespace sslmeme
