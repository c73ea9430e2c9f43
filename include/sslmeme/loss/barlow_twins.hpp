// BarlowTwins: two views agree in every feature, and features in nothing else.
#pragma once

#include <sslmeme/core/error.hpp>
#include <sslmeme/loss/concepts.hpp>

#include <string>

namespace sslmeme {

/// Σᵢ (1 − cᵢᵢ)² + λ Σᵢ Σⱼ≠ᵢ cᵢⱼ² with c the (D, D) cross-correlation of the two views over the batch (Zbontar et al.
/// 2021, arXiv:2103.03230, equation 1). Features are standardised over the batch with the biased variance + 1e-5, as
/// the published BatchNorm does. Sums over D, not a mean: the value grows with D.
struct BarlowTwins {
  double off_diagonal_weight = 5e-3;  ///< λ

  /// z_a, z_b: (N, D) float with N ≥ 2, halves computed in fp32. Returns a 0-d sum over features, which can be
  /// differentiated once. Throws InvalidArgument on other shapes and on a weight that is negative.
  Tensor operator()(const Tensor& z_a, const Tensor& z_b) const;
  std::string name() const { return "barlow_twins"; }
  std::string describe() const { return detail::options_json({{"off_diagonal_weight", off_diagonal_weight}}); }
};

/// λ of the published code, which differs from the paper's.
inline BarlowTwins barlow_twins_reference() {
  return {.off_diagonal_weight = 5.1e-3};
}

static_assert(PairLoss<BarlowTwins>);

}  // namespace sslmeme
