// The kernels of colours against Pillow's arithmetic, value by value, on every instruction set of this machine.
#include "data/color_kernels.hpp"

#include <sslmeme/core/random.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <vector>

#include "instruction_sets.hpp"

namespace sm = sslmeme;
namespace kernels = sslmeme::detail;

namespace {

using kernels::ColorStep;
using Kind = ColorStep::Kind;
using Bytes = std::vector<std::uint8_t>;

Bytes random_bytes(std::size_t n, sm::Rng& rng) {
  Bytes bytes(n);
  for (auto& value : bytes) value = static_cast<std::uint8_t>(rng.below(256));
  return bytes;
}

int luma(const std::uint8_t* rgb) {
  return (rgb[0] * 19595 + rgb[1] * 38470 + rgb[2] * 7471 + 0x8000) >> 16;
}

std::uint8_t blended(int from, int to, float factor) {
  const float value = static_cast<float>(from) + factor * static_cast<float>(to - from);
  return static_cast<std::uint8_t>(std::clamp(value, 0.0F, 255.0F));
}

/// Pillow's Convert.c, rgb2hsv_row and hsv2rgb, with its mixture of floats and doubles.
void turn_hue(std::uint8_t* rgb, int shift) {
  const int r = rgb[0], g = rgb[1], b = rgb[2];
  const int most = std::max({r, g, b}), least = std::min({r, g, b});
  int h = 0, s = 0;
  if (most != least) {
    const auto range = static_cast<float>(most - least);
    const float saturation = range / static_cast<float>(most);
    const float rc = static_cast<float>(most - r) / range, gc = static_cast<float>(most - g) / range,
                bc = static_cast<float>(most - b) / range;
    const auto at = r == most ? bc - gc : static_cast<float>(g == most ? 2.0 + rc - bc : 4.0 + gc - rc);
    const auto hue = static_cast<float>(std::fmod(at / 6.0 + 1.0, 1.0));
    h = std::clamp(static_cast<int>(hue * 255.0), 0, 255);
    s = std::clamp(static_cast<int>(saturation * 255.0), 0, 255);
  }
  const double at = ((h + shift) & 255) * 6.0 / 255.0;
  const int sector = static_cast<int>(at);
  const auto f = static_cast<float>(at - sector), share = static_cast<float>(s / 255.0);
  const auto byte = [&](double x) {
    return static_cast<std::uint8_t>(std::clamp<long>(std::lround(most * x), 0, 255));
  };
  const auto v = static_cast<std::uint8_t>(most), p = byte(1.0 - share), q = byte(1.0 - static_cast<double>(share) * f),
             t = byte(1.0 - share * (1.0 - f));
  const std::array<std::array<std::uint8_t, 3>, 6> colors{
      {{v, t, p}, {q, v, p}, {p, v, t}, {p, q, v}, {t, p, v}, {v, p, q}}};
  std::ranges::copy(colors[static_cast<std::size_t>(sector % 6)], rgb);
}

/// One step on all pixels.
void adjust(Bytes& pixels, const ColorStep& step) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < pixels.size(); i += 3) sum += static_cast<std::uint64_t>(luma(&pixels[i]));
  const int mean = static_cast<int>(static_cast<double>(sum) / (static_cast<double>(pixels.size()) / 3) + 0.5);
  for (std::size_t i = 0; i < pixels.size(); i += 3) {
    const int grey = luma(&pixels[i]);
    if (step.kind == Kind::hue) turn_hue(&pixels[i], step.amount);
    for (std::size_t c = i; c < i + 3; ++c) {
      auto& value = pixels[c];
      if (step.kind == Kind::brightness) value = blended(0, value, step.factor);
      if (step.kind == Kind::contrast) value = blended(mean, value, step.factor);
      if (step.kind == Kind::saturation) value = blended(grey, value, step.factor);
      if (step.kind == Kind::grayscale) value = static_cast<std::uint8_t>(grey);
      if (step.kind == Kind::solarize && value >= step.amount) value = static_cast<std::uint8_t>(255 - value);
    }
  }
}

