#include <sslmeme/core/error.hpp>
#include <sslmeme/data/transforms.hpp>

#include "data/transform_options.hpp"

#include "data/color_kernels.hpp"
#include "data/resize.hpp"

#include <algorithm>
#include <cmath>
#include <span>
#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace sslmeme {

using namespace detail;

namespace {

constexpr int max_edge = 1 << 15;

void check_edge(std::string_view name, int pixels) {
  if (pixels < 1 || pixels > max_edge) {
    throw InvalidArgument(fmt::format("{} is {}: must be within 1 and {} pixels", name, pixels, max_edge));
  }
}

struct Size {
  int width, height;
};

Size resized_size(const Resize& resize, const Image& image) {
  if (resize.size == 0) return {resize.width, resize.height};
  const int shorter = std::min(image.width, image.height), longer = std::max(image.width, image.height);
  if (shorter == 0) throw InvalidArgument("Resize: the picture is empty: give it at least one pixel");
  const auto long_edge = std::int64_t{resize.size} * longer / shorter;
  if (long_edge > max_edge) {
    throw DataError(fmt::format(
        "Resize to .size {}: a picture of {} × {} pixels would get an edge of {}, over {}: crop it or leave it out",
        resize.size, image.width, image.height, long_edge, max_edge));
  }
  const auto edge = static_cast<int>(long_edge);
  return image.width <= image.height ? Size{resize.size, edge} : Size{edge, resize.size};
}

/// The middle size × size pixels.
Box center_of(int width, int height, int size) {
  const auto start = [&](int edge) { return static_cast<int>(std::nearbyint((edge - size) / 2.0)); };
  return {start(width), start(height), size, size};
}

/// Resize, then CenterCrop, of which only what stays is computed.
struct ResizedCenter {
  Resize resize;
  CenterCrop crop;

  Image operator()(const Image& image, Rng& rng) const {
    const auto [width, height] = resized_size(resize, image);
    if (image.empty() || width < crop.size || height < crop.size) return crop(resize(image, rng), rng);
    return detail::resized_window(image, {0, 0, image.width, image.height}, width, height,
                                  center_of(width, height, crop.size), resize.interpolation);
  }
};

}  // namespace

Image ImageTransform::operator()(const Image& image, Rng& rng) const {
  if (steps_.empty()) return image;
  Image result = steps_.front()->made(image, rng);
  for (auto step = steps_.begin() + 1; step != steps_.end(); ++step) result = (*step)->made(std::move(result), rng);
  return result;
}

Image ImageTransform::operator()(Image&& image, Rng& rng) const {
  Image result = std::move(image);
  for (const auto& step : steps_) result = step->made(std::move(result), rng);
  return result;
}

ImageTransform chain(ImageTransform first, const ImageTransform& second) {
  auto& steps = first.steps_;
  for (const auto& step : second.steps_) {
    const auto* resize =
        steps.empty() ? nullptr : dynamic_cast<const ImageTransform::StepOf<Resize>*>(steps.back().get());
    const auto* crop = dynamic_cast<const ImageTransform::StepOf<CenterCrop>*>(step.get());
    if (resize != nullptr && crop != nullptr) {
      const ResizedCenter both{resize->transform, crop->transform};
      steps.back() = std::make_shared<const ImageTransform::StepOf<ResizedCenter>>(both);
    } else {
      steps.push_back(step);
    }
  }
  return first;
}

void Resize::validate() const {
  const bool by_size = size != 0;
  if (by_size == (width != 0 || height != 0)) {
    throw InvalidArgument(fmt::format("Resize with .size {}, .width {}, .height {}: give .size, or .width and .height",
                                      size, width, height));
  }
  if (by_size) return check_edge("Resize.size", size);
  check_edge("Resize.width", width);
  check_edge("Resize.height", height);
}

Image Resize::operator()(const Image& image, Rng&) const {
  const auto [new_width, new_height] = resized_size(*this, image);
  return resize(image, new_width, new_height, interpolation);
}

void CenterCrop::validate() const {
  check_edge("CenterCrop.size", size);
}

Image CenterCrop::operator()(const Image& image, Rng&) const {
  Image padded;
  if (image.width < size || image.height < size) {
    padded = Image{std::max(image.width, size), std::max(image.height, size)};
    const int left = std::max(0, (size - image.width) / 2), top = std::max(0, (size - image.height) / 2);
    for (int y = 0; y < image.height; ++y) std::copy_n(image.row(y), 3 * image.width, padded.row(y + top) + 3 * left);
  }
  const Image& source = padded.empty() ? image : padded;
  return crop(source, center_of(source.width, source.height, size));
}

