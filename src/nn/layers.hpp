// Small pieces that the backbones share.
#pragma once

#include <sslmeme/core/tensor.hpp>

#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>

namespace sslmeme::detail {

struct AttentionOptions {
  Tensor bias = {};           ///< added to the scores: (N, 1, 1, L), or undefined
  bool causal = false;        ///< a token attends to itself and to those before it
  double dropout = 0;         ///< rate at which weights are left out; 0 unless training
  bool training = false;      ///< chooses the kernel
  Tensor* weights = nullptr;  ///< takes the attention weights, f32 (N, H, L, L), before dropout
};

/// Multi-head attention of q, k, v (N, H, L, d). Returns (N, H, L, d). The fused kernel, but for plain matrix products
/// in training in half precision on the CPU, since the fused one takes thrice as long for the gradient, and where the
/// weights are asked for. Whether a gradient will be taken cannot decide: activation checkpointing computes the same
/// once without and once with.
Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& options = {});

/// x + branch, in the memory of `branch`, which must be nobody else's, where no gradient will be taken.
Tensor residual(const Tensor& x, Tensor branch);

/// Stochastic depth of a residual branch x (N, …) in training: each sample is left out at `rate` and the others are
/// divided by 1 − rate (timm's DropPath).
Tensor drop_path(const Tensor& x, double rate, bool training);

/// The rate of block `index` of `depth` when the last has `rate` and the first none.
double drop_path_rate(double rate, std::int64_t index, std::int64_t depth);

/// Throws InvalidArgument unless 0 <= rate < 1; `what` names the option.
void require_rate(double rate, const char* what);

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
