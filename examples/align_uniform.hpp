// AlignUniform: a loss of one's own. It needs to know nothing but two batches of vectors.
#pragma once

#include <sslmeme/core/tensor.hpp>
#include <sslmeme/loss/concepts.hpp>

#include <string>

namespace sm = sslmeme;

// [loss]
/// Alignment + uniformity (Wang & Isola 2020, arXiv:2005.10242): mean ‖a − b‖² + w · log mean exp(−2 ‖aᵢ − aⱼ‖²), a and
/// b normalised.
struct AlignUniform {
  double uniform_weight = 1.0;  ///< w, of the term that spreads the vectors over the sphere
  /// z_a, z_b: (N, D) float, N ≥ 2. Returns a 0-d mean over the batch.
  sm::Tensor operator()(const sm::Tensor& z_a, const sm::Tensor& z_b) const {
    const auto a = sm::l2_normalize(z_a), b = sm::l2_normalize(z_b);
    return (a - b).pow(2).sum(1).mean() + uniform_weight * torch::pdist(a).pow(2).mul(-2).exp().mean().log();
  }
  std::string name() const { return "align_uniform"; }
};
static_assert(sm::PairLoss<AlignUniform>);
// [/loss]
