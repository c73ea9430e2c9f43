// ResNet (He et al. 2015, arXiv:1512.03385) with timm's parameter names and initialisation.
#pragma once

#include <sslmeme/nn/backbone.hpp>

#include <array>

namespace sslmeme {

struct ResNetOptions {
  std::array<std::int64_t, 4> blocks = {2, 2, 2, 2};  ///< residual blocks in each stage
  bool bottleneck = false;                            ///< 1×1–3×3–1×1 blocks with 4× expansion (ResNet-50 and up)
  std::int64_t width = 64;                            ///< channels of the stem and of the first stage
  std::int64_t num_classes = 0;                       ///< 0: pooled features
  std::int64_t image_size = 224;                      ///< what image_size() says; every size runs
  double drop_rate = 0;  ///< in training: dropout of the pooled features, with and without a classifier
  double drop_path_rate =
      0;  ///< in training: stochastic depth of the last block, falling linearly to 0 at the first of all
};

/// A ResNet. D = 8 · width (basic blocks) or 32 · width (bottleneck), or num_classes. The tokens that encode() gives
/// are the places (N, h·w, channels) of the last feature map, row by row; it has no attention maps.
/// Departs from torchvision as timm does: the last norm of every block starts at zero.
ImageEncoder make_resnet(const ResNetOptions& options);

}  // namespace sslmeme
