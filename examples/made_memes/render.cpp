#include "render.hpp"

#include "background.hpp"

#include <array>
#include <cmath>
#include <numbers>
#include <utility>

namespace sslmeme {
namespace {

Sprite halved(const Sprite& from) {
  Sprite to{from.width / 2, from.height / 2, {}};
  to.rgba.reserve(static_cast<std::size_t>(to.width) * static_cast<std::size_t>(to.height) * 4);
  for (int y = 0; y < to.height; ++y) {
    for (int x = 0; x < to.width; ++x) {
      const auto *a = from.at(2 * x, 2 * y), *b = from.at(2 * x + 1, 2 * y);
      const auto *c = from.at(2 * x, 2 * y + 1), *d = from.at(2 * x + 1, 2 * y + 1);
      for (int k = 0; k < 4; ++k) to.rgba.push_back(static_cast<std::uint8_t>((a[k] + b[k] + c[k] + d[k] + 2) / 4));
    }
  }
  return to;
}

struct Texel {
  Rgb colour;  // premultiplied
  float alpha = 0;
};

/// The sprite at (u, v), each 0 … 1 across it, bilinear; transparent outside.
Texel sample(const Sprite& sprite, float u, float v) {
  const float x = u * static_cast<float>(sprite.width) - 0.5F, y = v * static_cast<float>(sprite.height) - 0.5F;
  const float floor_x = std::floor(x), floor_y = std::floor(y);
  const int x0 = static_cast<int>(floor_x), y0 = static_cast<int>(floor_y);
  if (x0 < -1 || y0 < -1 || x0 >= sprite.width || y0 >= sprite.height) return {};
  std::array<float, 4> sum{};
  for (int j = 0; j < 2; ++j) {
    for (int i = 0; i < 2; ++i) {
      if (x0 + i < 0 || y0 + j < 0 || x0 + i >= sprite.width || y0 + j >= sprite.height) continue;
      const float weight = (i == 0 ? 1 - (x - floor_x) : x - floor_x) * (j == 0 ? 1 - (y - floor_y) : y - floor_y);
      const auto* texel = sprite.at(x0 + i, y0 + j);
      for (std::size_t k = 0; k < 4; ++k) sum[k] += weight * static_cast<float>(texel[k]) / 255;
    }
  }
  return {{sum[0], sum[1], sum[2]}, sum[3]};
}

/// Where an emoji lies: maps picture coordinates (0 … 1) to the sprite's.
struct Placement {
  float x = 0;
  float y = 0;
  float width = 0;
  float height = 0;
  float cosine = 1;
  float sine = 0;

  /// Half the side of an upright square around the rotated sprite.
  float reach() const { return 0.5F * (std::max(width, height) * (std::abs(cosine) + std::abs(sine))); }
  std::pair<float, float> to_sprite(float px, float py) const {
    const float dx = px - x, dy = py - y;
    return {0.5F + (cosine * dx + sine * dy) / width, 0.5F + (cosine * dy - sine * dx) / height};
  }
};

/// The band of the picture, from `top` to `bottom`, that no caption covers.
struct Band {
  double top = 0;
  double bottom = 1;
};

Placement draw_placement(const Sprite& sprite, Band band, Rng& rng) {
  Placement place;
  const double angle = rng.uniform(-15, 15) * std::numbers::pi / 180;
  place.cosine = static_cast<float>(std::cos(angle));
  place.sine = static_cast<float>(std::sin(angle));
  const auto longest = static_cast<float>(rng.uniform(0.6, 0.95));
  const auto edge = static_cast<float>(std::max(sprite.width, sprite.height));
  place.width = longest * static_cast<float>(sprite.width) / edge;
  place.height = longest * static_cast<float>(sprite.height) / edge;
  // Corners of a bitmap are empty: a little may stand over the edge.
  const double margin = 0.92 * place.reach();
  const auto between = [&](double low, double high) {
    const double room = std::max(0.0, 0.5 * (high - low) - margin);
    return static_cast<float>(0.5 * (low + high) + rng.uniform(-1, 1) * room);
  };
  place.x = between(0, 1);
  place.y = between(band.top, band.bottom);
  return place;
}

/// Hue turned by up to 10°, saturation and brightness changed by up to 15 %: a matrix, so it may be applied to
/// premultiplied colours.
class Tint {
 public:
  explicit Tint(Rng& rng) {
    const double turn = rng.uniform(-10, 10) * std::numbers::pi / 180;
    const double saturation = rng.uniform(0.85, 1.15), value = rng.uniform(0.85, 1.12);
    const double cosine = saturation * std::cos(turn), sine = saturation * std::sin(turn) / std::numbers::sqrt3;
    // Rotation about the grey axis (1, 1, 1), the part across it scaled by the saturation.
    const double same = (1 + 2 * cosine) / 3, rest = (1 - cosine) / 3;
    same_ = static_cast<float>(value * same);
    next_ = static_cast<float>(value * (rest - sine));
    last_ = static_cast<float>(value * (rest + sine));
  }
  Texel operator()(Texel texel) const {
    const auto [r, g, b] = texel.colour;
    const auto clip = [&](float value) { return std::clamp(value, 0.0F, texel.alpha); };
    return {{clip(same_ * r + next_ * g + last_ * b), clip(last_ * r + same_ * g + next_ * b),
             clip(next_ * r + last_ * g + same_ * b)},
            texel.alpha};
  }

