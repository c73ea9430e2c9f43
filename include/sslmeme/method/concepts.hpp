// What a method is: the wiring between a batch, encoders, heads and losses. It knows nothing of optimizers or epochs'
// ends.
#pragma once

#include <sslmeme/core/batch.hpp>
#include <sslmeme/loss/concepts.hpp>

#include <torch/nn/module.h>

#include <concepts>
#include <memory>

namespace sslmeme {

/// step(batch, context) → LossOutput; module() → everything with parameters or state; views_required() → how many views
/// of each picture a batch must hold (0: pictures are not needed). Optional: after_step(context, output), called once
/// after each optimizer step, and describe() → a JSON string from which the architecture can be built again.
template <class M>
concept Method = requires(M& method, const Batch& batch, const StepContext& context) {
  { method.step(batch, context) } -> std::same_as<LossOutput>;
  { method.module() } -> std::convertible_to<std::shared_ptr<torch::nn::Module>>;
  { method.views_required() } -> std::convertible_to<int>;
};

}  // namespace sslmeme
