// InfoNce: the contrastive loss of CLIP.
#pragma once

#include <sslmeme/core/error.hpp>
#include <sslmeme/loss/concepts.hpp>
#include <sslmeme/loss/similarity.hpp>

#include <torch/nn/module.h>

#include <cmath>
#include <memory>
#include <string>

namespace sslmeme {

struct InfoNceOptions {
  double temperature = 0.07;     ///< initial temperature; the scale of the logits is its inverse
  bool learned = true;           ///< the logarithm of the scale is a parameter
  bool mask_duplicates = false;  ///< leaves pairs of equal PairInfo::ids out of each other's negatives
  double max_scale = 100.0;      ///< after each optimizer step the scale is clamped to [1, max_scale]
};

/// Symmetric InfoNCE (CLIP, Radford et al. 2021, arXiv:2103.00020, figure 3; van den Oord et al. 2018,
/// arXiv:1807.03748): ½ [CE(s·A·Bᵀ, arange) + CE(s·B·Aᵀ, arange)], mean over N, A and B the L2-normalised rows, s =
/// exp(log_scale). Copies of an InfoNce share their scale, as torch modules do. A batch of one has no negatives: the
/// loss is 0. The N × N similarities are never held: memory grows with N, not N² (similarity.hpp).
class InfoNce {
 public:
  /// Throws InvalidArgument for a temperature that is not positive, a learned one whose scale lies outside
  /// [1, max_scale], and a max_scale below 1.
  explicit InfoNce(const InfoNceOptions& options = {}) : options_{options} {
    detail::check_positive(options.temperature, "InfoNce: temperature");
    if (!(options.max_scale >= 1)) {
      throw InvalidArgument("InfoNce: max_scale is " + std::to_string(options.max_scale) + "; it must be at least 1");
    }
    if (!options.learned) return;
    constexpr double rounding = 1e-9;
    if (const auto scale = 1 / options.temperature;
        !(scale >= 1 - rounding && scale <= options.max_scale * (1 + rounding))) {
      throw InvalidArgument("InfoNce: temperature is " + std::to_string(options.temperature) + ", so the scale is " +
                            std::to_string(scale) + ", but a learned one is kept in [1, " +
                            std::to_string(options.max_scale) + "]: set .max_scale, or .learned = false");
    }
    state_ = std::make_shared<State>(options.temperature);
  }

  /// z_a, z_b: (N, D) float, halves computed in fp32. Returns a 0-d mean. Throws InvalidArgument on other shapes.
  Tensor operator()(const Tensor& z_a, const Tensor& z_b, const PairInfo& info = {}) const {
    detail::check_pair(z_a, z_b, "InfoNce");
    const auto a = l2_normalize(z_a), b = l2_normalize(z_b);
    const auto s =
        similarity_logsumexp(a, b, scale_for(a), detail::mask_of_pairs(options_.mask_duplicates, info, a.device()));
    return 0.5 * ((s.rows - s.positives).mean() + (s.columns - s.positives).mean());
  }

  /// The rank's rows of both matrices: its a against all b, its b against all a.
  Tensor local(const LocalPairs& pairs) const {
    const auto a = l2_normalize(pairs.all_a), b = l2_normalize(pairs.all_b);
    const auto mask = detail::mask_of_pairs(options_.mask_duplicates, pairs);
    const auto of_a = similarity_logsumexp(pairs.own(a), b, scale_for(a), mask);
    const auto of_b = similarity_logsumexp(pairs.own(b), a, scale_for(a), mask);
    return 0.5 * ((of_a.rows - of_a.positives).mean() + (of_b.rows - of_b.positives).mean());
  }

  /// Clamps the learned scale; the trainer calls it after each optimizer step.
  void update(const StepContext& /*context*/) {
    if (!state_) return;
    const torch::NoGradGuard no_grad;
    state_->log_scale.clamp_(0.0, std::log(options_.max_scale));
  }

  /// The factor s of the logits.
  double scale() const { return state_ ? std::exp(state_->log_scale.item<double>()) : 1.0 / options_.temperature; }

  /// Holds log_scale; null when the temperature is fixed.
  std::shared_ptr<torch::nn::Module> module() const { return state_; }
  std::string name() const { return "info_nce"; }
  std::string describe() const {
    return detail::options_json({{"temperature", options_.temperature},
                                 {"learned", options_.learned},
                                 {"mask_duplicates", options_.mask_duplicates},
                                 {"max_scale", options_.max_scale}});
  }

 private:
  struct State : torch::nn::Module {
    explicit State(double temperature)
        : log_scale{register_parameter("log_scale", torch::tensor(std::log(1.0 / temperature), torch::kFloat))} {}
    Tensor log_scale;
  };

  Tensor scale_for(const Tensor& a) const {
    return state_ ? state_->log_scale.exp().to(a.scalar_type())
                  : torch::scalar_tensor(1.0 / options_.temperature, a.options());
  }

  InfoNceOptions options_;
  std::shared_ptr<State> state_;
};

static_assert(PairLoss<InfoNce>);

}  // namespace sslmeme
