// Fusion heads: from picture features u and text features v to one logit, "is this meme harmful".
#pragma once

#include <sslmeme/core/tensor.hpp>

#include <torch/nn/module.h>

#include <cstdint>
#include <memory>
#include <string_view>

namespace sslmeme {

enum class FusionKind {
  concat,  ///< [u; v]
  align,   ///< u ⊙ v (Hate-CLIPper, Kumar & Nandakumar 2022, arXiv:2210.05916, "align-fusion")
  cross,   ///< flatten(u vᵀ) (Hate-CLIPper, "cross-fusion")
  /// ReLU(W [a_u u; a_v v]) with (a_u, a_v) = softmax(q(u)·k(v), q(v)·k(u)), q and k shared by both modalities, each
  /// ReLU(Linear(d → d/2)): cross-modal attention fusion (MOMENTA, Pramanick et al. 2021, arXiv:2109.05184, as its code
  /// has it). It weighs whole features, not tokens, and so serves every encoder.
  cmaf,
};

/// "concat", "align", "cross" or "cmaf"; throws InvalidArgument for another name.
FusionKind fusion_kind(std::string_view name);
std::string_view name_of(FusionKind kind);

/// How the mapped features of each modality are brought to one scale before they are fused.
enum class FusionNorm {
  l2,     ///< each vector to length √d (the published heads, up to the √d)
  batch,  ///< each dimension to mean 0 and deviation 1 over the batch, as BatchNorm without its affine part: what all
          ///< memes have in common drops out, so products of the two modalities carry signal from the first step.
          ///< Breaks the plateau on which l2 heads on fresh encoders sit for many epochs.
};

struct FusionOptions {
  FusionKind kind = FusionKind::align;
  FusionNorm norm = FusionNorm::l2;
  std::int64_t dim = 256;       ///< d: both features are mapped to it
  std::int64_t hidden = 0;      ///< width of the layers before the logit; 0 takes dim
  std::int64_t layers = 1;      ///< number of [Linear, ReLU, dropout] before the logit
  double map_dropout = 0.1;     ///< after each map
  double fusion_dropout = 0.4;  ///< of the fused features
  double layer_dropout = 0.1;   ///< of the layers
  std::uint64_t seed = 0;       ///< of the initial weights
};

/// What a head makes of N memes.
struct FusionOutput {
  Tensor logits;     ///< (N)
  Tensor embedding;  ///< (N, E): what the last layer before the logit gives, ahead of its ReLU, as RGCL takes it; the
                     ///< fused features where there is no such layer
};

/// u = norm(dropout(W_i x_i)), v = norm(dropout(W_t x_t)), fused as `kind` says, then an MLP to one logit.
/// Departs from the published heads: with FusionNorm::l2 u and v are scaled by √d, so that an entry is of the order 1
/// whatever d is. With one modality alone (the other size 0) the fused features are u or v themselves, of every kind.
class FusionHead : public torch::nn::Module {
 public:
  /// image (N, D_i) and text (N, D_t); the one that the head was made without is ignored.
  virtual FusionOutput fuse(const Tensor& image, const Tensor& text) = 0;
  /// E, the width of FusionOutput::embedding.
  virtual std::int64_t embedding_dim() const = 0;
  /// The logits (N) of fuse().
  Tensor forward(const Tensor& image, const Tensor& text) { return fuse(image, text).logits; }
};

/// Builds a head for features of these sizes; 0 means that the modality is absent. Throws InvalidArgument when both
/// are.
std::shared_ptr<FusionHead> make_fusion_head(std::int64_t image_dim, std::int64_t text_dim,
                                             const FusionOptions& options = {});

}  // namespace sslmeme
