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
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

namespace sslmeme {

/// A copyable value that makes a picture from a picture, taking its dice from `rng` alone; callable from several
/// threads at once. A member `validate() const`, where there is one, is called once when the transform is composed.
/// One that takes the picture by value, `Image operator()(Image, Rng&) const`, is given that of the transform before
/// it to work in place.
template <class T>
concept Transform = std::copy_constructible<T> && requires(const T& transform, const Image& image, Rng& rng) {
  { transform(image, rng) } -> std::convertible_to<Image>;
};

/// Any transform, or several in a row, as a value. A default one changes nothing. Of a Resize followed by a CenterCrop
/// only the pixels that stay are computed.
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
    if constexpr (Transform<T>) steps_.push_back(std::make_shared<const StepOf<T>>(std::move(transform)));
  }

  Image operator()(const Image& image, Rng& rng) const;
  /// The same, of a picture that is not needed any more.
  Image operator()(Image&& image, Rng& rng) const;

  /// First `first`, then `second`.
  friend ImageTransform chain(ImageTransform first, const ImageTransform& second);

 private:
  struct Step {
    Step() = default;
    Step(const Step&) = delete;
    Step& operator=(const Step&) = delete;
    virtual ~Step() = default;
    virtual Image made(const Image& image, Rng& rng) const = 0;
    virtual Image made(Image&& image, Rng& rng) const = 0;
  };
  template <class T>
  struct StepOf final : Step {
    explicit StepOf(T transform_) : transform{std::move(transform_)} {}
    Image made(const Image& image, Rng& rng) const override { return transform(image, rng); }
    Image made(Image&& image, Rng& rng) const override { return transform(std::move(image), rng); }
    T transform;
  };
  std::vector<std::shared_ptr<const Step>> steps_;
};

/// First `first`, then `second`.
template <Transform First, Transform Second>
ImageTransform operator|(First first, Second second) {
  return chain(ImageTransform{std::move(first)}, ImageTransform{std::move(second)});
}

/// To width × height, or with `size` alone its shorter edge to `size`, keeping the aspect. Throws DataError if the
/// longer edge would pass 32,768 pixels.
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
  Image operator()(Image image, Rng& rng) const;
  void validate() const;
};

/// Mirrors top and bottom with probability p.
struct RandomVerticalFlip {
  double p = 0.5;  ///< probability
  Image operator()(Image image, Rng& rng) const;
  void validate() const;
};

/// Changes brightness, contrast, saturation and hue by random factors, in random order.
struct ColorJitter {
  double brightness = 0;  ///< b ≥ 0: a factor uniform in [max(0, 1 − b), 1 + b]
  double contrast = 0;    ///< as brightness
  double saturation = 0;  ///< as brightness
  double hue = 0;         ///< in [0, 1/2]: turned by a share of the circle uniform in [−hue, hue]
  Image operator()(Image image, Rng& rng) const;
  void validate() const;

  struct Factors {
    std::array<int, 4> order;  ///< what comes first … last: 0 brightness, 1 contrast, 2 saturation, 3 hue
    double brightness, contrast, saturation, hue;
  };
  /// All four are drawn, so that switching one off leaves the others as they were.
  Factors draw(Rng& rng) const;
};

/// Takes the colour away with probability p.
struct RandomGrayscale {
  double p = 0.1;  ///< probability
  Image operator()(Image image, Rng& rng) const;
  void validate() const;
};

/// Moves each corner inwards at random, as if seen from aside; black outside.
struct RandomPerspective {
  double distortion_scale = 0.5;  ///< in [0, 1]: a corner moves by up to this share of half the width and height
  double p = 0.5;                 ///< probability
  Interpolation interpolation = Interpolation::bilinear;
  Image operator()(Image image, Rng& rng) const;
  void validate() const;
  /// Where the corners of a picture of width × height go: top left, top right, bottom right, bottom left.
  std::array<Point, 4> draw(int width, int height, Rng& rng) const;
};

/// A range of angles in degrees: of both signs from one number, as in .degrees = 10, or {low, high}.
struct AngleRange {
  constexpr AngleRange() = default;
  constexpr AngleRange(double most) : low{-most}, high{most} {}  // implicit: a number is the usual range
  constexpr AngleRange(double low_, double high_) : low{low_}, high{high_} {}
  double low = 0;
  double high = 0;
};

/// Turns, shifts, scales and shears about the centre at random; black outside.
struct RandomAffine {
  AngleRange degrees = {};                   ///< of the turn, clockwise, uniform, within ±360
  std::array<double, 2> translate = {0, 0};  ///< largest shift, as a share of width and height, in [0, 1]
  std::array<double, 2> scale = {1, 1};      ///< range of the factor
  std::array<AngleRange, 2> shear = {};      ///< along x, as in .shear = {10}, and along y, within ±89
  Interpolation interpolation = Interpolation::nearest;
  Image operator()(const Image& image, Rng& rng) const;
  void validate() const;
  /// The motion that is drawn for a picture of width × height.
  AffineMotion draw(int width, int height, Rng& rng) const;
};

/// Blurs with a deviation drawn uniformly.
struct GaussianBlur {
  int kernel_size = 23;                      ///< taps, odd
  std::array<double, 2> sigma = {0.1, 2.0};  ///< range of the deviation, pixels
  Image operator()(Image image, Rng& rng) const;
  void validate() const;
  /// The deviation that is drawn, pixels.
  double draw(Rng& rng) const;
};

/// Inverts the values of at least `threshold` with probability p.
struct RandomSolarize {
  int threshold = 128;  ///< in [0, 256]
  double p = 0.5;       ///< probability
  Image operator()(Image image, Rng& rng) const;
  void validate() const;
};

/// Keeps the `bits` highest bits of every value, with probability p.
struct RandomPosterize {
  int bits = 4;    ///< in [1, 8]
  double p = 0.5;  ///< probability
  Image operator()(Image image, Rng& rng) const;
  void validate() const;
};

/// Spreads the values of each channel evenly, with probability p.
struct RandomEqualize {
  double p = 0.5;  ///< probability
  Image operator()(Image image, Rng& rng) const;
  void validate() const;
};

/// Stretches the values of each channel to the whole range, with probability p.
struct RandomAutocontrast {
  double p = 0.5;  ///< probability
  Image operator()(Image image, Rng& rng) const;
  void validate() const;
};

/// Another transform with probability p: RandomApply{.p = 0.3, .transform = ColorJitter{.hue = 0.1} |
/// RandomGrayscale{}}.
struct RandomApply {
  double p = 0.5;  ///< probability
  ImageTransform transform = {};
  Image operator()(Image image, Rng& rng) const;
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
