#include <sslmeme/nn/clip.hpp>
#include <sslmeme/nn/token_pooling.hpp>

#include "nn/clip_layers.hpp"
#include "nn/layers.hpp"

#include <torch/nn/init.h>
#include <torch/nn/modules/embedding.h>

#include <cmath>

namespace sslmeme {
namespace {

void check(const ClipTextOptions& options) {
  detail::require_positive(options.vocabulary_size, "ClipTextOptions::vocabulary_size");
  detail::require_positive(options.max_tokens, "ClipTextOptions::max_tokens");
  detail::require_positive(options.width, "ClipTextOptions::width");
  detail::require_positive(options.depth, "ClipTextOptions::depth");
  detail::require_positive(options.heads, "ClipTextOptions::heads");
  detail::require_positive(options.embed_dim, "ClipTextOptions::embed_dim");
  detail::require_heads(options.width, options.heads);
}

class ClipText final : public TextBackbone, public TextPooling {
 public:
  explicit ClipText(const ClipTextOptions& options) : options_{options} {
    check(options);
    const auto width = options.width;
    positional_embedding_ = register_parameter("positional_embedding", torch::empty({options.max_tokens, width}));
    text_projection_ = register_parameter("text_projection", torch::empty({width, options.embed_dim}));
    token_embedding_ = register_module("token_embedding", torch::nn::Embedding(options.vocabulary_size, width));
    transformer_ = register_module("transformer", std::make_shared<detail::ClipTransformer>(
                                                      detail::ClipTransformerOptions{.width = width,
                                                                                     .depth = options.depth,
                                                                                     .heads = options.heads,
                                                                                     .quick_gelu = options.quick_gelu,
                                                                                     .causal = true}));
    ln_final_ = register_module("ln_final", detail::clip_norm(width));
    torch::nn::init::normal_(token_embedding_->weight, 0, 0.02);
    torch::nn::init::normal_(positional_embedding_, 0, 0.01);
    torch::nn::init::normal_(text_projection_, 0, 1 / std::sqrt(static_cast<double>(width)));
    transformer_->init_as_text();
  }

  std::int64_t feature_dim() const override { return options_.embed_dim; }
  std::int64_t max_tokens() const override { return options_.max_tokens; }

  Tensor forward(const Tensor& tokens, const Tensor& mask) override { return encode(tokens, mask, {}).features; }

  Encoded encode(const Tensor& tokens, const Tensor& mask, const EncodeRequest& request) override {
    detail::check_token_shapes(tokens, mask, options_.max_tokens);
    const detail::OneToken end{tokens.argmax(1)};
    const auto longest = longest_of(tokens, end.index);
    const bool all = request.tokens || request.attention;
    const auto length = all ? tokens.size(1) : longest;
    Encoded encoded;
    const auto x = transformer_->forward(
        token_embedding_->forward(tokens.narrow(1, 0, length)) + positional_embedding_.narrow(0, 0, length),
        detail::layers_request(*this, request, encoded, end));
    if (request.tokens) encoded.tokens = ln_final_->forward(x);
    const auto pooled = request.tokens ? end.of(encoded.tokens) : ln_final_->forward(all ? end.of(x) : x);
    encoded.features = torch::matmul(pooled.squeeze(1), text_projection_);
    return encoded;
  }

  Tensor token_weights(const Tensor& tokens, const Tensor& /*mask*/) const override {
    return torch::zeros(tokens.sizes(), torch::dtype(torch::kDouble).device(tokens.device()))
        .scatter_(1, tokens.argmax(1, /*keepdim=*/true), 1.0);
  }

  /// Linear, without antialiasing: open_clip's resize_text_pos_embed.
  Tensor resampled(const std::string& name, const Tensor& stored) const override {
    if (name != "positional_embedding" || stored.dim() != 2 || stored.size(1) != options_.width) return {};
    if (stored.size(0) == 0 || !stored.is_floating_point()) return {};
    if (stored.size(0) == options_.max_tokens) return stored;
    const auto rows = stored.to(torch::kFloat).t().unsqueeze(0);
    const auto resized = at::upsample_linear1d(rows, {options_.max_tokens}, /*align_corners=*/false);
    return resized.squeeze(0).t().contiguous().to(stored.scalar_type());
  }

 private:
  /// Tokens up to the last end of the batch. Throws InvalidArgument for an id outside the vocabulary.
  std::int64_t longest_of(const Tensor& tokens, const Tensor& ends) const {
    if (tokens.numel() == 0) return tokens.size(1);
    return detail::check_token_ids(tokens, options_.vocabulary_size, ends.max()) + 1;
  }

  ClipTextOptions options_;
  Tensor positional_embedding_, text_projection_;
  torch::nn::Embedding token_embedding_{nullptr};
  std::shared_ptr<detail::ClipTransformer> transformer_;
  torch::nn::LayerNorm ln_final_{nullptr};
};

}  // namespace

TextEncoder make_clip_text(const ClipTextOptions& options) {
  return std::make_shared<ClipText>(options);
}

}  // namespace sslmeme
