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
///
/// A loss that compares samples with each other is not the mean of the losses of two halves of a batch. A method that
/// has one may split its step: represent(batch, context) → NamedTensors, all that it compares, a row a sample;
/// compare(the same of several batches, row after row, context) → LossOutput. Then a step over several batches has the
/// exact gradient of one large batch, at the memory of a small one (Gao et al. 2021, arXiv:2101.06983).
template <class M>
concept Method = requires(M& method, const Batch& batch, const StepContext& context) {
  { method.step(batch, context) } -> std::same_as<LossOutput>;
  { method.module() } -> std::convertible_to<std::shared_ptr<torch::nn::Module>>;
  { method.views_required() } -> std::convertible_to<int>;
};

}  // namespace sslmeme
