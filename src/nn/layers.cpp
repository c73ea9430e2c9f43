#include "nn/layers.hpp"

#include <sslmeme/core/error.hpp>

#include <fmt/format.h>
#include <torch/nn/init.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

namespace sslmeme::detail {

Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& options) {
  const bool half = q.scalar_type() == torch::kBFloat16 || q.scalar_type() == torch::kHalf;
  const bool plain_is_faster = half && q.is_cpu() && options.training;
  const auto length = q.size(-2);
  if (options.weights == nullptr && !plain_is_faster && !(options.causal && options.bias.defined())) {
    const auto mask = options.bias.defined() ? std::optional<Tensor>{options.bias.to(q.scalar_type())} : std::nullopt;
    return at::scaled_dot_product_attention(q, k, v, mask, options.dropout, options.causal);
  }
  auto scores = torch::matmul(q * (1.0 / std::sqrt(static_cast<double>(q.size(-1)))), k.transpose(-2, -1));
  if (options.bias.defined()) scores = scores + options.bias.to(scores.scalar_type());
  if (options.causal) {
    const auto later = torch::ones({length, length}, torch::dtype(torch::kBool).device(q.device())).triu_(1);
    scores = scores.masked_fill(later, -std::numeric_limits<double>::infinity());
  }
  Tensor weights;
  if (options.weights != nullptr) {
    weights = torch::softmax(scores, -1, scores.scalar_type() == torch::kDouble ? torch::kDouble : torch::kFloat);
    *options.weights = weights.detach().to(torch::kFloat);
    weights = weights.to(v.scalar_type());
  } else {
    weights = torch::_softmax(scores, -1, false);
  }
  return torch::matmul(torch::dropout(weights, options.dropout, options.dropout > 0), v);
}

Tensor OneToken::of(const Tensor& x) const {
  if (!index.defined()) return x.narrow(1, 0, 1);
  const auto rows = index + x.size(1) * torch::arange(x.size(0), index.options());
  return x.flatten(0, 1).index_select(0, rows).unsqueeze(1);
}

Tensor OneToken::causal_bias(const Tensor& x) const {
  const auto place = torch::arange(x.size(1), torch::dtype(torch::kLong).device(x.device()));
  const auto later = place > index.unsqueeze(1);
  return torch::zeros(later.sizes(), x.options().dtype(torch::kFloat))
      .masked_fill_(later, -std::numeric_limits<double>::infinity())
      .unsqueeze(1)
      .unsqueeze(1);
}

Tensor packed_self_attention(const Tensor& x, const Tensor& in_weight, const Tensor& in_bias, std::int64_t heads,
                             AttentionOptions options, const LayerRequest& request) {
  const auto n = x.size(0), width = x.size(2);
  const auto project = [&](const Tensor& tokens, const Tensor& weight, const Tensor& bias) {
    return torch::linear(tokens, weight, bias)
        .reshape({n, tokens.size(1), weight.size(0) / width, heads, width / heads})
        .permute({2, 0, 3, 1, 4})
        .unbind();
  };
  options.bias = request.bias;
  options.weights = request.weights;
  Tensor mixed;
  if (request.only) {
    if (options.causal) options.bias = request.only->causal_bias(x);
    options.causal = false;
    const auto q = project(request.only->of(x), in_weight.narrow(0, 0, width), in_bias.narrow(0, 0, width));
    const auto kv = project(x, in_weight.narrow(0, width, 2 * width), in_bias.narrow(0, width, 2 * width));
    mixed = attention(q[0], kv[0], kv[1], options);
  } else {
    const auto qkv = project(x, in_weight, in_bias);
    mixed = attention(qkv[0], qkv[1], qkv[2], options);
  }
  return mixed.transpose(1, 2).reshape({n, mixed.size(2), width});
}

LayersRequest layers_request(const Backbone& model, const EncodeRequest& request, Encoded& result,
                             std::optional<OneToken> pooled) {
  LayersRequest layers{.checkpoint = model.grad_checkpointing()};
  if (request.attention) layers.attention = &result.attention;
  if (!request.attention && !request.tokens) layers.only = std::move(pooled);
  return layers;
}

std::optional<OneToken> pooled_token(Pooling pooling) {
  return pooling == Pooling::first ? std::optional{OneToken{}} : std::nullopt;
}

Tensor residual(const Tensor& x, Tensor branch) {
  // With a gradient to take it would cost copies of it: linear() gives a view.
  return branch.scalar_type() == x.scalar_type() && !branch.requires_grad() ? branch.add_(x) : x + branch;
}

Tensor drop_path(const Tensor& x, double rate, bool training) {
  if (!training || rate == 0) return x;
  std::vector<std::int64_t> shape(static_cast<std::size_t>(x.dim()), 1);
  shape[0] = x.size(0);
  return x * torch::empty(shape, x.options()).bernoulli_(1 - rate).div_(1 - rate);
}

