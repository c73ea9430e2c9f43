// One made picture: a background, an emoji somewhere on it, perhaps a caption.
#pragma once

#include "caption.hpp"
#include "emoji_font.hpp"

#include <sslmeme/core/image.hpp>
#include <sslmeme/core/random.hpp>

#include <vector>

namespace sslmeme {

/// A sprite with its halved copies, so that it can be drawn small without flicker.
class SpritePyramid {
 public:
  explicit SpritePyramid(Sprite sprite);
  /// The copy that is the least larger than needed when a pixel of the picture spans `step` pixels of the sprite.
  const Sprite& level(float step) const;
  const Sprite& full() const { return levels_.front(); }

 private:
  std::vector<Sprite> levels_;
};

enum class Scene {
  painted,  ///< a background drawn from the same dice
  blank,    ///< white paper: all that two such pictures can have in common is the emoji
};

/// A square picture of `size` pixels: background, place, size (40 to 75 % of the edge), rotation (within 25°) and tint
/// of the emoji, its soft shadow and the camera are drawn from `rng`; so is whether a caption stands at the top or the
/// bottom, where the emoji leaves it room. Never mirrored: some pictures would say something else.
Image render_picture(const SpritePyramid& emoji, const CaptionMask* caption, int size, Rng& rng,
                     Scene scene = Scene::painted);

}  // namespace sslmeme
