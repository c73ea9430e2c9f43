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

  /// z_a, z_b: (N, D) float with N ≥ 2, halves computed in fp32. Returns a 0-d sum over features. Throws
  /// InvalidArgument on other shapes.
  Tensor operator()(const Tensor& z_a, const Tensor& z_b) const {
    detail::check_pair(z_a, z_b, "BarlowTwins");
    detail::check_statistics(z_a, "BarlowTwins");
    const auto n = static_cast<double>(z_a.size(0));
    const auto c = torch::matmul(standardize(z_a).t(), standardize(z_b)) / n;
    return (c.diagonal() - 1).square().sum() + off_diagonal_weight * detail::off_diagonal(c).square().sum();
  }
  std::string name() const { return "barlow_twins"; }

 private:
  static Tensor standardize(const Tensor& z) {
    const auto x = detail::at_least_fp32(z);
    const auto centered = x - x.mean(0);
    return centered * (centered.square().mean(0) + 1e-5).rsqrt();
  }
};

static_assert(PairLoss<BarlowTwins>);

}  // namespace sslmeme
