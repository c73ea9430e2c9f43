#include "nn/text_layers.hpp"

#include <sslmeme/core/error.hpp>

#include "nn/layers.hpp"

#include <fmt/format.h>
#include <torch/nn/init.h>

namespace sslmeme::detail {
namespace {

void check(const BertOptions& options) {
  require_positive(options.vocabulary_size, "BertOptions::vocabulary_size");
  require_positive(options.max_tokens, "BertOptions::max_tokens");
  require_positive(options.width, "BertOptions::width");
  require_positive(options.depth, "BertOptions::depth");
  require_positive(options.heads, "BertOptions::heads");
  require_positive(options.mlp_width, "BertOptions::mlp_width");
  if (options.width % options.heads != 0) {
    throw InvalidArgument(fmt::format("width {} is no multiple of the {} heads", options.width, options.heads));
  }
  require_rate(options.dropout, "dropout");
  require_rate(options.attention_dropout.value_or(0), "attention_dropout");
}

}  // namespace

torch::nn::Embedding bert_embedding(std::int64_t rows, std::int64_t width) {
  auto embedding = torch::nn::Embedding(rows, width);
  torch::nn::init::normal_(embedding->weight, 0.0, 0.02);
  return embedding;
}

Tensor self_attention(const Tensor& query, const Tensor& key, const Tensor& value, const BertOptions& options,
                      const Tensor& bias, bool training, Tensor* weights) {
  const auto n = query.size(0), length = query.size(1), width = query.size(2), heads = options.heads;
  const auto split = [&](const Tensor& y) { return y.reshape({n, length, heads, width / heads}).transpose(1, 2); };
  const auto mixed = attention(split(query), split(key), split(value),
                               {.bias = bias,
                                .dropout = training ? options.attention_dropout.value_or(options.dropout) : 0,
                                .training = training,
                                .weights = weights});
  return mixed.transpose(1, 2).reshape({n, length, width});
}

BertLike::BertLike(const BertOptions& options) : options_{options} {
  check(options);
}

Tensor BertLike::padding_bias(const Tensor& tokens, const Tensor& mask) const {
  if (tokens.dim() != 2 || tokens.size(1) == 0 || mask.sizes() != tokens.sizes()) {
    throw InvalidArgument(fmt::format("tokens are {}, mask is {}; both must be (N, L), L at least 1",
                                      shape_string(tokens), shape_string(mask)));
  }
  if (tokens.size(1) > options_.max_tokens) {
    throw InvalidArgument(fmt::format("{} tokens, this text encoder takes at most {}: tokenize with that max_tokens",
                                      tokens.size(1), options_.max_tokens));
  }
  if (tokens.numel() == 0) return {};
  // One transfer from the device for all three.
  const auto facts = torch::stack({tokens.min(), tokens.max(), mask.all().to(tokens.scalar_type())}).cpu();
  const auto fact = [&](std::int64_t i) { return facts[i].item<std::int64_t>(); };
  if (fact(0) < 0 || fact(1) >= options_.vocabulary_size) {
    throw InvalidArgument(
        fmt::format("token id {} is outside the vocabulary of {}: ids are 0 to {}; tokenize with the encoder's own "
                    "vocabulary",
                    fact(0) < 0 ? fact(0) : fact(1), options_.vocabulary_size, options_.vocabulary_size - 1));
  }
  if (fact(2) != 0) return {};
  return torch::zeros(mask.sizes(), torch::dtype(torch::kFloat).device(mask.device()))
      .masked_fill_(mask.logical_not(), -6e4)  // finite in fp16 too
      .unsqueeze(1)
      .unsqueeze(1);
}

Tensor BertLike::pooled(const Tensor& hidden, const Tensor& mask) const {
  if (options_.pooling == Pooling::first) return hidden.select(1, 0);
  const auto type = hidden.scalar_type() == torch::kDouble ? torch::kDouble : torch::kFloat;
  const auto weight = mask.unsqueeze(-1).to(type);
  return (hidden.to(type) * weight).sum(1) / weight.sum(1).clamp_min(1e-9);
}

Tensor BertLike::forward(const Tensor& tokens, const Tensor& mask) {
  return pooled(hidden(tokens, padding_bias(tokens, mask), nullptr), mask);
}

Encoded BertLike::encode(const Tensor& tokens, const Tensor& mask, const EncodeRequest& request) {
  Encoded encoded;
  const auto states = hidden(tokens, padding_bias(tokens, mask), request.attention ? &encoded.attention : nullptr);
  encoded.features = pooled(states, mask);
  if (request.tokens) encoded.tokens = states;
  return encoded;
}

}  // namespace sslmeme::detail
