#include "background.hpp"

#include <array>
#include <cmath>
#include <numbers>

namespace sslmeme {
namespace {

float draw(Rng& rng, double low, double high) {
  return static_cast<float>(rng.uniform(low, high));
}

/// A colour by hue (turns), saturation and value (Smith 1978).
Rgb from_hsv(float hue, float saturation, float value) {
  const auto channel = [&](float offset) {
    const float h = std::fmod(hue + offset + 2, 1.0F) * 6;
    return value * (1 - saturation * std::clamp(std::min(h, 4 - h), 0.0F, 1.0F));
  };
  return {channel(5.0F / 6), channel(3.0F / 6), channel(1.0F / 6)};
}

/// Fractal value noise on a 32 × 32 lattice that repeats: smooth, 0 to 1, mean 0.5.
class Noise {
 public:
  explicit Noise(Rng& rng) {
    for (auto& value : lattice_) value = static_cast<float>(rng.uniform());
  }
  /// `octaves` layers, each twice as fine and `roughness` times as strong as the one before.
  float operator()(float x, float y, int octaves, float roughness = 0.5F) const {
    float sum = 0, weight = 1, total = 0;
    for (int octave = 0; octave < octaves; ++octave) {
      sum += weight * layer(x, y);
      total += weight;
      weight *= roughness;
      x = x * 2 + 17.3F;
      y = y * 2 + 9.1F;
    }
    return sum / total;
  }

 private:
  static constexpr int side = 32;

  float layer(float x, float y) const {
    const float floor_x = std::floor(x), floor_y = std::floor(y);
    const float tx = ease(x - floor_x), ty = ease(y - floor_y);
    const int x0 = static_cast<int>(floor_x) & (side - 1), y0 = static_cast<int>(floor_y) & (side - 1);
    const int x1 = (x0 + 1) & (side - 1), y1 = (y0 + 1) & (side - 1);
    const float top = at(x0, y0) + (at(x1, y0) - at(x0, y0)) * tx;
    const float bottom = at(x0, y1) + (at(x1, y1) - at(x0, y1)) * tx;
    return top + (bottom - top) * ty;
  }
  static float ease(float t) { return t * t * (3 - 2 * t); }
  float at(int x, int y) const { return lattice_[static_cast<std::size_t>(y) * side + static_cast<std::size_t>(x)]; }