void RandomResizedCrop::validate() const {
  check_edge("RandomResizedCrop.size", size);
  check_range("RandomResizedCrop.scale", scale, tiny, 1);
  check_range("RandomResizedCrop.ratio", ratio, tiny, 1 / tiny);
}

Box RandomResizedCrop::draw(int width, int height, Rng& rng) const {
  constexpr int tries = 10;
  for (int i = 0; i < tries; ++i) {
    const double area = static_cast<double>(width) * height * rng.uniform(scale[0], scale[1]);
    const double aspect = std::exp(rng.uniform(std::log(ratio[0]), std::log(ratio[1])));
    const double w = std::nearbyint(std::sqrt(area * aspect)), h = std::nearbyint(std::sqrt(area / aspect));
    if (w < 1 || w > width || h < 1 || h > height) continue;
    const int box_width = static_cast<int>(w), box_height = static_cast<int>(h);
    const int y = draw_int(rng, 0, height - box_height), x = draw_int(rng, 0, width - box_width);
    return {x, y, box_width, box_height};
  }
  // The picture's shape allows no such part: the largest middle part of an allowed aspect.
  Box box{0, 0, width, height};
  const double aspect = static_cast<double>(width) / height;
  if (aspect < ratio[0]) box.height = std::max(1, static_cast<int>(std::nearbyint(width / ratio[0])));
  if (aspect > ratio[1]) box.width = std::max(1, static_cast<int>(std::nearbyint(height * ratio[1])));
  box.x = (width - box.width) / 2;
  box.y = (height - box.height) / 2;
  return box;
}

Image RandomResizedCrop::operator()(const Image& image, Rng& rng) const {
  return resized_crop(image, draw(image.width, image.height, rng), size, size, interpolation);
}

void RandomHorizontalFlip::validate() const {
  check_probability("RandomHorizontalFlip", p);
}
Image RandomHorizontalFlip::operator()(Image image, Rng& rng) const {
  return rng.bernoulli(p) ? flip_horizontal(std::move(image)) : std::move(image);
}

void RandomVerticalFlip::validate() const {
  check_probability("RandomVerticalFlip", p);
}
Image RandomVerticalFlip::operator()(Image image, Rng& rng) const {
  return rng.bernoulli(p) ? flip_vertical(std::move(image)) : std::move(image);
}

void ColorJitter::validate() const {
  check_value("ColorJitter.brightness", brightness, 0, 100);
  check_value("ColorJitter.contrast", contrast, 0, 100);
  check_value("ColorJitter.saturation", saturation, 0, 100);
  check_value("ColorJitter.hue", hue, 0, 0.5);
}

ColorJitter::Factors ColorJitter::draw(Rng& rng) const {
  std::array<int, 4> order{0, 1, 2, 3};
  rng.shuffle(std::span<int>{order});
  const auto factor = [&](double strength) { return rng.uniform(std::max(0.0, 1 - strength), 1 + strength); };
  return {order, factor(brightness), factor(contrast), factor(saturation), rng.uniform(-hue, hue)};
}

Image ColorJitter::operator()(Image image, Rng& rng) const {
  using Step = detail::ColorStep;
  const auto [order, b, c, s, h] = draw(rng);
  const std::array<Step, 4> all{{{.kind = Step::Kind::brightness, .factor = static_cast<float>(b)},
                                 {.kind = Step::Kind::contrast, .factor = static_cast<float>(c)},
                                 {.kind = Step::Kind::saturation, .factor = static_cast<float>(s)},
                                 {.kind = Step::Kind::hue, .amount = detail::hue_turn(h)}}};
  const std::array<bool, 4> used{brightness > 0, contrast > 0, saturation > 0, hue > 0};
  std::array<Step, 4> steps;
  std::size_t count = 0;
  for (const int step : order) {
    const auto i = static_cast<std::size_t>(step);
    if (used[i]) steps[count++] = all[i];
  }
  detail::adjust_colors(image.pixels.data(), image.pixels.size() / 3, std::span{steps}.first(count));
  return image;
}

void RandomGrayscale::validate() const {
  check_probability("RandomGrayscale", p);
}
Image RandomGrayscale::operator()(Image image, Rng& rng) const {
  return rng.bernoulli(p) ? grayscale(std::move(image)) : std::move(image);
}

void RandomPerspective::validate() const {
  check_value("RandomPerspective.distortion_scale", distortion_scale, 0, 1);
  check_probability("RandomPerspective", p);
}

