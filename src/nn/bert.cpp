#include <sslmeme/nn/bert.hpp>

#include "nn/layers.hpp"
#include "nn/text_layers.hpp"

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
  detail::Linear dense_;
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

  Tensor forward(const Tensor& x, const detail::LayerRequest& request) {
    return detail::self_attention(query_->forward(request.asked(x)), key_->forward(x), value_->forward(x), options_,
                                  is_training(), request);
  }

 private:
  BertOptions options_;
  detail::Linear query_, key_, value_;
};

class AttentionBlock : public torch::nn::Module {
 public:
  explicit AttentionBlock(const BertOptions& options)
      : self_{register_module("self", std::make_shared<SelfAttention>(options))},
        output_{register_module("output", std::make_shared<Output>(options.width, options.width, options.dropout))} {}

  Tensor forward(const Tensor& x, const detail::LayerRequest& request) {
    return output_->forward(self_->forward(x, request), request.asked(x));
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
  detail::Linear dense_;
};

class Layer : public torch::nn::Module {
 public:
  explicit Layer(const BertOptions& options)
      : attention_{register_module("attention", std::make_shared<AttentionBlock>(options))},
        intermediate_{
            register_module("intermediate", std::make_shared<Intermediate>(options.width, options.mlp_width))},
        output_{
            register_module("output", std::make_shared<Output>(options.mlp_width, options.width, options.dropout))} {}

  Tensor forward(const Tensor& x, const detail::LayerRequest& request) {
    const auto y = attention_->forward(x, request);
    return output_->forward(intermediate_->forward(y), y);
  }

 private:
  std::shared_ptr<AttentionBlock> attention_;
  std::shared_ptr<Intermediate> intermediate_;
  std::shared_ptr<Output> output_;
};

class Bert final : public detail::BertLike {
 public:
  explicit Bert(const BertOptions& options)
      : BertLike{options},
        embeddings_{register_module("embeddings", std::make_shared<detail::BertEmbeddings>(options, /*typed=*/true))},
        encoder_{register_module("encoder", std::make_shared<detail::BertLayers<Layer>>(options))} {}

 private:
  Tensor hidden(const Tensor& tokens, const detail::LayersRequest& request) override {
    return encoder_->forward(embeddings_->forward(tokens), request);
  }

  std::shared_ptr<detail::BertEmbeddings> embeddings_;
  std::shared_ptr<detail::BertLayers<Layer>> encoder_;
};

}  // namespace

TextEncoder make_bert(const BertOptions& options) {
  return std::make_shared<Bert>(options);
}

}  // namespace sslmeme
