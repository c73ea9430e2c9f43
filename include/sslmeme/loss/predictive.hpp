// ByolLoss and SimSiamLoss: a prediction against a target that does not learn.
#pragma once

#include <sslmeme/loss/concepts.hpp>

#include <string>

namespace sslmeme {

/// mean(2 − 2 · cos(p, sg z)): BYOL (Grill et al. 2020, arXiv:2006.07733, equation 2), one direction. p is the online
/// network's prediction, z the projection of the other view by the EMA teacher; no gradient flows to z. Between 0
/// and 4. Collapse is kept away by predictor and teacher, not by this loss.
struct ByolLoss {
  /// prediction, target: (N, D) float, halves computed in fp32. Returns a 0-d mean. Throws InvalidArgument on other
  /// shapes.
  Tensor operator()(const Tensor& prediction, const Tensor& target) const {
    detail::check_pair(prediction, target, "ByolLoss");
    return 2 - 2 * (l2_normalize(prediction) * l2_normalize(target.detach())).sum(1).mean();
  }
  std::string name() const { return "byol"; }
};

/// −mean cos(p, sg z): SimSiam (Chen & He 2020, arXiv:2011.10566, equation 2), one direction. Between −1 and 1.
/// Collapse is kept away by predictor and stopped gradient.
struct SimSiamLoss {
  /// prediction, target: (N, D) float, halves computed in fp32. Returns a 0-d mean. Throws InvalidArgument on other
  /// shapes.
  Tensor operator()(const Tensor& prediction, const Tensor& target) const {
    detail::check_pair(prediction, target, "SimSiamLoss");
    return -(l2_normalize(prediction) * l2_normalize(target.detach())).sum(1).mean();
  }
  std::string name() const { return "simsiam"; }
};

static_assert(PairLoss<ByolLoss> && PairLoss<SimSiamLoss>);

}  // namespace sslmeme
