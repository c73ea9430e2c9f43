// What transforms do to a picture, without the dice: the functions of torchvision.transforms.functional on 8-bit RGB,
// with Pillow's arithmetic.
#pragma once

#include <sslmeme/core/image.hpp>

#include <array>
#include <optional>

namespace sslmeme {

enum class Interpolation { nearest, bilinear, bicubic };

/// A rectangle of pixels.
struct Box {
  int x = 0;
  int y = 0;
  int width = 0;
  int height = 0;
};

/// The picture at another size. bilinear and bicubic (a = −1/2) are antialiased when shrinking. Equal to Pillow's
/// Image.resize. Throws InvalidArgument for an empty picture or a size that is not positive, DataError for a picture
/// with an edge over 65,536 pixels, which would cost more than any use of it is worth.
Image resize(const Image& image, int width, int height, Interpolation interpolation = Interpolation::bilinear);
/// resize(crop(image, box), …) without the copy between.
Image resized_crop(const Image& image, const Box& box, int width, int height,
                   Interpolation interpolation = Interpolation::bilinear);
/// The pixels within `box`. Throws InvalidArgument if it is empty or reaches outside the picture.
Image crop(const Image& image, const Box& box);

// All that take the picture by value work in place on one that is moved in.
Image flip_horizontal(Image image);
Image flip_vertical(Image image);
/// Rec. 601 luma in all three channels.
Image grayscale(Image image);

/// factor × image. factor ≥ 0; 1 changes nothing, which holds for the next two as well.
Image adjust_brightness(Image image, double factor);
/// mean luma + factor × (image − mean luma).
Image adjust_contrast(Image image, double factor);
/// luma + factor × (image − luma).
Image adjust_saturation(Image image, double factor);
/// Turns the hue by `factor` of the circle, in 8-bit HSV. factor in [−1/2, 1/2].
Image adjust_hue(Image image, double factor);
/// Inverts every value of at least `threshold`.
Image solarize(Image image, int threshold);

/// Convolution with a Gaussian of `kernel_size` taps (odd) and deviation `sigma` pixels, edges reflected. Within 1/255
/// of torchvision's.
Image gaussian_blur(Image image, int kernel_size, double sigma);

/// A point of the picture in pixels, from its top left corner.
struct Point {
  double x = 0;
  double y = 0;
};

/// The picture seen so that the points `from` come to lie at `to`; black outside. interpolation: nearest or bilinear.
/// Equal to torchvision's perspective on a Pillow picture. Throws InvalidArgument for bicubic.
Image perspective(const Image& image, const std::array<Point, 4>& from, const std::array<Point, 4>& to,
                  Interpolation interpolation = Interpolation::bilinear);

/// What is done about the centre of a picture, in this order: sheared along x, then along y, scaled, turned, shifted.
struct AffineMotion {
  double degrees = 0;                ///< clockwise
  Point shift = {};                  ///< pixels
  double scale = 1;                  ///< positive
  Point shear = {};                  ///< degrees along x and y, between −90 and 90: columns and rows lean by them
  std::optional<Point> center = {};  ///< in pixels; the middle of the picture without
};

/// The picture sheared, scaled, turned and shifted; black outside. interpolation: nearest or bilinear. Equal to
/// torchvision's affine on a Pillow picture. Throws InvalidArgument for bicubic, for a scale that is not positive and
/// for a shear that is not within its range.
Image affine(const Image& image, const AffineMotion& motion, Interpolation interpolation = Interpolation::nearest);

/// Keeps the `bits` highest bits of every value. Throws InvalidArgument for bits outside [1, 8].
Image posterize(Image image, int bits);
/// Spreads the values of each channel, so that all become about equally frequent. A channel of one value, or of too
/// few pixels for 256 steps, stays as it is.
Image equalize(Image image);
/// Stretches the values of each channel to 0 … 255. A channel of one value stays as it is.
Image autocontrast(Image image);
/// smooth + factor × (image − smooth), of Pillow's 3 × 3 smoothing, which leaves the border alone. factor ≥ 0; 1
/// changes nothing.
Image adjust_sharpness(const Image& image, double factor);

/// The picture with the pixels within `box` in one colour. Throws InvalidArgument if it reaches outside the picture.
Image erase(Image image, const Box& box, const std::array<std::uint8_t, 3>& rgb);

}  // namespace sslmeme
