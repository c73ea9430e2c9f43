// SigmoidLoss: SigLIP, which judges every pair by itself.
#pragma once

#include <sslmeme/loss/concepts.hpp>
#include <sslmeme/loss/similarity.hpp>

#include <torch/nn/module.h>

#include <memory>
#include <string>

namespace sslmeme {

struct SigmoidLossOptions {
  double scale = 10;             ///< initial factor of the logits; its logarithm is learned
  double bias = -10;             ///< initial, learned: most pairs do not belong together
  bool mask_duplicates = false;  ///< leaves pairs of equal PairInfo::ids out of each other's negatives
};

/// −1/N Σᵢ Σⱼ log σ(yᵢⱼ (s · aᵢ·bⱼ + b)), y = 1 on the diagonal and −1 elsewhere, a and b L2-normalised (SigLIP, Zhai
/// et al. 2023, arXiv:2303.15343, equation 1). The N × N scores are never held: memory grows with N, not N². It can be
/// differentiated once only. Copies share scale and bias, as torch modules do.
class SigmoidLoss {
 public:
  /// Throws InvalidArgument for a scale that is not positive.
  explicit SigmoidLoss(const SigmoidLossOptions& options = {});

  /// z_a, z_b: (N, D) float, halves computed in fp32. Returns a 0-d sum over pairs divided by N. Throws InvalidArgument
  /// on other shapes and on ids that do not fit.
  Tensor operator()(const Tensor& z_a, const Tensor& z_b, const PairInfo& info = {}) const;

  /// The rank's a against all b.
  Tensor local(const LocalPairs& pairs) const;

  /// Holds log_scale and bias.
  std::shared_ptr<torch::nn::Module> module() const { return state_; }
  std::string name() const { return "sigmoid"; }
  std::string describe() const {
    return detail::options_json(
        {{"scale", options_.scale}, {"bias", options_.bias}, {"mask_duplicates", options_.mask_duplicates}});
  }

 private:
  struct State;
  /// a: (n, D), b: (N, D), normalised; row i of a belongs to row i + mask.positive_offset of b.
  Tensor of_rows(const Tensor& a, const Tensor& b, const SimilarityMask& mask) const;

  SigmoidLossOptions options_;
  std::shared_ptr<torch::nn::Module> state_;
};

static_assert(PairLoss<SigmoidLoss>);

}  // namespace sslmeme
