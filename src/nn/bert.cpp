#include <sslmeme/nn/bert.hpp>

#include "nn/layers.hpp"
#include "nn/text_layers.hpp"

#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>

namespace sslmeme {
namespace {

using detail::linear;

/// Dropout(dense(x)) + residual, normed: BertSelfOutput and BertOutput.
class Output : public torch::nn::Module {
 public:
  Output(std::int64_t in, std::int64_t width, double dropout)
      : dense_{register_module("dense", linear(in, width))},
        norm_{register_module("LayerNorm", detail::layer_norm(width, detail::bert_norm_eps))},
        dropout_{dropout} {}

  Tensor forward(const Tensor& x, const Tensor& residual) {
    return norm_->forward(detail::residual(residual, torch::dropout(dense_->forward(x), dropout_, is_training())));
  }

 private:
  torch::nn::Linear dense_;
  torch::nn::LayerNorm norm_;
  double dropout_;
};

class SelfAttention : public torch::nn::Module {
 public:
  explicit SelfAttention(const BertOptions& options)
      : options_{options},
        query_{register_module("query", linear(options.width, options.width))},
        key_{register_module("key", linear(options.width, options.width))},
        value_{register_module("value", linear(options.width, options.width))} {}

  Tensor forward(const Tensor& x, const Tensor& bias, Tensor* weights) {
    return detail::self_attention(query_->forward(x), key_->forward(x), value_->forward(x), options_, bias,
                                  is_training(), weights);
  }

 private:
  BertOptions options_;
  torch::nn::Linear query_, key_, value_;
};

class AttentionBlock : public torch::nn::Module {
 public:
  explicit AttentionBlock(const BertOptions& options)
      : self_{register_module("self", std::make_shared<SelfAttention>(options))},
        output_{register_module("output", std::make_shared<Output>(options.width, options.width, options.dropout))} {}

  Tensor forward(const Tensor& x, const Tensor& bias, Tensor* weights) {
    return output_->forward(self_->forward(x, bias, weights), x);
  }

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

  Tensor forward(const Tensor& x, const Tensor& bias, Tensor* weights) {
    const auto y = attention_->forward(x, bias, weights);
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

  const std::vector<std::shared_ptr<Layer>>& layers() const { return layers_; }

 private:
  std::vector<std::shared_ptr<Layer>> layers_;
};

class Embeddings : public torch::nn::Module {
 public:
  explicit Embeddings(const BertOptions& options)
      : words_{register_module("word_embeddings", detail::bert_embedding(options.vocabulary_size, options.width))},
        positions_{register_module("position_embeddings", detail::bert_embedding(options.max_tokens, options.width))},
        types_{register_module("token_type_embeddings", detail::bert_embedding(2, options.width))},
        norm_{register_module("LayerNorm", detail::layer_norm(options.width, detail::bert_norm_eps))},
        dropout_{options.dropout} {}

  Tensor forward(const Tensor& tokens) {
    const auto x = words_->forward(tokens) + types_->weight[0] + positions_->weight.narrow(0, 0, tokens.size(1));
    return torch::dropout(norm_->forward(x), dropout_, is_training());
  }

 private:
  torch::nn::Embedding words_, positions_, types_;
  torch::nn::LayerNorm norm_;
  double dropout_;
};

class Bert final : public detail::BertLike {
 public:
  explicit Bert(const BertOptions& options)
      : BertLike{options},
        embeddings_{register_module("embeddings", std::make_shared<Embeddings>(options))},
        encoder_{register_module("encoder", std::make_shared<Encoder>(options))} {}

 private:
  Tensor hidden(const Tensor& tokens, const Tensor& bias, std::vector<Tensor>* attention) override {
    return detail::through(encoder_->layers(), embeddings_->forward(tokens), bias, grad_checkpointing(), attention);
  }

  std::shared_ptr<Embeddings> embeddings_;
  std::shared_ptr<Encoder> encoder_;
};

}  // namespace

TextEncoder make_bert(const BertOptions& options) {
  return std::make_shared<Bert>(options);
}

}  // namespace sslmeme
