#include <sslmeme/nn/vit.hpp>

#include <sslmeme/core/error.hpp>
#include <sslmeme/nn/token_pooling.hpp>

#include "nn/layers.hpp"

#include <fmt/format.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/normalization.h>

#include <optional>

namespace sslmeme {
namespace {

using detail::linear;

class Attention : public torch::nn::Module {
 public:
  explicit Attention(const VitOptions& options)
      : heads_{options.heads},
        drop_rate_{options.attn_drop_rate},
        proj_drop_rate_{options.proj_drop_rate},
        qkv_{register_module("qkv", linear(options.width, 3 * options.width))},
        proj_{register_module("proj", linear(options.width, options.width))} {}

  Tensor forward(const Tensor& x, const detail::LayerRequest& request) {
    const auto mixed =
        detail::packed_self_attention(x, qkv_->weight, qkv_->bias, heads_,
                                      {.dropout = is_training() ? drop_rate_ : 0, .training = is_training()}, request);
    return torch::dropout(proj_->forward(mixed), proj_drop_rate_, is_training());
  }

 private:
  std::int64_t heads_;
  double drop_rate_, proj_drop_rate_;
  detail::Linear qkv_, proj_;
};

class Mlp : public torch::nn::Module {
 public:
  Mlp(std::int64_t width, std::int64_t hidden, double drop_rate)
      : drop_rate_{drop_rate},
        fc1_{register_module("fc1", linear(width, hidden))},
        fc2_{register_module("fc2", linear(hidden, width))} {}

  Tensor forward(const Tensor& x) {
    const auto hidden = torch::dropout(torch::gelu(fc1_->forward(x)), drop_rate_, is_training());
    return torch::dropout(fc2_->forward(hidden), drop_rate_, is_training());
  }

 private:
  double drop_rate_;
  detail::Linear fc1_, fc2_;
};

class Block : public torch::nn::Module {
 public:
  Block(const VitOptions& options, std::int64_t index)
      : drop_path_rate_{detail::drop_path_rate(options.drop_path_rate, index, options.depth)},
        norm1_{register_module("norm1", detail::layer_norm(options.width, options.norm_eps))},
        attn_{register_module("attn", std::make_shared<Attention>(options))},
        norm2_{register_module("norm2", detail::layer_norm(options.width, options.norm_eps))},
        mlp_{register_module("mlp", std::make_shared<Mlp>(options.width, 4 * options.width, options.proj_drop_rate))} {}

  Tensor forward(const Tensor& x, const detail::LayerRequest& request) {
    const auto branch = maybe_dropped(attn_->forward(norm1_->forward(x), request));
    const auto y = detail::residual(request.asked(x), branch);
    return detail::residual(y, maybe_dropped(mlp_->forward(norm2_->forward(y))));
  }

 private:
  Tensor maybe_dropped(const Tensor& branch) const { return detail::drop_path(branch, drop_path_rate_, is_training()); }

  double drop_path_rate_;
  torch::nn::LayerNorm norm1_;
  std::shared_ptr<Attention> attn_;
  torch::nn::LayerNorm norm2_;
  std::shared_ptr<Mlp> mlp_;
};

class PatchEmbed : public torch::nn::Module {
 public:
  PatchEmbed(std::int64_t patch, std::int64_t width)
      : proj_{register_module("proj", torch::nn::Conv2d(torch::nn::Conv2dOptions(3, width, patch).stride(patch)))} {}

  /// (N, 3, S, S) → (N, patches, width)
  Tensor forward(const Tensor& images) { return proj_->forward(images).flatten(2).transpose(1, 2); }

 private:
  torch::nn::Conv2d proj_;
};

void check(const VitOptions& options) {
  detail::require_positive(options.image_size, "VitOptions::image_size");
  detail::require_positive(options.patch_size, "VitOptions::patch_size");
  detail::require_positive(options.width, "VitOptions::width");
  detail::require_positive(options.depth, "VitOptions::depth");
  detail::require_positive(options.heads, "VitOptions::heads");
  detail::require_image_size(options.image_size, options.patch_size, "patch_size ");
  detail::require_heads(options.width, options.heads);
  if (!(options.norm_eps >= 0)) {
    throw InvalidArgument(fmt::format("VitOptions::norm_eps is {}; it must be zero or more", options.norm_eps));
  }
  detail::require_rate(options.drop_rate, "drop_rate");
  detail::require_rate(options.pos_drop_rate, "pos_drop_rate");
  detail::require_rate(options.patch_drop_rate, "patch_drop_rate");
  detail::require_rate(options.proj_drop_rate, "proj_drop_rate");
  detail::require_rate(options.attn_drop_rate, "attn_drop_rate");
  detail::require_rate(options.drop_path_rate, "drop_path_rate");
}

class VisionTransformer final : public ImageBackbone, public PicturePooling {
 public:
  explicit VisionTransformer(const VitOptions& options) : options_{options}, feature_dim_{options.width} {
    check(options);
    const auto side = grid_side();
    cls_token_ = register_parameter("cls_token", torch::randn({1, 1, options.width}) * 1e-6);
    pos_embed_ = register_parameter("pos_embed", torch::randn({1, 1 + side * side, options.width}) * 0.02);
    patch_embed_ = register_module("patch_embed", std::make_shared<PatchEmbed>(options.patch_size, options.width));
    const auto blocks = register_module("blocks", torch::nn::ModuleList());
    for (std::int64_t i = 0; i < options.depth; ++i) {
      blocks_.push_back(std::make_shared<Block>(options, i));
      blocks->push_back(blocks_.back());
    }
    auto norm = detail::layer_norm(options.width, options.norm_eps);
    if (options.pooling == Pooling::mean) {
      fc_norm_ = register_module("fc_norm", norm);
    } else {
      norm_ = register_module("norm", norm);
    }
    if (options.num_classes > 0) {
      head_ = register_module("head", linear(options.width, options.num_classes));
      feature_dim_ = options.num_classes;
    }
  }

