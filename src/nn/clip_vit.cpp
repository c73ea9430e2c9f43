#include <sslmeme/nn/clip.hpp>
#include <sslmeme/nn/token_pooling.hpp>

#include "nn/clip_layers.hpp"
#include "nn/layers.hpp"

#include <torch/nn/modules/conv.h>

#include <cmath>

namespace sslmeme {
namespace {

void check(const ClipVitOptions& options) {
  detail::require_positive(options.image_size, "ClipVitOptions::image_size");
  detail::require_positive(options.patch_size, "ClipVitOptions::patch_size");
  detail::require_positive(options.width, "ClipVitOptions::width");
  detail::require_positive(options.depth, "ClipVitOptions::depth");
  detail::require_positive(options.heads, "ClipVitOptions::heads");
  detail::require_positive(options.embed_dim, "ClipVitOptions::embed_dim");
  detail::require_rate(options.patch_drop_rate, "ClipVitOptions::patch_drop_rate");
  detail::require_heads(options.width, options.heads);
  detail::require_image_size(options.image_size, options.patch_size, "patch_size ");
}

/// The class token and a random choice of the patches, another for each picture.
Tensor drop_patches(const Tensor& x, double rate) {
  const auto patches = x.size(1) - 1;
  const auto chosen = torch::rand({x.size(0), patches}, x.device()).topk(detail::kept_patches(patches, rate), 1);
  return detail::keep_patches(x, std::get<1>(chosen));
}

class ClipVit final : public ImageBackbone, public PicturePooling {
 public:
  explicit ClipVit(const ClipVitOptions& options) : options_{options} {
    check(options);
    const auto patch = options.patch_size, width = options.width;
    const auto side = options.image_size / patch;
    const auto scale = 1 / std::sqrt(static_cast<double>(width));
    class_embedding_ = register_parameter("class_embedding", torch::randn({width}) * scale);
    positional_embedding_ = register_parameter("positional_embedding", torch::randn({1 + side * side, width}) * scale);
    proj_ = register_parameter("proj", torch::randn({width, options.embed_dim}) * scale);
    conv1_ = register_module("conv1",
                             torch::nn::Conv2d(torch::nn::Conv2dOptions(3, width, patch).stride(patch).bias(false)));
    ln_pre_ = register_module("ln_pre", detail::clip_norm(width));
    transformer_ = register_module("transformer", std::make_shared<detail::ClipTransformer>(
                                                      detail::ClipTransformerOptions{.width = width,
                                                                                     .depth = options.depth,
                                                                                     .heads = options.heads,
                                                                                     .quick_gelu = options.quick_gelu,
                                                                                     .causal = false}));
    ln_post_ = register_module("ln_post", detail::clip_norm(width));
  }

  std::int64_t feature_dim() const override { return options_.embed_dim; }
  std::int64_t image_size() const override { return options_.image_size; }

  Tensor forward(const Tensor& images) override { return encode(images, {}).features; }

  Encoded encode(const Tensor& images, const EncodeRequest& request) override {
    detail::check_clip_pictures(images, options_.image_size);
    const auto patches = conv1_->forward(images).flatten(2).transpose(1, 2);
    const auto type = patches.scalar_type();
    auto x = torch::cat({class_embedding_.to(type).expand({images.size(0), 1, -1}), patches}, 1) +
             positional_embedding_.to(type);
    if (is_training() && options_.patch_drop_rate > 0) x = drop_patches(x, options_.patch_drop_rate);
    Encoded encoded;
    const bool first = options_.pooling == Pooling::first;
    // Back to its own type as open_clip's LayerNorm does: autocast on a GPU norms in fp32.
    x = transformer_->forward(ln_pre_->forward(x).to(type),
                              detail::layers_request(*this, request, encoded, detail::pooled_token(options_.pooling)));
    const auto normed = ln_post_->forward(first && !request.tokens ? x.narrow(1, 0, 1) : x);
    const auto pooled = first ? normed.select(1, 0) : normed.narrow(1, 1, normed.size(1) - 1).mean(1);
    encoded.features = torch::matmul(pooled, proj_);
    if (request.tokens) encoded.tokens = normed;
    return encoded;
  }

  Tensor token_weights(std::int64_t length) const override { return detail::pooling_weights(options_.pooling, length); }

  /// Bicubic with antialiasing, the class token's position kept: open_clip's resize_pos_embed.
  Tensor resampled(const std::string& name, const Tensor& stored) const override {
    if (name != "positional_embedding" || stored.dim() != 2 || stored.size(1) != options_.width) return {};
    const auto stored_side = detail::grid_side(stored.size(0)), side = options_.image_size / options_.patch_size;
    if (stored_side == 0 || !stored.is_floating_point()) return {};
    return side == stored_side ? stored : detail::resized_positions(stored, side, side);
  }

 private:
  ClipVitOptions options_;
  Tensor class_embedding_, positional_embedding_, proj_;
  torch::nn::Conv2d conv1_{nullptr};
  torch::nn::LayerNorm ln_pre_{nullptr}, ln_post_{nullptr};
  std::shared_ptr<detail::ClipTransformer> transformer_;
};

}  // namespace

ImageEncoder make_clip_vit(const ClipVitOptions& options) {
  return std::make_shared<ClipVit>(options);
}

}  // namespace sslmeme
