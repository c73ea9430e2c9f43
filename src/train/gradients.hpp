// The gradient of one optimizer step, of one batch or of several.
#pragma once

#include <sslmeme/train/session.hpp>

#include <functional>
#include <span>

namespace sslmeme::detail {

/// What surrounds the gradient of a step.
struct GradientScope {
  /// Called around the forward pass of each part, and of what compares all of them, which counts as one more:
  /// precision and random numbers, the same for the same part.
  std::function<void(std::int64_t part, const std::function<void()>& forward)> around;
  /// Called before each backward pass: throws for a loss that is not 0-d or not finite, before any gradient is made.
  std::function<void(const LossOutput&)> check;
  double scale = 1;  ///< of the gradient that is added
};

/// Adds the gradient of a step to that of the parameters. One batch: forward, backward. Several: the gradient of one
/// large batch, exact where the method can represent() and compare() (Gao et al. 2021, arXiv:2101.06983): all parts are
/// represented without gradient, compared at once, and represented again, each with the gradient of its rows. Else the
/// mean over parts, weighted by their size: exact for losses that are means over samples. Buffers move once a part.
/// Returns the step's output; where parts have one each their weighted mean, observed rows one after the other.
LossOutput add_gradient(torch::nn::Module& module, std::span<const Batch> parts, const StepContext& context,
                        const MethodCalls& method, const GradientScope& scope);

}  // namespace sslmeme::detail
