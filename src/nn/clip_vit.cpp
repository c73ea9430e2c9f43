#include <sslmeme/core/error.hpp>
#include <sslmeme/nn/clip.hpp>

#include "nn/clip_layers.hpp"
#include "nn/layers.hpp"

#include <fmt/format.h>
#include <torch/nn/modules/conv.h>

#include <algorithm>
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
  if (options.image_size % options.patch_size != 0) {
    const auto below = options.image_size / options.patch_size * options.patch_size;
    throw InvalidArgument(fmt::format(
        "image_size {} is no multiple of patch_size {}: choose {}", options.image_size, options.patch_size,
        below == 0 ? fmt::to_string(options.patch_size) : fmt::format("{} or {}", below, below + options.patch_size)));
  }
}

/// The class token and a random choice of the patches, another for each picture.
Tensor drop_patches(const Tensor& x, double rate) {
  const auto patches = x.size(1) - 1;
  // Truncated as Python's int() does it, so that the count is open_clip's for every rate.
  const auto kept = std::max<std::int64_t>(1, static_cast<std::int64_t>(static_cast<double>(patches) * (1 - rate)));
  const auto chosen = std::get<1>(torch::rand({x.size(0), patches}, x.device()).topk(kept, 1)) + 1;
  const auto places = torch::cat({torch::zeros({x.size(0), 1}, chosen.options()), chosen}, 1);
  return x.gather(1, places.unsqueeze(-1).expand({-1, -1, x.size(2)}));
}

class ClipVit final : public ImageBackbone {
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
    check_size(images);
    const auto patches = conv1_->forward(images).flatten(2).transpose(1, 2);
    const auto type = patches.scalar_type();
    auto x = torch::cat({class_embedding_.to(type).expand({images.size(0), 1, -1}), patches}, 1) +
             positional_embedding_.to(type);
    if (is_training() && options_.patch_drop_rate > 0) x = drop_patches(x, options_.patch_drop_rate);
    Encoded encoded;
    // Back to its own type as open_clip's LayerNorm does: autocast on a GPU norms in fp32.
    x = transformer_->forward(ln_pre_->forward(x).to(type), grad_checkpointing(),
                              request.attention ? &encoded.attention : nullptr);
    const bool first = options_.pooling == Pooling::first;
    const auto normed = ln_post_->forward(first && !request.tokens ? x.narrow(1, 0, 1) : x);
    const auto pooled = first ? normed.select(1, 0) : normed.narrow(1, 1, normed.size(1) - 1).mean(1);
    encoded.features = torch::matmul(pooled, proj_);
    if (request.tokens) encoded.tokens = normed;
    return encoded;
  }

  /// Bicubic with antialiasing, the class token's position kept: open_clip's resize_pos_embed.
  Tensor resampled(const std::string& name, const Tensor& stored) const override {
    if (name != "positional_embedding" || stored.dim() != 2 || stored.size(1) != options_.width) return {};
    const auto patches = stored.size(0) - 1;
    const auto old_side = static_cast<std::int64_t>(std::lround(std::sqrt(static_cast<double>(patches))));
    if (patches < 1 || old_side * old_side != patches || !stored.is_floating_point()) return {};
    const auto side = options_.image_size / options_.patch_size;
    if (side == old_side) return stored;
    const auto grid = stored.narrow(0, 1, patches).to(torch::kFloat).reshape({1, old_side, old_side, -1});
    const auto resized = at::_upsample_bicubic2d_aa(grid.permute({0, 3, 1, 2}), {side, side}, /*align_corners=*/false);
    const auto rows = resized.permute({0, 2, 3, 1}).reshape({side * side, options_.width});
    return torch::cat({stored.narrow(0, 0, 1), rows.to(stored.scalar_type())}, 0);
  }

 private:
  void check_size(const Tensor& images) const {
    const auto side = options_.image_size;
    if (images.dim() == 4 && images.size(1) == 3 && images.size(2) == side && images.size(3) == side) return;
    throw InvalidArgument(
        fmt::format("this CLIP tower takes pictures (N, 3, {0}, {0}), got {1}: make the views of that size, or the "
                    "encoder with their .image_size",
                    side, shape_string(images)));
  }

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
