#include <sslmeme/core/error.hpp>
#include <sslmeme/data/erasing.hpp>

#include "data/transform_options.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>

namespace sslmeme {

using namespace detail;

namespace {

void check_box(const Image& image, const Box& box) {
  if (box.x < 0 || box.y < 0 || box.width < 0 || box.height < 0 || box.width > image.width - box.x ||
      box.height > image.height - box.y) {
    throw InvalidArgument(
        fmt::format("erase of {} × {} pixels at ({}, {}) in a picture of {} × {}: choose a box inside", box.width,
                    box.height, box.x, box.y, image.width, image.height));
  }
}

/// fill(pixel) for each pixel of the box.
template <class Fill>
Image filled(Image image, const Box& box, const Fill& fill) {
  check_box(image, box);
  for (int y = box.y; y < box.y + box.height; ++y) {
    auto* pixel = image.row(y) + 3 * box.x;
    for (int x = 0; x < box.width; ++x, pixel += 3) fill(pixel);
  }
  return image;
}

}  // namespace

Image erase(Image image, const Box& box, const std::array<std::uint8_t, 3>& rgb) {
  return filled(std::move(image), box, [&](std::uint8_t* pixel) { std::ranges::copy(rgb, pixel); });
}

void RandomErasing::validate() const {
  check_probability("RandomErasing", p);
  check_range("RandomErasing.scale", scale, 0, 1);
  check_range("RandomErasing.ratio", ratio, tiny, 1 / tiny);
}

Box RandomErasing::draw(int width, int height, Rng& rng) const {
  constexpr int tries = 10;
  for (int i = 0; i < tries; ++i) {
    const double area = static_cast<double>(width) * height * rng.uniform(scale[0], scale[1]);
    const double aspect = std::exp(rng.uniform(std::log(ratio[0]), std::log(ratio[1])));
    const double h = std::nearbyint(std::sqrt(area * aspect)), w = std::nearbyint(std::sqrt(area / aspect));
    if (!(w < width && h < height)) continue;
    const int box_width = static_cast<int>(w), box_height = static_cast<int>(h);
    const int y = draw_int(rng, 0, height - box_height), x = draw_int(rng, 0, width - box_width);
    return {x, y, box_width, box_height};
  }
  return {};
}

Image RandomErasing::operator()(Image image, Rng& rng) const {
  if (!rng.bernoulli(p)) return image;
  const Box box = draw(image.width, image.height, rng);
  if (value) return erase(std::move(image), box, *value);
  return filled(std::move(image), box, [&](std::uint8_t* pixel) {
    for (int c = 0; c < 3; ++c) pixel[c] = static_cast<std::uint8_t>(rng.below(256));
  });
}

}  // namespace sslmeme