std::array<Point, 4> RandomPerspective::draw(int width, int height, Rng& rng) const {
  const int most_x = static_cast<int>(distortion_scale * (width / 2)),
            most_y = static_cast<int>(distortion_scale * (height / 2));
  auto corners = corners_of(width, height);
  for (auto& corner : corners) {
    const int x = draw_int(rng, 0, most_x), y = draw_int(rng, 0, most_y);
    corner.x += corner.x > 0 ? -x : x;
    corner.y += corner.y > 0 ? -y : y;
  }
  return corners;
}

Image RandomPerspective::operator()(Image image, Rng& rng) const {
  if (!rng.bernoulli(p)) return image;
  const auto to = draw(image.width, image.height, rng);
  return perspective(image, corners_of(image.width, image.height), to, interpolation);
}

void RandomAffine::validate() const {
  check_range("RandomAffine.degrees", {degrees.low, degrees.high}, -360, 360);
  check_value("RandomAffine.translate[0]", translate[0], 0, 1);
  check_value("RandomAffine.translate[1]", translate[1], 0, 1);
  check_range("RandomAffine.scale", scale, tiny, 1 / tiny);
  check_range("RandomAffine.shear[0]", {shear[0].low, shear[0].high}, -89, 89);
  check_range("RandomAffine.shear[1]", {shear[1].low, shear[1].high}, -89, 89);
}

AffineMotion RandomAffine::draw(int width, int height, Rng& rng) const {
  const double most_x = translate[0] * width, most_y = translate[1] * height;
  AffineMotion motion;
  motion.degrees = rng.uniform(degrees.low, degrees.high);
  motion.shift = {std::nearbyint(rng.uniform(-most_x, most_x)), std::nearbyint(rng.uniform(-most_y, most_y))};
  motion.scale = rng.uniform(scale[0], scale[1]);
  // No dice where there is no range, so that what follows a transform without shear does not depend on there being one.
  const auto angle = [&](const AngleRange& range) {
    return range.low < range.high ? rng.uniform(range.low, range.high) : range.low;
  };
  motion.shear = {angle(shear[0]), angle(shear[1])};
  return motion;
}

Image RandomAffine::operator()(const Image& image, Rng& rng) const {
  return affine(image, draw(image.width, image.height, rng), interpolation);
}

void GaussianBlur::validate() const {
  if (kernel_size < 1 || kernel_size % 2 == 0) {
    throw InvalidArgument(fmt::format("GaussianBlur.kernel_size is {}: must be odd and positive", kernel_size));
  }
  check_range("GaussianBlur.sigma", sigma, tiny, 1000);
}

double GaussianBlur::draw(Rng& rng) const {
  return rng.uniform(sigma[0], sigma[1]);
}

Image GaussianBlur::operator()(Image image, Rng& rng) const {
  return gaussian_blur(std::move(image), kernel_size, draw(rng));
}

void RandomSolarize::validate() const {
  check_value("RandomSolarize.threshold", threshold, 0, 256);
  check_probability("RandomSolarize", p);
}
Image RandomSolarize::operator()(Image image, Rng& rng) const {
  return rng.bernoulli(p) ? solarize(std::move(image), threshold) : std::move(image);
}

void RandomPosterize::validate() const {
  check_value("RandomPosterize.bits", bits, 1, 8);
  check_probability("RandomPosterize", p);
}
Image RandomPosterize::operator()(Image image, Rng& rng) const {
  return rng.bernoulli(p) ? posterize(std::move(image), bits) : std::move(image);
}

void RandomEqualize::validate() const {
  check_probability("RandomEqualize", p);
}
Image RandomEqualize::operator()(Image image, Rng& rng) const {
  return rng.bernoulli(p) ? equalize(std::move(image)) : std::move(image);
}

void RandomAutocontrast::validate() const {
  check_probability("RandomAutocontrast", p);
}
Image RandomAutocontrast::operator()(Image image, Rng& rng) const {
  return rng.bernoulli(p) ? autocontrast(std::move(image)) : std::move(image);
}

void RandomApply::validate() const {
  check_probability("RandomApply", p);
}
Image RandomApply::operator()(Image image, Rng& rng) const {
  return rng.bernoulli(p) ? transform(std::move(image), rng) : std::move(image);
}

void Normalize::validate() const {
  for (const float value : std) {
    if (!(value > 0)) throw InvalidArgument(fmt::format("Normalize.std holds {}: must be positive", value));
  }
}

void Normalize::write(const Image& image, float* out) const {
  detail::normalize(image.pixels.data(), image.pixels.size() / 3, mean, std, out);
}

Tensor Normalize::operator()(const Image& image) const {
  auto tensor = torch::empty({3, image.height, image.width});
  write(image, tensor.data_ptr<float>());
  return tensor;
}

}  // namespace sslmeme
