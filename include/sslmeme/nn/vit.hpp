// Vision transformer (Dosovitskiy et al. 2020, arXiv:2010.11929) with timm's parameter names and initialisation.
#pragma once

#include <sslmeme/nn/backbone.hpp>

namespace sslmeme {

struct VitOptions {
  std::int64_t image_size = 224;  ///< side of the square input; a multiple of patch_size
  std::int64_t patch_size = 16;
  std::int64_t width = 192;  ///< embedding size; a multiple of heads
  std::int64_t depth = 12;
  std::int64_t heads = 3;
  std::int64_t num_classes = 0;   ///< 0: the class token after the last norm
  bool dynamic_img_size = false;  ///< takes every multiple of patch_size, the positions interpolated as timm does
};

/// A pre-norm vision transformer pooled at the class token. D = width, or num_classes.
ImageEncoder make_vit(const VitOptions& options);

}  // namespace sslmeme
