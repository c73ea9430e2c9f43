// Vision transformer (Dosovitskiy et al. 2020, arXiv:2010.11929) with timm's parameter names and initialisation.
#pragma once

#include <sslmeme/nn/backbone.hpp>

namespace sslmeme {

/// The rates are timm's and act in training alone.
struct VitOptions {
  std::int64_t image_size = 224;  ///< side of the square input; a multiple of patch_size
  std::int64_t patch_size = 16;
  std::int64_t width = 192;  ///< embedding size; a multiple of heads
  std::int64_t depth = 12;
  std::int64_t heads = 3;
  std::int64_t num_classes = 0;      ///< 0: the pooled and normed features
  bool dynamic_img_size = false;     ///< takes every multiple of patch_size, the positions interpolated as timm does
  Pooling pooling = Pooling::first;  ///< mean: of the patches, with `fc_norm` behind it in place of `norm`
  double norm_eps = 1e-6;            ///< of every layer norm (Hugging Face's ViT has 1e-12)
  double drop_rate = 0;              ///< of the pooled features, with and without a classifier
  double pos_drop_rate = 0;          ///< of the tokens once they have their positions
  double patch_drop_rate = 0;        ///< share of the patches left out; one stays at least, and the class token
  double proj_drop_rate = 0;         ///< behind attention's projection and both layers of the MLP
  double attn_drop_rate = 0;         ///< of attention weights
  double drop_path_rate = 0;         ///< stochastic depth of the last block, falling linearly to 0 at the first
};

/// A pre-norm vision transformer. D = width, or num_classes. The tokens that encode() gives are normed with
/// Pooling::first; with Pooling::mean they come as the last block leaves them, as from timm's forward_features(). In
/// training they lack the patches that patch_drop_rate leaves out, and the others come in random order.
/// resampled() fits "pos_embed" (1, 1 + s², width) of any s.
ImageEncoder make_vit(const VitOptions& options);

}  // namespace sslmeme
