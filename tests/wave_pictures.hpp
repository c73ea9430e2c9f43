// Pictures of tests that look like nothing else: each seed its own.
#pragma once

#include <sslmeme/core/image.hpp>
#include <sslmeme/core/random.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace sslmeme::test {

/// Coloured waves of low frequencies.
inline Image wave_picture(std::uint64_t seed, int width = 96, int height = 72) {
  Rng rng{seed};
  Image image{width, height};
  std::vector<double> values(image.pixels.size() / 3);
  for (std::size_t channel = 0; channel < 3; ++channel) {
    std::ranges::fill(values, 127);
    for (int wave = 0; wave < 6; ++wave) {
      const double across = rng.uniform(-15, 15), down = rng.uniform(-15, 15), phase = rng.uniform(0, 6);
      const double amplitude = rng.uniform(10, 35);
      for (std::size_t i = 0; i < values.size(); ++i) {
        const auto x = static_cast<double>(i % static_cast<std::size_t>(width)) / width;
        const auto y = static_cast<double>(i / static_cast<std::size_t>(width)) / height;
        values[i] += amplitude * std::sin(across * x + down * y + phase);
      }
    }
    for (std::size_t i = 0; i < values.size(); ++i)
      image.pixels[3 * i + channel] = static_cast<std::uint8_t>(std::clamp(values[i], 0.0, 255.0));
  }
  return image;
}

}  // namespace sslmeme::test