double drop_path_rate(double rate, std::int64_t index, std::int64_t depth) {
  return depth > 1 ? rate * static_cast<double>(index) / static_cast<double>(depth - 1) : 0;
}

std::int64_t kept_patches(std::int64_t patches, double rate) {
  // Truncated as Python's int() does it, so that the count is theirs for every rate.
  return std::max<std::int64_t>(1, static_cast<std::int64_t>(static_cast<double>(patches) * (1 - rate)));
}

Tensor keep_patches(const Tensor& tokens, const Tensor& chosen) {
  const auto places = chosen.unsqueeze(-1).expand({-1, -1, tokens.size(2)});
  return torch::cat({tokens.narrow(1, 0, 1), tokens.narrow(1, 1, tokens.size(1) - 1).gather(1, places)}, 1);
}

Tensor pooling_weights(Pooling pooling, std::int64_t length) {
  auto weights = torch::zeros({length}, torch::kDouble);
  if (pooling == Pooling::first) {
    weights[0] = 1;
  } else {
    weights.narrow(0, 1, length - 1).fill_(1.0 / static_cast<double>(length - 1));
  }
  return weights;
}

std::int64_t grid_side(std::int64_t tokens) {
  const auto patches = std::max<std::int64_t>(tokens - 1, 0);
  const auto side = std::llround(std::sqrt(static_cast<double>(patches)));
  return side * side == patches ? side : 0;
}

Tensor resized_positions(const Tensor& positions, std::int64_t rows, std::int64_t columns) {
  const auto side = grid_side(positions.size(0)), width = positions.size(1);
  const auto grid = positions.narrow(0, 1, side * side).to(torch::kFloat).reshape({1, side, side, width});
  const auto resized = at::_upsample_bicubic2d_aa(grid.permute({0, 3, 1, 2}), {rows, columns}, /*align_corners=*/false);
  const auto flat = resized.permute({0, 2, 3, 1}).reshape({rows * columns, width});
  return torch::cat({positions.narrow(0, 0, 1), flat.to(positions.scalar_type())}, 0);
}

void check_token_shapes(const Tensor& tokens, const Tensor& mask, std::int64_t max_tokens) {
  if (tokens.dim() != 2 || tokens.size(1) == 0 || mask.sizes() != tokens.sizes()) {
    throw InvalidArgument(fmt::format("tokens are {}, mask is {}; both must be (N, L), L at least 1",
                                      shape_string(tokens), shape_string(mask)));
  }
  if (tokens.size(1) > max_tokens) {
    throw InvalidArgument(fmt::format("{} tokens, this text encoder takes at most {}: tokenize with that max_tokens",
                                      tokens.size(1), max_tokens));
  }
}

std::int64_t check_token_ids(const Tensor& tokens, std::int64_t vocabulary_size, const Tensor& fact) {
  const auto facts = torch::stack({tokens.min(), tokens.max(), fact.to(tokens.scalar_type())}).cpu();
  const auto value = [&](std::int64_t i) { return facts[i].item<std::int64_t>(); };
  if (value(0) < 0 || value(1) >= vocabulary_size) {
    throw InvalidArgument(
        fmt::format("token id {} is outside the vocabulary of {}: ids are 0 to {}; tokenize with the encoder's own "
                    "vocabulary",
                    value(0) < 0 ? value(0) : value(1), vocabulary_size, vocabulary_size - 1));
  }
  return value(2);
}

void require_heads(std::int64_t width, std::int64_t heads) {
  if (width % heads != 0) {
    throw InvalidArgument(fmt::format("width {} is no multiple of the {} heads", width, heads));
  }
}

void require_image_size(std::int64_t image_size, std::int64_t step, const char* what) {
  if (image_size % step == 0) return;
  const auto below = image_size / step * step;
  throw InvalidArgument(fmt::format("image_size {} is no multiple of {}{}: choose {}{}", image_size, what, step,
                                    below > 0 ? fmt::format("{} or ", below) : "", below + step));
}

void require_rate(double rate, const char* what) {
  if (!(rate >= 0 && rate < 1)) throw InvalidArgument(fmt::format("{} is {}; it must be in [0, 1)", what, rate));
}

void init_linear(torch::nn::LinearImpl& linear, double std) {
  const torch::NoGradGuard no_grad;
  // Cut at ±2 absolute, as timm does: with std 0.02 the cut never bites, so a plain normal is the same law.
  linear.weight.normal_(0.0, std);
  if (linear.bias.defined()) linear.bias.zero_();
}

Linear linear(std::int64_t in, std::int64_t out) {
  auto layer = Linear(in, out);
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