 private:
  float same_ = 1, next_ = 0, last_ = 0;
};

/// The range of pixels that the placement covers along one axis.
std::pair<int, int> covered(float centre, float reach, int size) {
  const auto n = static_cast<float>(size);
  return {std::max(0, static_cast<int>((centre - reach) * n) - 1),
          std::min(size, static_cast<int>((centre + reach) * n) + 2)};
}

/// Calls paint(pixel, u, v) for every pixel that the placement may cover.
template <class Paint>
void over(Canvas& canvas, const Placement& place, Paint paint) {
  const auto [x0, x1] = covered(place.x, place.reach(), canvas.size);
  const auto [y0, y1] = covered(place.y, place.reach(), canvas.size);
  const float step = 1.0F / static_cast<float>(canvas.size);
  for (int y = y0; y < y1; ++y) {
    for (int x = x0; x < x1; ++x) {
      const auto [u, v] = place.to_sprite((static_cast<float>(x) + 0.5F) * step, (static_cast<float>(y) + 0.5F) * step);
      paint(canvas.at(x, y), u, v);
    }
  }
}

void draw_emoji(Canvas& canvas, const SpritePyramid& emoji, Band band, Rng& rng) {
  const auto& full = emoji.full();
  const auto place = draw_placement(full, band, rng);
  const Tint tint{rng};
  // The shadow is the sprite's alpha from a copy small enough to be blurred, a little down and to one side.
  auto shade = place;
  shade.x += static_cast<float>(rng.uniform(-0.05, 0.05)) * place.width;
  shade.y += static_cast<float>(rng.uniform(0.02, 0.08)) * place.height;
  const auto darkness = static_cast<float>(rng.uniform(0.2, 0.5));
  const auto& blurred = emoji.level(8);
  over(canvas, shade,
       [&](Rgb& pixel, float u, float v) { pixel = pixel * (1 - darkness * sample(blurred, u, v).alpha); });

  const float step = static_cast<float>(full.width) / (place.width * static_cast<float>(canvas.size));
  const auto& sprite = emoji.level(step);
  over(canvas, place, [&](Rgb& pixel, float u, float v) {
    const auto texel = tint(sample(sprite, u, v));
    pixel = pixel * (1 - texel.alpha) + texel.colour;
  });
}

Image to_image(Canvas& canvas) {
  Image image{canvas.size, canvas.size};
  const auto byte = [](float value) { return static_cast<std::uint8_t>(std::clamp(value, 0.0F, 1.0F) * 255 + 0.5F); };
  auto* to = image.pixels.data();
  for (const auto& [r, g, b] : canvas.pixels) {
    *to++ = byte(r);
    *to++ = byte(g);
    *to++ = byte(b);
  }
  return image;
}

}  // namespace

SpritePyramid::SpritePyramid(Sprite sprite) {
  levels_.push_back(std::move(sprite));
  while (levels_.size() < 4 && levels_.back().width > 1 && levels_.back().height > 1)
    levels_.push_back(halved(levels_.back()));
}

const Sprite& SpritePyramid::level(float step) const {
  std::size_t level = 0;
  for (float span = 2; span <= step && level + 1 < levels_.size(); span *= 2) ++level;
  return levels_[level];
}

Image render_picture(const SpritePyramid& emoji, const CaptionMask* caption, int size, Rng& rng, Scene scene) {
  Canvas canvas{size};
  const bool at_top = rng.bernoulli(0.5);
  Band band;
  if (caption != nullptr) (at_top ? band.top : band.bottom) += (at_top ? 1.0 : -1.0) * caption->height / size;
  if (scene == Scene::painted) {
    paint_background(canvas, rng);
  } else {
    std::fill(canvas.pixels.begin(), canvas.pixels.end(), Rgb{1, 1, 1});
  }
  draw_emoji(canvas, emoji, band, rng);
  apply_camera(canvas, rng);
  if (caption != nullptr) lay_caption(canvas, *caption, at_top);
  return to_image(canvas);
}

}  // namespace sslmeme
