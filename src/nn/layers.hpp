// Small pieces that the backbones share.
#pragma once

#include <sslmeme/core/tensor.hpp>

#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>

namespace sslmeme::detail {

/// Multi-head attention of q, k, v (N, H, L, d). bias: additive (N, 1, 1, L) or undefined. Returns (N, H, L, d).
/// Plain matrix products in half precision on the CPU, where they beat the fused kernel; the fused kernel elsewhere.
Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& bias = {});

/// Weights from a normal of deviation `std` cut at ±2, bias zero: the transformer initialisation of timm and BERT.
void init_linear(torch::nn::LinearImpl& linear, double std = 0.02);

/// A Linear with bias that starts as init_linear() says.
torch::nn::Linear linear(std::int64_t in, std::int64_t out);

torch::nn::LayerNorm layer_norm(std::int64_t width, double eps);

/// norm(x) for x (N, D). Throws InvalidArgument for a batch of one in training: it has no statistics.
Tensor batch_norm(torch::nn::BatchNorm1dImpl& norm, const Tensor& x);

/// Throws InvalidArgument unless `value` > 0; `what` names the option.
void require_positive(std::int64_t value, const char* what);

}  // namespace sslmeme::detail
