// What BERT and its kin share.
#pragma once

#include <sslmeme/nn/bert.hpp>
#include <sslmeme/nn/token_pooling.hpp>

#include "nn/layers.hpp"

#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/normalization.h>

#include <memory>
#include <vector>

namespace sslmeme::detail {

inline constexpr double bert_norm_eps = 1e-12;

/// Words and positions, and with `typed` what kind of sentence a token is in, which is always the first.
class BertEmbeddings : public torch::nn::Module {
 public:
  BertEmbeddings(const BertOptions& options, bool typed);
  /// (N, L) to (N, L, D)
  Tensor forward(const Tensor& tokens);

 private:
  /// From a normal of deviation 0.02, as BERT starts.
  torch::nn::Embedding table(const char* name, std::int64_t rows, std::int64_t width);

  torch::nn::Embedding words_, positions_, types_;
  torch::nn::LayerNorm norm_;
  double dropout_;
};

/// Multi-head attention of projections of x: query (N, L or 1, width), key and value (N, L, width).
Tensor self_attention(const Tensor& query, const Tensor& key, const Tensor& value, const BertOptions& options,
                      bool training, const LayerRequest& request);

/// All layers, each a module made of the options with forward(x, LayerRequest).
template <class Layer>
class BertLayers : public torch::nn::Module {
 public:
  explicit BertLayers(const BertOptions& options) {
    const auto list = register_module("layer", torch::nn::ModuleList());
    for (std::int64_t i = 0; i < options.depth; ++i) {
      layers_.push_back(std::make_shared<Layer>(options));
      list->push_back(layers_.back());
    }
  }

  Tensor forward(const Tensor& x, const LayersRequest& request) { return run_layers(layers_, x, request); }

 private:
  std::vector<std::shared_ptr<Layer>> layers_;
};

/// What these encoders do before and behind their layers.
class BertLike : public TextBackbone, public TextPooling {
 public:
  /// Throws InvalidArgument for options that no encoder can be built of.
  explicit BertLike(const BertOptions& options);

  std::int64_t feature_dim() const override { return options_.width; }
  std::int64_t max_tokens() const override { return options_.max_tokens; }
  Tensor forward(const Tensor& tokens, const Tensor& mask) override;
  Encoded encode(const Tensor& tokens, const Tensor& mask, const EncodeRequest& request) override;
  Tensor token_weights(const Tensor& tokens, const Tensor& mask) const override;

 protected:
  const BertOptions& options() const { return options_; }

 private:
  /// Tokens (N, L) to the last hidden states (N, L or 1, D). request.bias is undefined where no token is padding.
  virtual Tensor hidden(const Tensor& tokens, const LayersRequest& request) = 0;

  Tensor padding_bias(const Tensor& tokens, const Tensor& mask) const;
  Tensor pooled(const Tensor& hidden, const Tensor& mask) const;

  BertOptions options_;
};

}  // namespace sslmeme::detail
