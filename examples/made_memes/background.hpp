// Backgrounds that look like photographs, made from noise.
#pragma once

#include "canvas.hpp"

#include <sslmeme/core/random.hpp>

namespace sslmeme {

/// Paints one of several scenes (hills under a sky, lights out of focus, leaves, a wall and a table, an evening sea)
/// over the whole canvas, in colours and shapes drawn from `rng`. Coordinates are relative, so a scene looks alike at
/// every size.
void paint_background(Canvas& canvas, Rng& rng);

/// What a camera adds after everything has been painted: vignette, contrast, white balance and sensor noise.
void apply_camera(Canvas& canvas, Rng& rng);

}  // namespace sslmeme