  std::array<float, side * side> lattice_;
};

/// Calls paint(x, y) → Rgb for every pixel with coordinates in 0 … 1.
template <class Paint>
void fill(Canvas& canvas, Paint paint) {
  const float step = 1.0F / static_cast<float>(canvas.size);
  for (int y = 0; y < canvas.size; ++y) {
    for (int x = 0; x < canvas.size; ++x)
      canvas.at(x, y) = paint((static_cast<float>(x) + 0.5F) * step, (static_cast<float>(y) + 0.5F) * step);
  }
}

/// A disc as a lens draws a light that is out of focus: nearly flat, brighter at its rim, soft at its edge.
void add_light(Canvas& canvas, float cx, float cy, float radius, Rgb light) {
  const auto n = static_cast<float>(canvas.size);
  const float edge = std::max(0.12F * radius, 1.0F / n);
  const auto first = [&](float c) { return std::max(0, static_cast<int>((c - radius - edge) * n)); };
  const auto last = [&](float c) { return std::min(canvas.size - 1, static_cast<int>((c + radius + edge) * n)); };
  for (int y = first(cy); y <= last(cy); ++y) {
    for (int x = first(cx); x <= last(cx); ++x) {
      const float dx = (static_cast<float>(x) + 0.5F) / n - cx, dy = (static_cast<float>(y) + 0.5F) / n - cy;
      const float distance = std::sqrt(dx * dx + dy * dy);
      const float inside = 1 - smooth_step(radius - edge, radius + edge, distance);
      const float rim = 0.7F + 0.3F * smooth_step(0.5F * radius, radius, distance);
      auto& pixel = canvas.at(x, y);
      pixel = pixel + light * (inside * rim) * Rgb{1 - 0.6F * pixel.r, 1 - 0.6F * pixel.g, 1 - 0.6F * pixel.b};
    }
  }
}

void add_lights(Canvas& canvas, Rng& rng, int count, float strength, float hue, float hue_spread, float largest) {
  for (int i = 0; i < count; ++i) {
    const float radius = draw(rng, 0.25, 1) * largest;
    const auto light = from_hsv(hue + draw(rng, -hue_spread, hue_spread), draw(rng, 0.15, 0.75), draw(rng, 0.4, 1));
    const float x = draw(rng, -0.05, 1.05), y = draw(rng, -0.05, 1.05);
    add_light(canvas, x, y, radius, light * (strength * draw(rng, 0.4, 1)));
  }
}

/// Ridges one behind the other under a sky with clouds, paler the farther away, and grass or sand in front.
void paint_hills(Canvas& canvas, Rng& rng) {
  const Noise clouds{rng}, land{rng};
  const bool evening = rng.bernoulli(0.35);
  const auto zenith =
      from_hsv(evening ? draw(rng, 0.62, 0.8) : draw(rng, 0.55, 0.63), draw(rng, 0.35, 0.75), draw(rng, 0.5, 0.9));
  const auto haze = from_hsv(evening ? draw(rng, 0.02, 0.12) : draw(rng, 0.5, 0.6),
                             draw(rng, 0.08, evening ? 0.6 : 0.25), draw(rng, 0.8, 0.98));
  const auto ground = from_hsv(draw(rng, 0.07, 0.38), draw(rng, 0.25, 0.65), draw(rng, 0.22, 0.6));
  const float horizon = draw(rng, 0.3, 0.65), cover = draw(rng, 0.42, 0.7);
  constexpr int ridges = 3;
  std::array<float, ridges> height{}, scale{}, offset{};
  for (std::size_t i = 0; i < ridges; ++i) {
    height[i] = horizon + 0.14F * static_cast<float>(i) * (1 - horizon) + draw(rng, -0.03, 0.03);
    scale[i] = draw(rng, 1.5, 4);
    offset[i] = draw(rng, 0, 32);
  }
  fill(canvas, [&](float x, float y) {
    for (std::size_t i = ridges; i-- > 0;) {
      const float ridge =
          height[i] - 0.22F * (land(x * scale[i] + offset[i], offset[i], 4) - 0.4F) / (1 + static_cast<float>(i));
      if (y < ridge) continue;
      const float near = 0.3F + 0.7F * static_cast<float>(i) / (ridges - 1);
      const float depth = (y - ridge) / (1.05F - ridge);
      const float grain = 14.0F / (0.25F + depth);
      const float texture = 0.72F + 0.56F * land(x * grain, y * grain * 2.5F, 3, 0.7F);
      return mix(haze * 0.8F, ground * (texture * (0.75F + 0.4F * depth)), near);
    }
    const auto sky = mix(zenith, haze, smooth_step(-0.1F, horizon, y));
    const float cloud = smooth_step(cover, cover + 0.25F, clouds(x * 3, y * 7, 5, 0.55F));
    return mix(sky, mix(haze, Rgb{1, 1, 1}, 0.7F), 0.85F * cloud);
  });
}

/// A dim place with lights far behind the plane of focus.
void paint_lights(Canvas& canvas, Rng& rng) {
  const Noise noise{rng};
  const float hue = draw(rng, 0, 1);
  const auto low = from_hsv(hue, draw(rng, 0.3, 0.8), draw(rng, 0.08, 0.3));
  const auto high = from_hsv(hue + draw(rng, -0.2, 0.2), draw(rng, 0.2, 0.7), draw(rng, 0.25, 0.6));
  fill(canvas, [&](float x, float y) {
    return mix(low, high, smooth_step(0.2F, 0.8F, 0.6F * noise(x * 2, y * 2, 2) + 0.4F * y));
  });
  const auto count = 12 + static_cast<int>(rng.below(22));
  add_lights(canvas, rng, count, 0.75F, hue + draw(rng, -0.1, 0.6), 0.12F, draw(rng, 0.05, 0.14));
}

/// Leaves, petals or moss too near to be sharp, with sun coming through.
void paint_leaves(Canvas& canvas, Rng& rng) {
  const Noise shape{rng}, colour{rng};
  const float hue = rng.bernoulli(0.6) ? draw(rng, 0.2, 0.42) : draw(rng, 0, 1);
  const auto shade = from_hsv(hue + 0.04F, draw(rng, 0.5, 0.85), draw(rng, 0.1, 0.25));
  const auto leaf = from_hsv(hue, draw(rng, 0.4, 0.75), draw(rng, 0.4, 0.65));
  const auto sun = from_hsv(hue - draw(rng, 0.03, 0.1), draw(rng, 0.2, 0.5), draw(rng, 0.8, 1));
  const float scale = draw(rng, 2.5, 5), bend = draw(rng, 0.5, 1.6);
  fill(canvas, [&](float x, float y) {
    const float wave = bend * colour(x * 2.5F, y * 2.5F, 2);
    const float value = shape(x * scale + wave, y * scale - wave, 4, 0.55F);
    const auto base = mix(shade, leaf, smooth_step(0.25F, 0.6F, value));
    return mix(base, sun, 0.8F * smooth_step(0.55F, 0.85F, value + 0.25F * (colour(x * 3 + 5, y * 3, 2) - 0.5F)));
  });
  add_lights(canvas, rng, static_cast<int>(rng.below(10)), 0.35F, hue, 0.06F, 0.09F);
}

/// A wall lit from one side above a table with wood grain.
void paint_room(Canvas& canvas, Rng& rng) {
  const Noise noise{rng}, wood{rng};
  const auto wall = from_hsv(draw(rng, 0, 1), draw(rng, 0.05, 0.45), draw(rng, 0.5, 0.9));
  const auto table = from_hsv(draw(rng, 0.04, 0.12), draw(rng, 0.3, 0.65), draw(rng, 0.3, 0.7));
  const float edge = draw(rng, 0.5, 0.8), tilt = draw(rng, -0.06, 0.06);
  const float lamp_x = draw(rng, -0.2, 1.2), lamp_y = draw(rng, -0.3, 0.4), reach = draw(rng, 0.6, 1.3);
  const float grain = draw(rng, 10, 22), plaster = draw(rng, 4, 14);
  fill(canvas, [&](float x, float y) {
    const float dx = x - lamp_x, dy = y - lamp_y;
    const float light = 0.5F + 0.7F * std::exp(-(dx * dx + dy * dy) / (reach * reach));
    const float line = edge + tilt * (x - 0.5F);
    const float surface = 0.93F + 0.14F * noise(x * plaster, y * plaster, 3, 0.6F);
    const float stripes = 0.7F + 0.6F * wood(x * 1.5F + 0.4F * noise(x * 3, y * 3, 2), y * grain, 4, 0.6F);
    const float shadow = 1 - 0.35F * std::exp(-std::max(0.0F, y - line) * 18);
    return mix(wall * (surface * light), table * (stripes * light * shadow * 1.1F),
               smooth_step(line - 0.008F, line + 0.008F, y));
  });
}

/// A low sun over water that carries its reflection.
void paint_sea(Canvas& canvas, Rng& rng) {
  const Noise clouds{rng}, waves{rng};
  const auto zenith = from_hsv(draw(rng, 0.55, 0.85), draw(rng, 0.3, 0.7), draw(rng, 0.3, 0.75));
  const auto glow = from_hsv(draw(rng, 0.01, 0.14), draw(rng, 0.3, 0.75), draw(rng, 0.85, 1));
  const auto water = from_hsv(draw(rng, 0.48, 0.66), draw(rng, 0.4, 0.75), draw(rng, 0.2, 0.45));
  const float horizon = draw(rng, 0.4, 0.7), sun_x = draw(rng, 0.1, 0.9), sun_y = horizon - draw(rng, 0.03, 0.25);
  const float radius = draw(rng, 0.03, 0.07);
  fill(canvas, [&](float x, float y) {
    const float dx = x - sun_x, dy = y - sun_y;
    const float distance = std::sqrt(dx * dx + dy * dy);
    if (y < horizon) {
      const auto sky = mix(zenith, glow, smooth_step(-0.1F, 1.0F, y / horizon));
      const auto lit = sky + glow * (0.5F * std::exp(-distance * 5)) +
                       Rgb{1, 0.95F, 0.8F} * (1 - smooth_step(radius, radius * 1.3F, distance));
      return mix(lit, zenith * 0.7F, 0.6F * smooth_step(0.5F, 0.75F, clouds(x * 2.5F, y * 9, 4)));
    }
    const float depth = (y - horizon) / (1 - horizon);
    const float wave = waves(x * 7, std::sqrt(depth) * 24, 3, 0.6F);
    const float path = std::exp(-std::abs(dx) / (0.05F + 0.2F * depth)) * smooth_step(0.4F, 0.7F, wave);
    return mix(mix(glow * 0.7F, water, smooth_step(0, 0.4F, depth)) * (0.7F + 0.6F * wave), glow, 0.8F * path);
  });
}

}  // namespace

void paint_background(Canvas& canvas, Rng& rng) {
  constexpr std::array scenes{paint_hills, paint_lights, paint_leaves, paint_room, paint_sea};
  scenes[rng.below(scenes.size())](canvas, rng);
}

void apply_camera(Canvas& canvas, Rng& rng) {
  const float vignette = draw(rng, 0.1, 0.5), contrast = draw(rng, 0.85, 1.15), noise = draw(rng, 0.006, 0.024);
  const float warmth = draw(rng, -0.06, 0.06), exposure = draw(rng, 0.85, 1.12);
  const Rgb gain = Rgb{1 + warmth, 1, 1 - warmth} * exposure;
  const float centre = 0.5F * static_cast<float>(canvas.size - 1), scale = 2.0F / static_cast<float>(canvas.size);
  // The sum of four bytes is nearly normal, with standard deviation 147.8.
  const auto grain = [noise](std::uint64_t bits) {
    const auto sum = (bits & 255U) + (bits >> 8U & 255U) + (bits >> 16U & 255U) + (bits >> 24U & 255U);
    return (static_cast<float>(sum) - 510) * (noise / 147.8F);
  };
  for (int y = 0; y < canvas.size; ++y) {
    for (int x = 0; x < canvas.size; ++x) {
      const float dx = (static_cast<float>(x) - centre) * scale, dy = (static_cast<float>(y) - centre) * scale;
      const float light = 1 - 0.5F * vignette * (dx * dx + dy * dy);
      const auto bits = rng();
      const float grey = grain(bits), tint = 0.5F * grain(bits >> 32U);
      const auto lit = canvas.at(x, y) * gain * light;
      canvas.at(x, y) = {(lit.r - 0.5F) * contrast + 0.5F + grey + tint, (lit.g - 0.5F) * contrast + 0.5F + grey,
                         (lit.b - 0.5F) * contrast + 0.5F + grey - tint};
    }
  }
}

}  // namespace sslmeme
