#include <sslmeme/nn/bert.hpp>

#include <sslmeme/core/error.hpp>
#include <sslmeme/nn/activation_checkpoint.hpp>

#include "nn/layers.hpp"

#include <fmt/format.h>
#include <torch/nn/init.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>

namespace sslmeme {
namespace {

constexpr double norm_eps = 1e-12;

using detail::linear;

/// Dropout(dense(x)) + residual, normed: BertSelfOutput and BertOutput.
class Output : public torch::nn::Module {
 public:
  Output(std::int64_t in, std::int64_t width, double dropout)
      : dense_{register_module("dense", linear(in, width))},
        norm_{register_module("LayerNorm", detail::layer_norm(width, norm_eps))},
        dropout_{dropout} {}

  Tensor forward(const Tensor& x, const Tensor& residual) {
    return norm_->forward(torch::dropout(dense_->forward(x), dropout_, is_training()) + residual);
  }

 private:
  torch::nn::Linear dense_;
  torch::nn::LayerNorm norm_;
  double dropout_;
};

class SelfAttention : public torch::nn::Module {
 public:
  SelfAttention(std::int64_t width, std::int64_t heads)
      : heads_{heads},
        query_{register_module("query", linear(width, width))},
        key_{register_module("key", linear(width, width))},
        value_{register_module("value", linear(width, width))} {}

  Tensor forward(const Tensor& x, const Tensor& bias) {
    const auto n = x.size(0), length = x.size(1), width = x.size(2);
    const auto split = [&](const Tensor& y) { return y.reshape({n, length, heads_, width / heads_}).transpose(1, 2); };
    const auto mixed =
        detail::attention(split(query_->forward(x)), split(key_->forward(x)), split(value_->forward(x)), bias);
    return mixed.transpose(1, 2).reshape({n, length, width});
  }

 private:
  std::int64_t heads_;
  torch::nn::Linear query_, key_, value_;
};

class AttentionBlock : public torch::nn::Module {
 public:
  explicit AttentionBlock(const BertOptions& options)
      : self_{register_module("self", std::make_shared<SelfAttention>(options.width, options.heads))},
        output_{register_module("output", std::make_shared<Output>(options.width, options.width, options.dropout))} {}

  Tensor forward(const Tensor& x, const Tensor& bias) { return output_->forward(self_->forward(x, bias), x); }

 private:
  std::shared_ptr<SelfAttention> self_;
  std::shared_ptr<Output> output_;
};

class Intermediate : public torch::nn::Module {
 public:
  Intermediate(std::int64_t width, std::int64_t hidden) : dense_{register_module("dense", linear(width, hidden))} {}
  Tensor forward(const Tensor& x) { return torch::gelu(dense_->forward(x)); }

 private:
  torch::nn::Linear dense_;
};

class Layer : public torch::nn::Module {
 public:
  explicit Layer(const BertOptions& options)
      : attention_{register_module("attention", std::make_shared<AttentionBlock>(options))},
        intermediate_{
            register_module("intermediate", std::make_shared<Intermediate>(options.width, options.mlp_width))},
        output_{
            register_module("output", std::make_shared<Output>(options.mlp_width, options.width, options.dropout))} {}

  Tensor forward(const Tensor& x, const Tensor& bias) {
    const auto y = attention_->forward(x, bias);
    return output_->forward(intermediate_->forward(y), y);
  }

 private:
  std::shared_ptr<AttentionBlock> attention_;
  std::shared_ptr<Intermediate> intermediate_;
  std::shared_ptr<Output> output_;
};

class Encoder : public torch::nn::Module {
 public:
  explicit Encoder(const BertOptions& options) {
    const auto list = register_module("layer", torch::nn::ModuleList());
    for (std::int64_t i = 0; i < options.depth; ++i) {
      layers_.push_back(std::make_shared<Layer>(options));
      list->push_back(layers_.back());
    }
  }

  Tensor forward(Tensor x, const Tensor& bias, bool checkpoint) {
    for (const auto& layer : layers_) {
      const auto forward = [layer, bias](const Tensor& y) { return layer->forward(y, bias); };
      x = checkpoint ? checkpointed(*layer, forward, x) : forward(x);
    }
    return x;
  }

