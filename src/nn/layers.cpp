#include "nn/layers.hpp"

#include <sslmeme/core/error.hpp>

#include <fmt/format.h>
#include <torch/nn/init.h>

namespace sslmeme::detail {

Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& bias) {
  const bool half = q.scalar_type() == torch::kBFloat16 || q.scalar_type() == torch::kHalf;
  if (!(half && q.is_cpu())) {
    const auto mask = bias.defined() ? std::optional<Tensor>{bias.to(q.scalar_type())} : std::nullopt;
    return at::scaled_dot_product_attention(q, k, v, mask);
  }
  auto scores = torch::matmul(q * (1.0 / std::sqrt(static_cast<double>(q.size(-1)))), k.transpose(-2, -1));
  if (bias.defined()) scores = scores + bias.to(scores.scalar_type());
  return torch::matmul(torch::_softmax(scores, -1, false), v);
}

void init_linear(torch::nn::LinearImpl& linear, double std) {
  const torch::NoGradGuard no_grad;
  // Cut at ±2 absolute, as timm does: with std 0.02 the cut never bites, so a plain normal is the same law.
  linear.weight.normal_(0.0, std);
  if (linear.bias.defined()) linear.bias.zero_();
}

torch::nn::Linear linear(std::int64_t in, std::int64_t out) {
  auto layer = torch::nn::Linear(in, out);
  init_linear(*layer);
  return layer;
}

torch::nn::LayerNorm layer_norm(std::int64_t width, double eps) {
  return torch::nn::LayerNorm(torch::nn::LayerNormOptions({width}).eps(eps));
}

Tensor batch_norm(torch::nn::BatchNorm1dImpl& norm, const Tensor& x) {
  if (norm.is_training() && x.size(0) < 2) {
    throw InvalidArgument(
        fmt::format("batch norm in training got a batch of {}; it needs 2 or more samples", x.size(0)));
  }
  return norm.forward(x);
}

void require_positive(std::int64_t value, const char* what) {
  if (value <= 0) throw InvalidArgument(fmt::format("{} is {}; it must be positive", what, value));
}

}  // namespace sslmeme::detail
