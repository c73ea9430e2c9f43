// Augmentation that needs no search: a few operations, drawn from a fixed set, all of one strength.
#pragma once

#include <sslmeme/core/image.hpp>
#include <sslmeme/core/random.hpp>
#include <sslmeme/data/image_ops.hpp>

#include <array>

namespace sslmeme {

enum class AugmentOperation {
  identity,
  shear_x,
  shear_y,
  translate_x,
  translate_y,
  rotate,
  brightness,
  color,
  contrast,
  sharpness,
  posterize,
  solarize,
  auto_contrast,
  equalize
};

/// All of them.
inline constexpr std::array augment_operations{
    AugmentOperation::identity,      AugmentOperation::shear_x,     AugmentOperation::shear_y,
    AugmentOperation::translate_x,   AugmentOperation::translate_y, AugmentOperation::rotate,
    AugmentOperation::brightness,    AugmentOperation::color,       AugmentOperation::contrast,
    AugmentOperation::sharpness,     AugmentOperation::posterize,   AugmentOperation::solarize,
    AugmentOperation::auto_contrast, AugmentOperation::equalize};

/// An operation and how strongly it acts.
struct Augmentation {
  AugmentOperation operation = AugmentOperation::identity;
  /// shear_*: the tangent of the angle, about the top left corner. translate_*: pixels, of which the fraction is
  /// dropped. rotate: degrees, against the clock. brightness, color, contrast, sharpness: a factor of 1 + magnitude.
  /// posterize: bits that are kept. solarize: the threshold. The others have none.
  double magnitude = 0;
};

/// The picture changed by `augmentation`; black where nothing is. Equal to torchvision's on a Pillow picture.
/// interpolation of what moves: nearest or bilinear. Throws InvalidArgument for a magnitude that the operation cannot
/// have.
Image augmented(Image image, const Augmentation& augmentation, Interpolation interpolation = Interpolation::nearest);

/// RandAugment (Cubuk et al. 2020, arXiv:1909.13719): num_ops operations in a row, each uniform among the 14 of the
/// paper, with magnitude `magnitude` of a scale of num_magnitude_bins; a magnitude that has a sign takes either with
/// probability 1/2. Operations, scale and defaults are torchvision's.
struct RandAugment {
  int num_ops = 2;                                       ///< operations in a row, 0 … 100
  int magnitude = 9;                                     ///< in [0, num_magnitude_bins)
  int num_magnitude_bins = 31;                           ///< at least 2
  Interpolation interpolation = Interpolation::nearest;  ///< nearest or bilinear
  Image operator()(Image image, Rng& rng) const;
  void validate() const;
  /// One operation, as drawn for a picture of width × height.
  Augmentation draw(int width, int height, Rng& rng) const;
  /// The magnitude of an operation on a picture of width × height, without sign; 0 where it has none.
  double magnitude_of(AugmentOperation operation, int width, int height) const;
};

}  // namespace sslmeme
