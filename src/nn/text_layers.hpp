// What BERT and its kin share.
#pragma once

#include <sslmeme/nn/activation_checkpoint.hpp>
#include <sslmeme/nn/bert.hpp>

#include <torch/nn/modules/embedding.h>

#include <memory>
#include <vector>

namespace sslmeme::detail {

inline constexpr double bert_norm_eps = 1e-12;

/// A table of `rows` vectors from a normal of deviation 0.02, as BERT starts.
torch::nn::Embedding bert_embedding(std::int64_t rows, std::int64_t width);

/// Multi-head attention of projections of x, each (N, L, width). `weights`: as AttentionOptions::weights, or null.
Tensor self_attention(const Tensor& query, const Tensor& key, const Tensor& value, const BertOptions& options,
                      const Tensor& bias, bool training, Tensor* weights);

/// x through all layers, each a module with forward(x, bias, weights). `attention`, where not null, takes the weights
/// of each; then nothing is checkpointed.
template <class Layer>
Tensor through(const std::vector<std::shared_ptr<Layer>>& layers, Tensor x, const Tensor& bias, bool checkpoint,
               std::vector<Tensor>* attention) {
  for (const auto& layer : layers) {
    if (attention != nullptr) {
      x = layer->forward(x, bias, &attention->emplace_back());
    } else if (checkpoint) {
      x = checkpointed(*layer, [layer, bias](const Tensor& y) { return layer->forward(y, bias, nullptr); }, x);
    } else {
      x = layer->forward(x, bias, nullptr);
    }
  }
  return x;
}

/// What these encoders do before and behind their layers.
class BertLike : public TextBackbone {
 public:
  /// Throws InvalidArgument for options that no encoder can be built of.
  explicit BertLike(const BertOptions& options);

  std::int64_t feature_dim() const override { return options_.width; }
  std::int64_t max_tokens() const override { return options_.max_tokens; }
  Tensor forward(const Tensor& tokens, const Tensor& mask) override;
  Encoded encode(const Tensor& tokens, const Tensor& mask, const EncodeRequest& request) override;

 protected:
  const BertOptions& options() const { return options_; }

 private:
  /// Tokens (N, L) to the last hidden states (N, L, D). bias: f32 (N, 1, 1, L), undefined where no token is padding.
  virtual Tensor hidden(const Tensor& tokens, const Tensor& bias, std::vector<Tensor>* attention) = 0;

  Tensor padding_bias(const Tensor& tokens, const Tensor& mask) const;
  Tensor pooled(const Tensor& hidden, const Tensor& mask) const;

  BertOptions options_;
};

}  // namespace sslmeme::detail
