// Activation checkpointing: memory for time.
#pragma once

#include <sslmeme/core/tensor.hpp>

#include <torch/nn/module.h>

#include <functional>

namespace sslmeme {

/// segment(x), without keeping what lies between x and the result: that is computed again when the gradient is taken
/// (Chen et al. 2016, arXiv:1604.06174; torch.utils.checkpoint, reentrant). The second time random numbers and autocast
/// are as they were the first time, and buffers of `module`, whose forward pass `segment` is, stay as they are.
/// Gradients reach x and parameters through backward(), as the trainer calls it; autograd::grad() sees those of x
/// alone. Where no gradient is wanted this is segment(x).
Tensor checkpointed(const torch::nn::Module& module, const std::function<Tensor(const Tensor&)>& segment,
                    const Tensor& x);

}  // namespace sslmeme
