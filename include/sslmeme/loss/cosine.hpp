// CosineLoss: the loss of CASS.
#pragma once

#include <sslmeme/loss/concepts.hpp>

#include <string>

namespace sslmeme {

/// mean(2 − 2 · cos(z_a, z_b)) over the batch: CASS (Singh et al. 2022, arXiv:2206.04170). Between 0 and 4; symmetric,
/// and blind to the lengths of the vectors. A zero vector counts as cosine 0. Nothing in it keeps a constant output
/// from being a global minimum: without a term that spreads the features (InfoNce) both encoders may collapse.
struct CosineLoss {
  /// z_a, z_b: (N, D) float, halves computed in fp32. Returns a 0-d mean over the batch. Throws InvalidArgument on
  /// other shapes.
  Tensor operator()(const Tensor& z_a, const Tensor& z_b) const {
    detail::check_pair(z_a, z_b, "CosineLoss");
    return 2 - 2 * (l2_normalize(z_a) * l2_normalize(z_b)).sum(1).mean();
  }
  std::string name() const { return "cosine"; }
};

static_assert(PairLoss<CosineLoss>);

}  // namespace sslmeme
