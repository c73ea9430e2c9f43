#include <sslmeme/nn/bert.hpp>

#include "nn/layers.hpp"
#include "nn/text_layers.hpp"

#include <torch/nn/modules/normalization.h>

namespace sslmeme {
namespace {

using detail::linear;

class Attention : public torch::nn::Module {
 public:
  explicit Attention(const BertOptions& options)
      : options_{options},
        query_{register_module("q_lin", linear(options.width, options.width))},
        key_{register_module("k_lin", linear(options.width, options.width))},
        value_{register_module("v_lin", linear(options.width, options.width))},
        out_{register_module("out_lin", linear(options.width, options.width))} {}

  Tensor forward(const Tensor& x, const detail::LayerRequest& request) {
    return out_->forward(detail::self_attention(query_->forward(request.asked(x)), key_->forward(x), value_->forward(x),
                                                options_, is_training(), request));
  }

 private:
  BertOptions options_;
  detail::Linear query_, key_, value_, out_;
};

class Mlp : public torch::nn::Module {
 public:
  explicit Mlp(const BertOptions& options)
      : dropout_{options.dropout},
        first_{register_module("lin1", linear(options.width, options.mlp_width))},
        second_{register_module("lin2", linear(options.mlp_width, options.width))} {}

  Tensor forward(const Tensor& x) {
    return torch::dropout(second_->forward(torch::gelu(first_->forward(x))), dropout_, is_training());
  }

 private:
  double dropout_;
  detail::Linear first_, second_;
};

class Block : public torch::nn::Module {
 public:
  explicit Block(const BertOptions& options)
      : attention_{register_module("attention", std::make_shared<Attention>(options))},
        attention_norm_{register_module("sa_layer_norm", detail::layer_norm(options.width, detail::bert_norm_eps))},
        mlp_{register_module("ffn", std::make_shared<Mlp>(options))},
        norm_{register_module("output_layer_norm", detail::layer_norm(options.width, detail::bert_norm_eps))} {}

  Tensor forward(const Tensor& x, const detail::LayerRequest& request) {
    const auto branch = attention_->forward(x, request);
    const auto y = attention_norm_->forward(detail::residual(request.asked(x), branch));
    return norm_->forward(detail::residual(y, mlp_->forward(y)));
  }

 private:
  std::shared_ptr<Attention> attention_;
  torch::nn::LayerNorm attention_norm_;
  std::shared_ptr<Mlp> mlp_;
  torch::nn::LayerNorm norm_;
};

class DistilBert final : public detail::BertLike {
 public:
  explicit DistilBert(const BertOptions& options)
      : BertLike{options},
        embeddings_{register_module("embeddings", std::make_shared<detail::BertEmbeddings>(options, /*typed=*/false))},
        transformer_{register_module("transformer", std::make_shared<detail::BertLayers<Block>>(options))} {}

 private:
  Tensor hidden(const Tensor& tokens, const detail::LayersRequest& request) override {
    return transformer_->forward(embeddings_->forward(tokens), request);
  }

  std::shared_ptr<detail::BertEmbeddings> embeddings_;
  std::shared_ptr<detail::BertLayers<Block>> transformer_;
};

}  // namespace

TextEncoder make_distilbert(const BertOptions& options) {
  return std::make_shared<DistilBert>(options);
}

}  // namespace sslmeme