 private:
  std::vector<std::shared_ptr<Layer>> layers_;
};

class Embeddings : public torch::nn::Module {
 public:
  explicit Embeddings(const BertOptions& options)
      : words_{table("word_embeddings", options.vocabulary_size, options.width)},
        positions_{table("position_embeddings", options.max_tokens, options.width)},
        types_{table("token_type_embeddings", 2, options.width)},
        norm_{register_module("LayerNorm", detail::layer_norm(options.width, norm_eps))},
        dropout_{options.dropout} {}

  Tensor forward(const Tensor& tokens) {
    const auto x = words_->forward(tokens) + types_->weight[0] + positions_->weight.narrow(0, 0, tokens.size(1));
    return torch::dropout(norm_->forward(x), dropout_, is_training());
  }

 private:
  torch::nn::Embedding table(const char* name, std::int64_t rows, std::int64_t width) {
    auto embedding = register_module(name, torch::nn::Embedding(rows, width));
    torch::nn::init::normal_(embedding->weight, 0.0, 0.02);
    return embedding;
  }

  torch::nn::Embedding words_, positions_, types_;
  torch::nn::LayerNorm norm_;
  double dropout_;
};

void check(const BertOptions& options) {
  detail::require_positive(options.vocabulary_size, "BertOptions::vocabulary_size");
  detail::require_positive(options.max_tokens, "BertOptions::max_tokens");
  detail::require_positive(options.width, "BertOptions::width");
  detail::require_positive(options.depth, "BertOptions::depth");
  detail::require_positive(options.heads, "BertOptions::heads");
  detail::require_positive(options.mlp_width, "BertOptions::mlp_width");
  if (options.width % options.heads != 0) {
    throw InvalidArgument(fmt::format("width {} is no multiple of the {} heads", options.width, options.heads));
  }
  if (!(options.dropout >= 0 && options.dropout < 1)) {
    throw InvalidArgument(fmt::format("dropout is {}; it must be in [0, 1)", options.dropout));
  }
}

class Bert final : public TextBackbone {
 public:
  explicit Bert(const BertOptions& options) : options_{options} {
    check(options);
    embeddings_ = register_module("embeddings", std::make_shared<Embeddings>(options));
    encoder_ = register_module("encoder", std::make_shared<Encoder>(options));
  }

  std::int64_t feature_dim() const override { return options_.width; }

  Tensor forward(const Tensor& tokens, const Tensor& mask) override {
    if (tokens.dim() != 2 || mask.sizes() != tokens.sizes()) {
      throw InvalidArgument(
          fmt::format("tokens are {}, mask is {}; both must be (N, L)", shape_string(tokens), shape_string(mask)));
    }
    if (tokens.size(1) > options_.max_tokens) {
      throw InvalidArgument(fmt::format("{} tokens, this text encoder takes at most {}: tokenize with that max_tokens",
                                        tokens.size(1), options_.max_tokens));
    }
    Tensor bias;
    if (!mask.all().item<bool>()) {
      bias = torch::zeros(mask.sizes(), torch::dtype(torch::kFloat).device(mask.device()))
                 .masked_fill_(mask.logical_not(), -1e9)
                 .unsqueeze(1)
                 .unsqueeze(1);
    }
    const auto hidden = encoder_->forward(embeddings_->forward(tokens), bias, grad_checkpointing());
    if (options_.pooling == Pooling::first) return hidden.select(1, 0);
    const auto type = hidden.scalar_type() == torch::kDouble ? torch::kDouble : torch::kFloat;
    const auto weight = mask.unsqueeze(-1).to(type);
    return (hidden.to(type) * weight).sum(1) / weight.sum(1).clamp_min(1e-9);
  }

 private:
  BertOptions options_;
  std::shared_ptr<Embeddings> embeddings_;
  std::shared_ptr<Encoder> encoder_;
};

}  // namespace

TextEncoder make_bert(const BertOptions& options) {
  return std::make_shared<Bert>(options);
}

}  // namespace sslmeme
