// Heads for pre-training: projections, from a backbone's features to the space in which losses compare, and DINO's.
#pragma once

#include <sslmeme/core/tensor.hpp>

#include <torch/nn/module.h>
#include <torch/nn/modules/container/sequential.h>

#include <cstdint>
#include <memory>

namespace sslmeme {

enum class ProjectionKind {
  linear,    ///< one Linear without bias (CLIP)
  mlp,       ///< Linear → BatchNorm → ReLU, and so on → Linear → BatchNorm without affine part (SimSiam, MoCo v3: Chen
             ///< et al. 2021, arXiv:2104.02057); Linears have a bias where no BatchNorm follows
  residual,  ///< p = Linear(x); LayerNorm(dropout₀.₁(Linear(GELU(p))) + p): the tutorial CLIP of the source document
  none,      ///< features as they are
};

/// What projection() returns; node() and Siamese build it once they know the encoder's feature size.
struct Projection {
  std::int64_t out = 256;  ///< d of the compared vectors; ignored by none
  ProjectionKind kind = ProjectionKind::linear;
  std::int64_t hidden = 0;  ///< of mlp; 0 takes the encoder's feature size
  std::int64_t layers = 2;  ///< Linears of mlp: 2, in SimSiam and MoCo v3 for ViTs 3
  bool last_norm = true;    ///< mlp ends in a BatchNorm; not so in BYOL
  std::uint64_t seed = 0;   ///< of the initial weights
};

/// Reads well where a head is named: `sm::projection({.out = 256})`.
inline Projection projection(const Projection& options = {}) {
  return options;
}

class ProjectionHead : public torch::nn::Module {
 public:
  /// features (N, D) → (N, d).
  virtual Tensor forward(const Tensor& features) = 0;
  virtual std::int64_t out_dim() const = 0;
};

/// Builds the head for features of size `in`. Throws InvalidArgument for sizes that are not positive.
std::shared_ptr<ProjectionHead> make_projection(std::int64_t in, const Projection& options);

struct DinoHeadOptions {
  std::int64_t prototypes = 65536;  ///< K, the outputs
  std::int64_t hidden = 2048;
  std::int64_t bottleneck = 256;
  bool norm_last_layer = true;  ///< prototypes keep length 1; advised off for ViT-S
  /// Batch norm after each hidden Linear, as the published code has for ResNets. It takes out what all pictures have in
  /// common, without which fresh encoders sit at a loss of ln K for long.
  bool batch_norm = false;
  std::uint64_t seed = 0;  ///< of the initial weights
};

/// DINO's head (Caron et al. 2021, arXiv:2104.14294, appendix C): three Linears with (batch norm and) GELU between, L2
/// norm, then prototypes: a Linear without bias whose rows are g·v/‖v‖, "last_layer.weight_g" and "weight_v", g = 1 and
/// fixed if norm_last_layer. Weights as in the published code: normal of deviation 0.02, biases 0.
class DinoHead : public torch::nn::Module {
 public:
  /// in: the features' size. Throws InvalidArgument for sizes that are not positive.
  DinoHead(std::int64_t in, const DinoHeadOptions& options);
  /// features (N, in) → logits (N, K). prototypes_learn = false gives the prototypes no gradient.
  Tensor forward(const Tensor& features, bool prototypes_learn = true);

 private:
  torch::nn::Sequential mlp_;
  Tensor weight_g_, weight_v_;
};

}  // namespace sslmeme
