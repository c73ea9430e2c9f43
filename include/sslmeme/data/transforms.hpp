// Transforms: value types that turn a picture into another, at random or not, composed with `|`. Names, defaults and
// meanings are torchvision's; see image_ops.hpp for the arithmetic.
//
//   const auto augment = RandomResizedCrop{.size = 224} | RandomHorizontalFlip{} | ColorJitter{.brightness = 0.4};
//   const Image view = augment(picture, rng);
#pragma once

#include <sslmeme/core/image.hpp>
#include <sslmeme/core/random.hpp>
#include <sslmeme/core/tensor.hpp>
#include <sslmeme/data/image_ops.hpp>

#include <array>
#include <concepts>
#include <functional>
#include <type_traits>
#include <utility>
#include <vector>

namespace sslmeme {

/// A copyable value that makes a picture from a picture, taking its dice from `rng` alone; callable from several
/// threads at once. A member `validate() const`, where there is one, is called once when the transform is composed.
template <class T>
concept Transform = std::copy_constructible<T> && requires(const T& transform, const Image& image, Rng& rng) {
  { transform(image, rng) } -> std::convertible_to<Image>;
};

/// Any transform, or several in a row, as a value. A default one changes nothing.
class ImageTransform {
 public:
  ImageTransform() = default;
  /// Takes a transform by value. Throws InvalidArgument if its options cannot work.
  template <class T>
    requires(!std::same_as<std::remove_cvref_t<T>, ImageTransform>)
  ImageTransform(T transform) {  // implicit: whoever takes an ImageTransform takes every transform
    static_assert(Transform<T>,
                  "sslmeme: this type is no Transform: it needs `Image operator()(const Image&, Rng&) const`");
    if constexpr (requires { transform.validate(); }) transform.validate();
    if constexpr (Transform<T>) steps_.emplace_back(std::move(transform));
  }

  Image operator()(const Image& image, Rng& rng) const;

  /// First `first`, then `second`.
  friend ImageTransform chain(ImageTransform first, const ImageTransform& second);

 private:
  std::vector<std::function<Image(const Image&, Rng&)>> steps_;
};

/// First `first`, then `second`.
template <Transform First, Transform Second>
ImageTransform operator|(First first, Second second) {
  return chain(ImageTransform{std::move(first)}, ImageTransform{std::move(second)});
}

/// To width × height, or with `size` alone its shorter edge to `size`, keeping the aspect.
struct Resize {
  int size = 0;    ///< pixels of the shorter edge; or 0, and width and height are given
  int width = 0;   ///< pixels
  int height = 0;  ///< pixels
  Interpolation interpolation = Interpolation::bilinear;
  Image operator()(const Image& image, Rng& rng) const;
  void validate() const;
};

/// The middle size × size pixels; a smaller picture is padded with black.
struct CenterCrop {
  int size = 0;  ///< pixels
  Image operator()(const Image& image, Rng& rng) const;
  void validate() const;
};

/// A part of random area and aspect, resized to size × size ("Inception crop", Szegedy et al. 2014, arXiv:1409.4842).
struct RandomResizedCrop {
  int size = 0;                                      ///< pixels
  std::array<double, 2> scale = {0.08, 1.0};         ///< range of the part's area, as a share of the picture's
  std::array<double, 2> ratio = {3.0 / 4, 4.0 / 3};  ///< range of width / height, uniform in its logarithm
  Interpolation interpolation = Interpolation::bilinear;
  Image operator()(const Image& image, Rng& rng) const;
  void validate() const;
  /// The part that is drawn for a picture of width × height.
  Box draw(int width, int height, Rng& rng) const;
};

/// Mirrors left and right with probability p.
struct RandomHorizontalFlip {
  double p = 0.5;  ///< probability
  Image operator()(const Image& image, Rng& rng) const;
  void validate() const;
};

/// Mirrors top and bottom with probability p.
struct RandomVerticalFlip {
  double p = 0.5;  ///< probability
  Image operator()(const Image& image, Rng& rng) const;
  void validate() const;
};

/// Changes brightness, contrast, saturation and hue by random factors, in random order.
struct ColorJitter {
  double brightness = 0;  ///< b ≥ 0: a factor uniform in [max(0, 1 − b), 1 + b]
  double contrast = 0;    ///< as brightness
  double saturation = 0;  ///< as brightness
  double hue = 0;         ///< in [0, 1/2]: turned by a share of the circle uniform in [−hue, hue]
  Image operator()(const Image& image, Rng& rng) const;
  void validate() const;
};

/// Takes the colour away with probability p.
struct RandomGrayscale {
  double p = 0.1;  ///< probability
  Image operator()(const Image& image, Rng& rng) const;
  void validate() const;
};

/// Moves each corner inwards at random, as if seen from aside; black outside.
struct RandomPerspective {
  double distortion_scale = 0.5;  ///< in [0, 1]: a corner moves by up to this share of half the width and height
  double p = 0.5;                 ///< probability
  Interpolation interpolation = Interpolation::bilinear;
  Image operator()(const Image& image, Rng& rng) const;
  void validate() const;
};

/// Turns, shifts and scales about the centre at random; black outside.
struct RandomAffine {
  double degrees = 0;                        ///< turned by an angle uniform in [−degrees, degrees]
  std::array<double, 2> translate = {0, 0};  ///< largest shift, as a share of width and height, in [0, 1]
  std::array<double, 2> scale = {1, 1};      ///< range of the factor
  Interpolation interpolation = Interpolation::nearest;
  Image operator()(const Image& image, Rng& rng) const;
  void validate() const;
};

/// Blurs with a deviation drawn uniformly.
struct GaussianBlur {
  int kernel_size = 23;                      ///< taps, odd
  std::array<double, 2> sigma = {0.1, 2.0};  ///< range of the deviation, pixels
  Image operator()(const Image& image, Rng& rng) const;
  void validate() const;
};

/// Inverts the values of at least `threshold` with probability p.
struct RandomSolarize {
  int threshold = 128;  ///< in [0, 256]
  double p = 0.5;       ///< probability
  Image operator()(const Image& image, Rng& rng) const;
  void validate() const;
};

/// Another transform with probability p: RandomApply{.p = 0.3, .transform = ColorJitter{.hue = 0.1} |
/// RandomGrayscale{}}.
struct RandomApply {
  double p = 0.5;  ///< probability
  ImageTransform transform = {};
  Image operator()(const Image& image, Rng& rng) const;
  void validate() const;
};

/// The last stage: (pixel / 255 − mean) / std for each channel. The values are in the order red, green, blue.
struct Normalize {
  std::array<float, 3> mean = {0, 0, 0};
  std::array<float, 3> std = {1, 1, 1};  ///< positive
  /// The picture as f32 (3, H, W).
  Tensor operator()(const Image& image) const;
  /// The same, written to 3 × H × W floats at `out`.
  void write(const Image& image, float* out) const;
  void validate() const;
};

/// Mean and deviation of ImageNet's pictures, which ResNet and ViT weights expect.
inline constexpr Normalize imagenet_mean_std{{0.485F, 0.456F, 0.406F}, {0.229F, 0.224F, 0.225F}};
/// Mean and deviation of CLIP's pictures (Radford et al. 2021, arXiv:2103.00020).
inline constexpr Normalize clip_mean_std{{0.48145466F, 0.4578275F, 0.40821073F},
                                         {0.26862954F, 0.26130258F, 0.27577711F}};

}  // namespace sslmeme