/// Whatever a ColorJitter may draw, and more.
ColorStep random_step(sm::Rng& rng) {
  ColorStep step{.kind = static_cast<Kind>(rng.below(6)), .factor = static_cast<float>(rng.uniform(0, 2.5))};
  if (rng.bernoulli(0.1)) step.factor = static_cast<float>(rng.below(3) * 50);
  if (step.kind == Kind::hue) step.amount = static_cast<int>(rng.below(256));
  if (step.kind == Kind::solarize) step.amount = static_cast<int>(rng.below(257));
  return step;
}

}  // namespace

TEST_CASE("Steps on colours equal Pillow's arithmetic, of any number and on pictures of any size") {
  sm::Rng rng{1};
  for (const std::size_t n : {1U, 2U, 15U, 16U, 17U, 33U, 63U, 511U, 512U, 513U, 1200U}) {
    for (std::size_t count = 0; count < 12; ++count) {
      const auto pixels = random_bytes(3 * n, rng);
      std::vector<ColorStep> steps;
      for (std::size_t i = 0; i < count; ++i) steps.push_back(random_step(rng));
      auto expected = pixels;
      for (const auto& step : steps) adjust(expected, step);
      sm::test::on_every_instruction_set([&] {
        auto actual = pixels;
        kernels::adjust_colors(actual.data(), n, steps);
        CHECK(actual == expected);
      });
    }
  }
  kernels::adjust_colors(nullptr, 0, std::array{ColorStep{.kind = Kind::contrast}});
}

TEST_CASE("The hue of every colour turns as Pillow's does") {
  constexpr std::size_t plane = 256 * 256;
  for (const int shift : {25, 231}) {
    std::vector<std::size_t> wrong;
    for (int r = 0; r < 256; ++r) {
      Bytes pixels;
      pixels.reserve(3 * plane);
      for (int g = 0; g < 256; ++g) {
        for (int b = 0; b < 256; ++b) {
          for (const int value : {r, g, b}) pixels.push_back(static_cast<std::uint8_t>(value));
        }
      }
      auto expected = pixels;
      for (std::size_t i = 0; i < expected.size(); i += 3) turn_hue(&expected[i], shift);
      const auto check = [&] {
        auto actual = pixels;
        kernels::adjust_colors(actual.data(), plane, std::array{ColorStep{.kind = Kind::hue, .amount = shift}});
        if (actual != expected) wrong.push_back(static_cast<std::size_t>(r));
      };
      if (shift == 25)
        sm::test::on_every_instruction_set(check);
      else
        check();
    }
    CHECK(wrong.empty());
  }
}

TEST_CASE("Every value is normalized as (value / 255 − mean) / std, rounded at each step") {
  const std::array<float, 3> mean{0.485F, 0.4578275F, 0.0F}, std{0.229F, 0.26130258F, 3.0F};
  sm::Rng rng{2};
  for (const std::size_t n : {256U, 1U, 7U, 33U, 513U}) {
    auto pixels = random_bytes(3 * n, rng);
    if (n == 256) {
      for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<std::uint8_t>(i / 3);
    }
    std::vector<float> expected(3 * n);
    for (std::size_t i = 0; i < pixels.size(); ++i) {
      const std::size_t c = i % 3;
      volatile float share = static_cast<float>(pixels[i]) / 255.0F;
      volatile float difference = share - mean[c];
      expected[c * n + i / 3] = difference / std[c];
    }
    sm::test::on_every_instruction_set([&] {
      std::vector<float> actual(3 * n + 1, -7.0F);
      kernels::normalize(pixels.data(), n, mean, std, actual.data());
      CHECK(actual.back() == -7.0F);  // nothing beyond
      actual.pop_back();
      CHECK(actual == expected);
    });
  }
}
