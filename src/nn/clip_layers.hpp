// The transformer that CLIP's two towers share, with open_clip's parameter names.
#pragma once

#include <sslmeme/core/tensor.hpp>

#include "nn/layers.hpp"

#include <torch/nn/module.h>
#include <torch/nn/modules/normalization.h>

#include <memory>
#include <vector>

namespace sslmeme::detail {

struct ClipTransformerOptions {
  std::int64_t width;
  std::int64_t depth;
  std::int64_t heads;
  bool quick_gelu;
  bool causal;  ///< a token attends to itself and to those before it
};

class ClipBlock;

/// open_clip's Transformer: `resblocks` of pre-norm attention and MLP. Weights start as PyTorch's own layers do.
class ClipTransformer : public torch::nn::Module {
 public:
  explicit ClipTransformer(const ClipTransformerOptions& options);

  /// x: (N, L, width)
  Tensor forward(const Tensor& x, const LayersRequest& request);

  /// Draws the weights again with the deviations of open_clip's text tower (GPT-2's, falling with depth in projections
  /// onto the residual stream).
  void init_as_text();

 private:
  std::int64_t width_;
  std::vector<std::shared_ptr<ClipBlock>> blocks_;
};

torch::nn::LayerNorm clip_norm(std::int64_t width);

/// Throws InvalidArgument unless images are (N, 3, side, side).
void check_clip_pictures(const Tensor& images, std::int64_t side);

}  // namespace sslmeme::detail
