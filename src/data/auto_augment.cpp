#include <sslmeme/core/error.hpp>
#include <sslmeme/data/auto_augment.hpp>

#include <cmath>
#include <numbers>
#include <utility>

#include <fmt/format.h>

namespace sslmeme {

namespace {

bool has_sign(AugmentOperation operation) {
  return operation >= AugmentOperation::shear_x && operation <= AugmentOperation::sharpness;
}

/// The i-th of n evenly spaced values, in fp32 and from the nearer end, as torch.linspace has it one by one: whole
/// pixels must come out whole. Where it takes several at once its last bit is another, which hangs on the machine.
double spaced(double first, double last, int i, int n) {
  const auto start = static_cast<float>(first), end = static_cast<float>(last);
  const float step = (end - start) / static_cast<float>(n - 1);
  const float way = step * static_cast<float>(i < n / 2 ? i : n - 1 - i);
  return i < n / 2 ? start + way : end - way;
}

Image sheared(const Image& image, double along_x, double along_y, Interpolation interpolation) {
  constexpr double degrees = 180 / std::numbers::pi;
  const Point shear{std::atan(along_x) * degrees, std::atan(along_y) * degrees};
  return affine(image, {.shear = shear, .center = Point{0, 0}}, interpolation);
}

}  // namespace

Image augmented(Image image, const Augmentation& augmentation, Interpolation interpolation) {
  const double magnitude = augmentation.magnitude;
  constexpr double most = 1e6;
  if (!(std::abs(magnitude) <= most)) {
    throw InvalidArgument(fmt::format("augmented: .magnitude is {}: must be within -{} and {}", magnitude, most, most));
  }
  switch (augmentation.operation) {
    case AugmentOperation::identity:
      return image;
    case AugmentOperation::shear_x:
      return sheared(image, magnitude, 0, interpolation);
    case AugmentOperation::shear_y:
      return sheared(image, 0, magnitude, interpolation);
    case AugmentOperation::translate_x:
      return affine(image, {.shift = {std::trunc(magnitude), 0}}, interpolation);
    case AugmentOperation::translate_y:
      return affine(image, {.shift = {0, std::trunc(magnitude)}}, interpolation);
    case AugmentOperation::rotate:
      return affine(image, {.degrees = -magnitude}, interpolation);
    case AugmentOperation::brightness:
      return adjust_brightness(std::move(image), 1 + magnitude);
    case AugmentOperation::color:
      return adjust_saturation(std::move(image), 1 + magnitude);
    case AugmentOperation::contrast:
      return adjust_contrast(std::move(image), 1 + magnitude);
    case AugmentOperation::sharpness:
      return adjust_sharpness(image, 1 + magnitude);
    case AugmentOperation::posterize:
      return posterize(std::move(image), static_cast<int>(magnitude));
    case AugmentOperation::solarize:
      return solarize(std::move(image), static_cast<int>(std::ceil(magnitude)));
    case AugmentOperation::auto_contrast:
      return autocontrast(std::move(image));
    case AugmentOperation::equalize:
      return equalize(std::move(image));
  }
  throw InvalidArgument(fmt::format("augmented: .operation {} is none of {}", static_cast<int>(augmentation.operation),
                                    augment_operations.size()));
}

void RandAugment::validate() const {
  if (num_ops < 0 || num_ops > 100) {
    throw InvalidArgument(fmt::format("RandAugment.num_ops is {}: must be within 0 and 100", num_ops));
  }
  if (num_magnitude_bins < 2 || magnitude < 0 || magnitude >= num_magnitude_bins) {
    throw InvalidArgument(
        fmt::format("RandAugment.magnitude is {} of .num_magnitude_bins {}: must be at least 0 and below them, which "
                    "are at least 2",
                    magnitude, num_magnitude_bins));
  }
  if (interpolation == Interpolation::bicubic) {
    throw InvalidArgument("RandAugment.interpolation is bicubic: choose nearest or bilinear");
  }
}

double RandAugment::magnitude_of(AugmentOperation operation, int width, int height) const {
  constexpr double shifted = 150.0 / 331.0;  // of the edge: 150 pixels of the 331 that the paper's pictures had
  const auto up_to = [&](double most) { return spaced(0, most, magnitude, num_magnitude_bins); };
  switch (operation) {
    case AugmentOperation::shear_x:
    case AugmentOperation::shear_y:
      return up_to(0.3);
    case AugmentOperation::translate_x:
      return up_to(shifted * width);
    case AugmentOperation::translate_y:
      return up_to(shifted * height);
    case AugmentOperation::rotate:
      return up_to(30);
    case AugmentOperation::brightness:
    case AugmentOperation::color:
    case AugmentOperation::contrast:
    case AugmentOperation::sharpness:
      return up_to(0.9);
    case AugmentOperation::posterize:
      return 8 - std::nearbyint(static_cast<float>(magnitude) / (static_cast<float>(num_magnitude_bins - 1) / 4));
    case AugmentOperation::solarize:
      return spaced(255, 0, magnitude, num_magnitude_bins);
    case AugmentOperation::identity:
    case AugmentOperation::auto_contrast:
    case AugmentOperation::equalize:
      break;
  }
  return 0;
}

Augmentation RandAugment::draw(int width, int height, Rng& rng) const {
  const auto operation = augment_operations[rng.below(augment_operations.size())];
  const double size = magnitude_of(operation, width, height);
  return {operation, has_sign(operation) && rng.bernoulli(0.5) ? -size : size};
}

Image RandAugment::operator()(Image image, Rng& rng) const {
  for (int i = 0; i < num_ops; ++i) {
    const auto augmentation = draw(image.width, image.height, rng);
    image = augmented(std::move(image), augmentation, interpolation);
  }
  return image;
}

}  // namespace sslmeme
