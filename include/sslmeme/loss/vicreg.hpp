// VicReg: invariance, variance and covariance.
#pragma once

#include <sslmeme/core/error.hpp>
#include <sslmeme/loss/concepts.hpp>

#include <string>

namespace sslmeme {

/// λ · mean squared difference + μ · ½ [v(z_a) + v(z_b)] + ν · [c(z_a) + c(z_b)] (Bardes et al. 2021, arXiv:2105.04906,
/// with the halved variance term of the published code): v = mean over features of max(0, 1 − √(variance + ε)), c = Σ
/// of the squared off-diagonal covariances / D. Reports its three terms. The variance term forbids collapse.
struct VicReg {
  double invariance_weight = 25;  ///< λ
  double variance_weight = 25;    ///< μ
  double covariance_weight = 1;   ///< ν
  double epsilon = 1e-4;

  /// z_a, z_b: (N, D) float with N ≥ 2, halves computed in fp32. Throws InvalidArgument on other shapes, on weights
  /// that are negative and on an ε that is not positive.
  LossOutput operator()(const Tensor& z_a, const Tensor& z_b) const {
    detail::check_pair(z_a, z_b, "VicReg");
    detail::check_statistics(z_a, "VicReg");
    detail::check_not_negative(invariance_weight, "VicReg: invariance_weight");
    detail::check_not_negative(variance_weight, "VicReg: variance_weight");
    detail::check_not_negative(covariance_weight, "VicReg: covariance_weight");
    detail::check_positive(epsilon, "VicReg: epsilon");
    const auto a = detail::at_least_fp32(z_a), b = detail::at_least_fp32(z_b);
    const auto invariance = (a - b).square().mean();
    const auto [variance_a, covariance_a] = spread(a);
    const auto [variance_b, covariance_b] = spread(b);
    const auto variance = 0.5 * (variance_a + variance_b), covariance = covariance_a + covariance_b;
    return {invariance_weight * invariance + variance_weight * variance + covariance_weight * covariance,
            {{"invariance", invariance.detach()}, {"variance", variance.detach()}, {"covariance", covariance.detach()}},
            {}};
  }
  std::string name() const { return "vicreg"; }
  std::string describe() const {
    return detail::options_json({{"invariance_weight", invariance_weight},
                                 {"variance_weight", variance_weight},
                                 {"covariance_weight", covariance_weight},
                                 {"epsilon", epsilon}});
  }

 private:
  struct Spread {
    Tensor variance, covariance;
  };
  Spread spread(const Tensor& z) const {
    const auto centered = z - z.mean(0);
    const auto degrees = static_cast<double>(z.size(0) - 1);
    const auto deviation = (centered.square().sum(0) / degrees + epsilon).sqrt();
    const auto covariance = torch::matmul(centered.t(), centered) / degrees;
    const auto features = static_cast<double>(z.size(1));
    return {torch::relu(1 - deviation).mean(), detail::off_diagonal(covariance).square().sum() / features};
  }
};

/// The paper's algorithm 1: the hinges of both sides are summed, as in its equation 6, where the published code takes
/// their mean. Its invariance is the mean over N and D, as in that code; equation 5 sums over D.
inline VicReg vicreg_paper() {
  return {.variance_weight = 50};
}

static_assert(PairLoss<VicReg>);

}  // namespace sslmeme
