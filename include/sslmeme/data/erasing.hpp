// Random erasing: hides a part of the picture, so that a network learns not to lean on one detail.
#pragma once

#include <sslmeme/core/image.hpp>
#include <sslmeme/core/random.hpp>
#include <sslmeme/data/image_ops.hpp>

#include <array>
#include <cstdint>
#include <optional>

namespace sslmeme {

/// A rectangle of random area, aspect and place filled with one colour or with noise (Zhong et al. 2017,
/// arXiv:1708.04896), with probability p. The rectangle is drawn as torchvision draws it.
///
/// torchvision erases after Normalize, where its usual value 0 is the mean colour of the data set; here pictures are
/// still 8 bits, and the default is that same colour, ImageNet's mean, within half a step of 255. For other means give
/// 255 × mean. Noise is uniform in 0 … 255 as in the paper; torchvision's is a standard normal after Normalize.
struct RandomErasing {
  double p = 0.5;                              ///< probability
  std::array<double, 2> scale = {0.02, 0.33};  ///< range of the rectangle's area, as a share of the picture's
  std::array<double, 2> ratio = {0.3, 3.3};    ///< range of height / width, uniform in its logarithm
  /// Red, green, blue; std::nullopt draws every value of every pixel.
  std::optional<std::array<std::uint8_t, 3>> value = {{124, 116, 104}};
  Image operator()(Image image, Rng& rng) const;
  void validate() const;
  /// The rectangle that is drawn for a picture of width × height; an empty one if ten draws did not fit.
  Box draw(int width, int height, Rng& rng) const;
};

}  // namespace sslmeme
