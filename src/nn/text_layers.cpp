#include "nn/text_layers.hpp"

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
  require_heads(options.width, options.heads);
  require_rate(options.dropout, "dropout");
  require_rate(options.attention_dropout.value_or(0), "attention_dropout");
}

}  // namespace

BertEmbeddings::BertEmbeddings(const BertOptions& options, bool typed)
    : words_{table("word_embeddings", options.vocabulary_size, options.width)},
      positions_{table("position_embeddings", options.max_tokens, options.width)},
      types_{typed ? table("token_type_embeddings", 2, options.width) : nullptr},
      norm_{register_module("LayerNorm", layer_norm(options.width, bert_norm_eps))},
      dropout_{options.dropout} {}

torch::nn::Embedding BertEmbeddings::table(const char* name, std::int64_t rows, std::int64_t width) {
  auto embedding = register_module(name, torch::nn::Embedding(rows, width));
  torch::nn::init::normal_(embedding->weight, 0.0, 0.02);
  return embedding;
}

Tensor BertEmbeddings::forward(const Tensor& tokens) {
  auto x = words_->forward(tokens);
  if (types_) x = x + types_->weight[0];
  return torch::dropout(norm_->forward(x + positions_->weight.narrow(0, 0, tokens.size(1))), dropout_, is_training());
}

Tensor self_attention(const Tensor& query, const Tensor& key, const Tensor& value, const BertOptions& options,
                      bool training, const LayerRequest& request) {
  const auto n = query.size(0), width = query.size(2), heads = options.heads;
  const auto split = [&](const Tensor& y) { return y.reshape({n, y.size(1), heads, width / heads}).transpose(1, 2); };
  const auto mixed = attention(split(query), split(key), split(value),
                               {.bias = request.bias,
                                .dropout = training ? options.attention_dropout.value_or(options.dropout) : 0,
                                .training = training,
                                .weights = request.weights});
  return mixed.transpose(1, 2).reshape({n, query.size(1), width});
}

BertLike::BertLike(const BertOptions& options) : options_{options} {
  check(options);
}

Tensor BertLike::padding_bias(const Tensor& tokens, const Tensor& mask) const {
  check_token_shapes(tokens, mask, options_.max_tokens);
  if (tokens.numel() == 0 || check_token_ids(tokens, options_.vocabulary_size, mask.all()) != 0) return {};
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

Tensor BertLike::token_weights(const Tensor& tokens, const Tensor& mask) const {
  if (options_.pooling == Pooling::first) {
    auto weights = torch::zeros(tokens.sizes(), torch::dtype(torch::kDouble).device(tokens.device()));
    weights.select(1, 0).fill_(1);
    return weights;
  }
  const auto real = mask.to(torch::kDouble);
  return real / real.sum(1, true).clamp_min(1e-9);
}

Tensor BertLike::forward(const Tensor& tokens, const Tensor& mask) {
  return encode(tokens, mask, {}).features;
}

Encoded BertLike::encode(const Tensor& tokens, const Tensor& mask, const EncodeRequest& request) {
  Encoded encoded;
  auto layers = layers_request(*this, request, encoded, pooled_token(options_.pooling));
  layers.bias = padding_bias(tokens, mask);
  const auto states = hidden(tokens, layers);
  encoded.features = pooled(states, mask);
  if (request.tokens) encoded.tokens = states;
  return encoded;
}

}  // namespace sslmeme::detail
