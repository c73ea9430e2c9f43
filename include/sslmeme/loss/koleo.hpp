// KoLeo: pushes each vector away from its nearest neighbour in the batch.
#pragma once

#include <sslmeme/loss/concepts.hpp>

#include <string>

namespace sslmeme {

/// −mean log(‖xᵢ − x_nn(i)‖ + ε) over L2-normalised rows, nn(i) the row with the largest cosine to row i (Sablayrolles
/// et al. 2018, arXiv:1806.03198; as in DINOv2). A duplicate is at distance ε√D: a large finite value. z: (N, D) float
/// with N ≥ 2, halves computed in fp32. Returns a 0-d mean. Throws InvalidArgument on other shapes. The N × N cosines
/// are looked at in slices.
Tensor koleo(const Tensor& z, double epsilon = 1e-8);

/// ½ [koleo(z_a) + koleo(z_b)]: a term to add to a loss that pulls pairs together, `InfoNce{} + 0.1 * KoLeo{}`.
struct KoLeo {
  double epsilon = 1e-8;

  /// z_a, z_b: (N, D) float with N ≥ 2.
  Tensor operator()(const Tensor& z_a, const Tensor& z_b) const {
    detail::check_pair(z_a, z_b, "KoLeo");
    return 0.5 * (koleo(z_a, epsilon) + koleo(z_b, epsilon));
  }
  std::string name() const { return "koleo"; }
  std::string describe() const { return detail::options_json({{"epsilon", epsilon}}); }
};

static_assert(PairLoss<KoLeo>);

}  // namespace sslmeme
