#include <sslmeme/core/error.hpp>
#include <sslmeme/data/transforms.hpp>

#include <algorithm>
#include <cmath>
#include <span>
#include <string_view>

#include <fmt/format.h>

namespace sslmeme {

namespace {

constexpr int max_edge = 1 << 15;

void check_edge(std::string_view name, int pixels) {
  if (pixels < 1 || pixels > max_edge) {
    throw InvalidArgument(fmt::format("{} is {}: must be within 1 and {} pixels", name, pixels, max_edge));
  }
}

void check_probability(std::string_view name, double p) {
  if (!(p >= 0 && p <= 1)) throw InvalidArgument(fmt::format("{}.p is {}: must be within 0 and 1", name, p));
}

void check_range(std::string_view name, const std::array<double, 2>& range, double low, double high) {
  if (!(range[0] >= low && range[0] <= range[1] && range[1] <= high)) {
    throw InvalidArgument(
        fmt::format("{} is {{{}, {}}}: must rise and lie within {} and {}", name, range[0], range[1], low, high));
  }
}

void check_value(std::string_view name, double value, double low, double high) {
  check_range(name, {value, value}, low, high);
}

/// Uniform among low … high.
int draw_int(Rng& rng, int low, int high) {
  return low + static_cast<int>(rng.below(static_cast<std::uint64_t>(high - low + 1)));
}

// The smallest positive bound of ranges that must not hold 0.
constexpr double tiny = 1e-6;

}  // namespace

Image ImageTransform::operator()(const Image& image, Rng& rng) const {
  if (steps_.empty()) return image;
  Image result = steps_.front()(image, rng);
  for (auto step = steps_.begin() + 1; step != steps_.end(); ++step) result = (*step)(result, rng);
  return result;
}

ImageTransform chain(ImageTransform first, const ImageTransform& second) {
  first.steps_.insert(first.steps_.end(), second.steps_.begin(), second.steps_.end());
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
  if (size == 0) return resize(image, width, height, interpolation);
  const int shorter = std::min(image.width, image.height), longer = std::max(image.width, image.height);
  if (shorter == 0) throw InvalidArgument("Resize: the picture is empty: give it at least one pixel");
  const int long_edge = static_cast<int>(std::int64_t{size} * longer / shorter);
  return image.width <= image.height ? resize(image, size, long_edge, interpolation)
                                     : resize(image, long_edge, size, interpolation);
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
  const auto start = [&](int edge) { return static_cast<int>(std::nearbyint((edge - size) / 2.0)); };
  return crop(source, {start(source.width), start(source.height), size, size});
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
Image RandomHorizontalFlip::operator()(const Image& image, Rng& rng) const {
  return rng.bernoulli(p) ? flip_horizontal(image) : image;
}

void RandomVerticalFlip::validate() const {
  check_probability("RandomVerticalFlip", p);
}
Image RandomVerticalFlip::operator()(const Image& image, Rng& rng) const {
  return rng.bernoulli(p) ? flip_vertical(image) : image;
}

void ColorJitter::validate() const {
  check_value("ColorJitter.brightness", brightness, 0, 100);
  check_value("ColorJitter.contrast", contrast, 0, 100);
  check_value("ColorJitter.saturation", saturation, 0, 100);
  check_value("ColorJitter.hue", hue, 0, 0.5);
}

Image ColorJitter::operator()(const Image& image, Rng& rng) const {
  std::array<int, 4> order{0, 1, 2, 3};
  rng.shuffle(std::span<int>{order});
  const auto factor = [&](double strength) { return rng.uniform(std::max(0.0, 1 - strength), 1 + strength); };
  // All four are drawn, so that switching one off leaves the others as they were.
  const double b = factor(brightness), c = factor(contrast), s = factor(saturation), h = rng.uniform(-hue, hue);
  Image out = image;
  for (const int step : order) {
    if (step == 0 && brightness > 0) out = adjust_brightness(out, b);
    if (step == 1 && contrast > 0) out = adjust_contrast(out, c);
    if (step == 2 && saturation > 0) out = adjust_saturation(out, s);
    if (step == 3 && hue > 0) out = adjust_hue(out, h);
  }
  return out;
}

void RandomGrayscale::validate() const {
  check_probability("RandomGrayscale", p);
}
Image RandomGrayscale::operator()(const Image& image, Rng& rng) const {
  return rng.bernoulli(p) ? grayscale(image) : image;
}

void RandomPerspective::validate() const {
  check_value("RandomPerspective.distortion_scale", distortion_scale, 0, 1);
  check_probability("RandomPerspective", p);
}

Image RandomPerspective::operator()(const Image& image, Rng& rng) const {
  if (!rng.bernoulli(p)) return image;
  const int w = image.width, h = image.height;
  const int most_x = static_cast<int>(distortion_scale * (w / 2)),
            most_y = static_cast<int>(distortion_scale * (h / 2));
  const std::array<Point, 4> from{Point{0, 0}, Point{w - 1.0, 0}, Point{w - 1.0, h - 1.0}, Point{0, h - 1.0}};
  auto to = from;
  for (auto& corner : to) {
    const int x = draw_int(rng, 0, most_x), y = draw_int(rng, 0, most_y);
    corner.x += corner.x > 0 ? -x : x;
    corner.y += corner.y > 0 ? -y : y;
  }
  return perspective(image, from, to, interpolation);
}

void RandomAffine::validate() const {
  check_value("RandomAffine.degrees", degrees, 0, 360);
  check_value("RandomAffine.translate[0]", translate[0], 0, 1);
  check_value("RandomAffine.translate[1]", translate[1], 0, 1);
  check_range("RandomAffine.scale", scale, tiny, 1 / tiny);
}

Image RandomAffine::operator()(const Image& image, Rng& rng) const {
  const double most_x = translate[0] * image.width, most_y = translate[1] * image.height;
  AffineMotion motion;
  motion.degrees = rng.uniform(-degrees, degrees);
  motion.shift = {std::nearbyint(rng.uniform(-most_x, most_x)), std::nearbyint(rng.uniform(-most_y, most_y))};
  motion.scale = rng.uniform(scale[0], scale[1]);
  return affine(image, motion, interpolation);
}

void GaussianBlur::validate() const {
  if (kernel_size < 1 || kernel_size % 2 == 0) {
    throw InvalidArgument(fmt::format("GaussianBlur.kernel_size is {}: must be odd and positive", kernel_size));
  }
  check_range("GaussianBlur.sigma", sigma, tiny, 1000);
}

Image GaussianBlur::operator()(const Image& image, Rng& rng) const {
  return gaussian_blur(image, kernel_size, rng.uniform(sigma[0], sigma[1]));
}

void RandomSolarize::validate() const {
  check_value("RandomSolarize.threshold", threshold, 0, 256);
  check_probability("RandomSolarize", p);
}
Image RandomSolarize::operator()(const Image& image, Rng& rng) const {
  return rng.bernoulli(p) ? solarize(image, threshold) : image;
}

void RandomApply::validate() const {
  check_probability("RandomApply", p);
}
Image RandomApply::operator()(const Image& image, Rng& rng) const {
  return rng.bernoulli(p) ? transform(image, rng) : image;
}

void Normalize::validate() const {
  for (const float value : std) {
    if (!(value > 0)) throw InvalidArgument(fmt::format("Normalize.std holds {}: must be positive", value));
  }
}

void Normalize::write(const Image& image, float* out) const {
  const std::size_t area = image.pixels.size() / 3;
  const auto* pixels = image.pixels.data();
  for (std::size_t c = 0; c < 3; ++c) {
    // A table instead of arithmetic: 256 values, each exactly that of (x / 255 − mean) / std.
    std::array<float, 256> table;
    for (std::size_t v = 0; v < table.size(); ++v) table[v] = (static_cast<float>(v) / 255.0F - mean[c]) / std[c];
    float* plane = out + c * area;
    for (std::size_t i = 0; i < area; ++i) plane[i] = table[pixels[3 * i + c]];
  }
}

Tensor Normalize::operator()(const Image& image) const {
  auto tensor = torch::empty({3, image.height, image.width});
  write(image, tensor.data_ptr<float>());
  return tensor;
}

}  // namespace sslmeme
