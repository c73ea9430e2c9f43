// What transforms do to a picture, without the dice: the functions of torchvision.transforms.functional on 8-bit RGB,
// with Pillow's arithmetic.
#pragma once

#include <sslmeme/core/image.hpp>

#include <array>

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
/// Image.resize. Throws InvalidArgument for an empty picture or a size that is not positive.
Image resize(const Image& image, int width, int height, Interpolation interpolation = Interpolation::bilinear);
/// resize(crop(image, box), …) without the copy between.
Image resized_crop(const Image& image, const Box& box, int width, int height,
                   Interpolation interpolation = Interpolation::bilinear);
/// The pixels within `box`. Throws InvalidArgument if it is empty or reaches outside the picture.
Image crop(const Image& image, const Box& box);

Image flip_horizontal(const Image& image);
Image flip_vertical(const Image& image);
/// Rec. 601 luma in all three channels.
Image grayscale(const Image& image);

/// factor × image. factor ≥ 0; 1 changes nothing, which holds for the next two as well.
Image adjust_brightness(const Image& image, double factor);
/// mean luma + factor × (image − mean luma).
Image adjust_contrast(const Image& image, double factor);
/// luma + factor × (image − luma).
Image adjust_saturation(const Image& image, double factor);
/// Turns the hue by `factor` of the circle, in 8-bit HSV. factor in [−1/2, 1/2].
Image adjust_hue(const Image& image, double factor);
/// Inverts every value of at least `threshold`.
Image solarize(const Image& image, int threshold);

/// Convolution with a Gaussian of `kernel_size` taps (odd) and deviation `sigma` pixels, edges reflected. Within 1/255
/// of torchvision's.
Image gaussian_blur(const Image& image, int kernel_size, double sigma);

/// A point of the picture in pixels, from its top left corner.
struct Point {
  double x = 0;
  double y = 0;
};

/// The picture seen so that the points `from` come to lie at `to`; black outside. interpolation: nearest or bilinear.
/// Equal to torchvision's perspective on a Pillow picture. Throws InvalidArgument for bicubic.
Image perspective(const Image& image, const std::array<Point, 4>& from, const std::array<Point, 4>& to,
                  Interpolation interpolation = Interpolation::bilinear);

/// What is done about the centre of a picture, in this order: scaled, turned, shifted.
struct AffineMotion {
  double degrees = 0;  ///< clockwise
  Point shift = {};    ///< pixels
  double scale = 1;    ///< positive
};

/// The picture scaled, turned and shifted; black outside. interpolation: nearest or bilinear. Equal to torchvision's
/// affine on a Pillow picture. Throws InvalidArgument for bicubic and for a scale that is not positive.
Image affine(const Image& image, const AffineMotion& motion, Interpolation interpolation = Interpolation::nearest);

}  // namespace sslmeme