  std::int64_t feature_dim() const override { return feature_dim_; }
  std::int64_t image_size() const override { return options_.image_size; }

  Tensor forward(const Tensor& images) override { return encode(images, {}).features; }

  Encoded encode(const Tensor& images, const EncodeRequest& request) override {
    Encoded result;
    const auto x =
        detail::run_layers(blocks_, embedded(images), detail::layers_request(*this, request, result, pooled_token()));
    result.features = pooled(x);
    if (request.tokens) result.tokens = norm_ ? norm_->forward(x) : x;
    return result;
  }

  Tensor token_weights(std::int64_t length) const override { return detail::pooling_weights(options_.pooling, length); }

  std::vector<std::string> no_decay() const override { return {"pos_embed", "cls_token"}; }

  Tensor resampled(const std::string& name, const Tensor& stored) const override {
    if (name != "pos_embed" || stored.dim() != 3 || stored.size(0) != 1 || stored.size(2) != options_.width) return {};
    const auto side = detail::grid_side(stored.size(1));
    if (side == 0 || !stored.is_floating_point()) return {};
    return side == grid_side() ? stored : resized(stored, grid_side(), grid_side());
  }

 private:
  /// The class token, where nothing else of the last block is needed. Dropout within the block draws timm's numbers
  /// only if it draws them for all tokens.
  std::optional<detail::OneToken> pooled_token() const {
    const bool drawn = is_training() && (options_.proj_drop_rate > 0 || options_.attn_drop_rate > 0);
    return drawn ? std::nullopt : detail::pooled_token(options_.pooling);
  }

  std::int64_t grid_side() const { return options_.image_size / options_.patch_size; }

  /// The tokens that the first block gets.
  Tensor embedded(const Tensor& images) {
    check_size(images);
    const auto patches = patch_embed_->forward(images);
    const auto tokens = torch::cat({cls_token_.expand({images.size(0), -1, -1}).to(patches.scalar_type()), patches}, 1);
    const auto x = tokens + positions(images.size(2), images.size(3));
    return without_some_patches(torch::dropout(x, options_.pos_drop_rate, is_training()));
  }

  Tensor pooled(const Tensor& x) {
    auto features =
        fc_norm_ ? fc_norm_->forward(x.narrow(1, 1, x.size(1) - 1).mean(1)) : norm_->forward(x.select(1, 0));
    features = torch::dropout(features, options_.drop_rate, is_training());
    return head_ ? head_->forward(features) : features;
  }

  /// In training a random choice of the patches for each picture, in random order (timm's PatchDropout).
  Tensor without_some_patches(const Tensor& tokens) const {
    if (!is_training() || options_.patch_drop_rate == 0) return tokens;
    const auto n = tokens.size(0), patches = tokens.size(1) - 1;
    const auto order = torch::randn({n, patches}, tokens.device()).argsort(-1, /*descending=*/false);
    return detail::keep_patches(tokens, order.narrow(1, 0, detail::kept_patches(patches, options_.patch_drop_rate)));
  }

  void check_size(const Tensor& images) const {
    const auto side = options_.image_size, patch = options_.patch_size;
    const bool pictures = images.dim() == 4 && images.size(1) == 3;
    if (options_.dynamic_img_size) {
      if (pictures && images.numel() > 0 && images.size(2) % patch == 0 && images.size(3) % patch == 0) return;
      throw InvalidArgument(fmt::format("this ViT takes pictures (N, 3, H, W), H and W multiples of {}, got {}", patch,
                                        shape_string(images)));
    }
    if (pictures && images.size(2) == side && images.size(3) == side) return;
    throw InvalidArgument(
        fmt::format("this ViT takes pictures (N, 3, {0}, {0}), got {1}: make the views of that size, or the "
                    "encoder with {{.image_size = {2}}}",
                    side, shape_string(images), images.dim() == 4 ? images.size(3) : 0));
  }

  /// The positions of a picture's tokens.
  Tensor positions(std::int64_t height, std::int64_t width) const {
    if (height == options_.image_size && width == options_.image_size) return pos_embed_;
    return resized(pos_embed_, height / options_.patch_size, width / options_.patch_size);
  }

  /// positions (1, 1 + s², D) for a grid of rows × columns
  static Tensor resized(const Tensor& positions, std::int64_t rows, std::int64_t columns) {
    return detail::resized_positions(positions.squeeze(0), rows, columns).unsqueeze(0);
  }

  VitOptions options_;
  std::int64_t feature_dim_;
  Tensor cls_token_, pos_embed_;
  std::shared_ptr<PatchEmbed> patch_embed_;
  std::vector<std::shared_ptr<Block>> blocks_;
  torch::nn::LayerNorm norm_{nullptr}, fc_norm_{nullptr};  ///< one of them: behind the blocks, or behind pooling
  detail::Linear head_{nullptr};
};

}  // namespace

ImageEncoder make_vit(const VitOptions& options) {
  return std::make_shared<VisionTransformer>(options);
}

}  // namespace sslmeme
