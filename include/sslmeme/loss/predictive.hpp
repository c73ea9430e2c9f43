// Losses with a side that teaches and one that learns: ByolLoss and SimSiamLoss, and StopGradient and Predicted, which
// make any loss such a one.
#pragma once

#include <sslmeme/loss/any_pair_loss.hpp>
#include <sslmeme/loss/concepts.hpp>

#include <torch/nn/module.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

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

/// loss(z_a, sg z_b): b teaches and does not learn. Whatever else the loss has (state, one rank's share) it keeps.
class StopGradient {
 public:
  explicit StopGradient(AnyPairLoss loss) : loss_{std::move(loss)} {}

  LossOutput operator()(const Tensor& z_a, const Tensor& z_b, const PairInfo& info = {}) const {
    return loss_(z_a, z_b.detach(), info);
  }
  LossOutput local(const LocalPairs& pairs) const {
    auto stopped = pairs;
    stopped.all_b = pairs.all_b.detach();
    return loss_.local(stopped);
  }
  void update(const StepContext& context, const NamedTensors& observed = {}) { loss_.update(context, observed); }
  std::shared_ptr<torch::nn::Module> module() const { return loss_.module(); }
  std::string name() const { return "stop_gradient(" + loss_.name() + ")"; }
  std::string describe() const {
    return detail::options_json({{"of", detail::loss_json(loss_.name(), loss_.describe())}});
  }

 private:
  AnyPairLoss loss_;
};

struct PredictorOptions {
  std::int64_t dim = 256;   ///< D of the vectors
  std::int64_t hidden = 0;  ///< 0 takes dim / 4: the bottleneck of SimSiam
  bool last_norm = false;   ///< a BatchNorm without affine part after the second Linear, as MoCo v3 has
  std::uint64_t seed = 0;   ///< of the initial weights
};

/// loss(h(z_a), sg z_b) with a predictor h that learns: Linear → BatchNorm → ReLU → Linear (SimSiam, Chen & He 2020,
/// arXiv:2011.10566, section 3 and algorithm 1). BatchNorm takes the statistics of the batch and keeps none, for h is
/// used in training only. One direction: for both put one on each of the edges a → b and b → a. Copies share h and the
/// loss's state, as torch modules do.
class Predicted {
 public:
  /// Throws InvalidArgument for sizes that are not positive.
  explicit Predicted(AnyPairLoss loss, const PredictorOptions& options = {});

  /// z_a, z_b: (N, dim) float with N ≥ 2, halves computed in fp32. Throws InvalidArgument on other shapes.
  LossOutput operator()(const Tensor& z_a, const Tensor& z_b, const PairInfo& info = {}) const;
  void update(const StepContext& context, const NamedTensors& observed = {}) { loss_.update(context, observed); }
  /// Holds "predictor" and, where the loss has state, "loss".
  std::shared_ptr<torch::nn::Module> module() const { return state_; }
  std::string name() const { return "predicted(" + loss_.name() + ")"; }
  std::string describe() const {
    return detail::options_json({{"dim", options_.dim},
                                 {"hidden", options_.hidden},
                                 {"last_norm", options_.last_norm},
                                 {"seed", options_.seed},
                                 {"of", detail::loss_json(loss_.name(), loss_.describe())}});
  }

 private:
  class Predictor;

  AnyPairLoss loss_;
  PredictorOptions options_;
  std::shared_ptr<Predictor> predictor_;
  std::shared_ptr<torch::nn::Module> state_;
};

static_assert(PairLoss<ByolLoss> && PairLoss<SimSiamLoss> && PairLoss<StopGradient> && PairLoss<Predicted>);

}  // namespace sslmeme
