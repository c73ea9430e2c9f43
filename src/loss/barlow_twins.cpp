#include <sslmeme/loss/barlow_twins.hpp>

#include <torch/autograd.h>

namespace sslmeme {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// Σᵢ (1 − cᵢᵢ)² + λ Σ_{i≠j} cᵢⱼ². Of a (D, D) matrix that is larger than any cache each direction reads it once.
struct CrossCorrelationLoss : torch::autograd::Function<CrossCorrelationLoss> {
  static Tensor forward(AutogradContext* context, const Tensor& c, double off_diagonal_weight) {
    context->save_for_backward({c});
    context->saved_data["weight"] = off_diagonal_weight;
    const auto diagonal = c.diagonal().to(torch::kDouble);
    // Row by row: the fp32 norm of four million entries at once loses 2e-5 of their sum.
    const auto everything = c.norm(2, 1).to(torch::kDouble).square().sum();
    const auto off_diagonal = everything - diagonal.square().sum();
    return ((1 - diagonal).square().sum() + off_diagonal_weight * off_diagonal).to(c.scalar_type());
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    detail::require_first_derivative("BarlowTwins");
    const auto c = context->get_saved_variables()[0];
    auto gradient = c * (2 * context->saved_data["weight"].toDouble() * gradients[0]);
    gradient.diagonal().copy_(2 * (c.diagonal() - 1) * gradients[0]);
    return {gradient, {}};
  }
};

Tensor standardize(const Tensor& z) {
  constexpr double added = 1e-5;  // to the variance
  const auto x = detail::at_least_fp32(z), centered = x - x.mean(0), variance = centered.square().mean(0);
  const auto in_range = torch::isfinite(variance.detach());
  // On a CPU it is quick to see that no square overflowed; another device would have to be waited for.
  if (x.is_cpu() && in_range.all().item<bool>()) return centered * (variance + added).rsqrt();
  const auto largest = x.detach().abs().amax(0);
  const auto size = torch::where(in_range, torch::ones_like(largest), largest);
  const auto scaled = x / size, around_mean = scaled - scaled.mean(0);
  // Not below 1e-30, so that a constant feature stays 0.
  const auto added_to_scaled = (added / size / size).clamp_min(1e-30);
  return around_mean * (around_mean.square().mean(0) + added_to_scaled).rsqrt();
}

}  // namespace

Tensor BarlowTwins::operator()(const Tensor& z_a, const Tensor& z_b) const {
  detail::check_pair(z_a, z_b, "BarlowTwins");
  detail::check_statistics(z_a, "BarlowTwins");
  detail::check_not_negative(off_diagonal_weight, "BarlowTwins: off_diagonal_weight");
  const auto n = static_cast<double>(z_a.size(0));
  return CrossCorrelationLoss::apply(torch::matmul(standardize(z_a).t(), standardize(z_b) / n), off_diagonal_weight);
}

}  // namespace sslmeme
