#include <sslmeme/nn/vit.hpp>

#include <sslmeme/core/error.hpp>
#include <sslmeme/nn/activation_checkpoint.hpp>

#include "nn/layers.hpp"

#include <fmt/format.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>

namespace sslmeme {
namespace {

constexpr double norm_eps = 1e-6;

using detail::linear;

class Attention : public torch::nn::Module {
 public:
  Attention(std::int64_t width, std::int64_t heads)
      : heads_{heads},
        qkv_{register_module("qkv", linear(width, 3 * width))},
        proj_{register_module("proj", linear(width, width))} {}

  Tensor forward(const Tensor& x) {
    const auto n = x.size(0), length = x.size(1), width = x.size(2);
    const auto qkv = qkv_->forward(x).reshape({n, length, 3, heads_, width / heads_}).permute({2, 0, 3, 1, 4});
    const auto mixed = detail::attention(qkv[0], qkv[1], qkv[2]);
    return proj_->forward(mixed.transpose(1, 2).reshape({n, length, width}));
  }

 private:
  std::int64_t heads_;
  torch::nn::Linear qkv_, proj_;
};

class Mlp : public torch::nn::Module {
 public:
  Mlp(std::int64_t width, std::int64_t hidden)
      : fc1_{register_module("fc1", linear(width, hidden))}, fc2_{register_module("fc2", linear(hidden, width))} {}

  Tensor forward(const Tensor& x) { return fc2_->forward(torch::gelu(fc1_->forward(x))); }

 private:
  torch::nn::Linear fc1_, fc2_;
};

class Block : public torch::nn::Module {
 public:
  Block(std::int64_t width, std::int64_t heads)
      : norm1_{register_module("norm1", detail::layer_norm(width, norm_eps))},
        attn_{register_module("attn", std::make_shared<Attention>(width, heads))},
        norm2_{register_module("norm2", detail::layer_norm(width, norm_eps))},
        mlp_{register_module("mlp", std::make_shared<Mlp>(width, 4 * width))} {}

  Tensor forward(const Tensor& x) {
    const auto y = x + attn_->forward(norm1_->forward(x));
    return y + mlp_->forward(norm2_->forward(y));
  }

 private:
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
  if (options.image_size % options.patch_size != 0) {
    throw InvalidArgument(fmt::format("image_size {} is no multiple of patch_size {}: choose {} or {}",
                                      options.image_size, options.patch_size,
                                      options.image_size / options.patch_size * options.patch_size,
                                      (options.image_size / options.patch_size + 1) * options.patch_size));
  }
  if (options.width % options.heads != 0) {
    throw InvalidArgument(fmt::format("width {} is no multiple of the {} heads", options.width, options.heads));
  }
}

class VisionTransformer final : public ImageBackbone {
 public:
  explicit VisionTransformer(const VitOptions& options) : options_{options}, feature_dim_{options.width} {
    check(options);
    const auto side = options.image_size / options.patch_size;
    cls_token_ = register_parameter("cls_token", torch::randn({1, 1, options.width}) * 1e-6);
    pos_embed_ = register_parameter("pos_embed", torch::randn({1, 1 + side * side, options.width}) * 0.02);
    patch_embed_ = register_module("patch_embed", std::make_shared<PatchEmbed>(options.patch_size, options.width));
    const auto blocks = register_module("blocks", torch::nn::Sequential());
    for (std::int64_t i = 0; i < options.depth; ++i) {
      blocks_.push_back(std::make_shared<Block>(options.width, options.heads));
      blocks->push_back(blocks_.back());
    }
    norm_ = register_module("norm", detail::layer_norm(options.width, norm_eps));
    if (options.num_classes > 0) {
      head_ = register_module("head", linear(options.width, options.num_classes));
      feature_dim_ = options.num_classes;
    }
  }

  std::int64_t feature_dim() const override { return feature_dim_; }

  Tensor forward(const Tensor& images) override {
    check_size(images);
    const auto patches = patch_embed_->forward(images);
    const auto tokens = torch::cat({cls_token_.expand({images.size(0), -1, -1}).to(patches.scalar_type()), patches}, 1);
    auto x = tokens + positions(images.size(2), images.size(3));
    for (const auto& block : blocks_) {
      x = grad_checkpointing() ? checkpointed(
                                     *block, [block](const Tensor& y) { return block->forward(y); }, x)
                               : block->forward(x);
    }
    x = norm_->forward(x).select(1, 0);
    return head_ ? head_->forward(x) : x;
  }

 private:
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

  /// The positions of a picture's patches: for another size interpolated, bicubic with antialiasing, in fp32 (timm,
  /// resample_abs_pos_embed).
  Tensor positions(std::int64_t height, std::int64_t width) const {
    if (height == options_.image_size && width == options_.image_size) return pos_embed_;
    const auto side = options_.image_size / options_.patch_size;
    const auto rows = height / options_.patch_size, columns = width / options_.patch_size;
    const auto grid = pos_embed_.narrow(1, 1, side * side).reshape({1, side, side, -1}).permute({0, 3, 1, 2});
    const auto resized = at::_upsample_bicubic2d_aa(grid, {rows, columns}, /*align_corners=*/false);
    return torch::cat(
        {pos_embed_.narrow(1, 0, 1), resized.permute({0, 2, 3, 1}).reshape({1, rows * columns, grid.size(1)})}, 1);
  }

  VitOptions options_;
  std::int64_t feature_dim_;
  Tensor cls_token_, pos_embed_;
  std::shared_ptr<PatchEmbed> patch_embed_;
  std::vector<std::shared_ptr<Block>> blocks_;
  torch::nn::LayerNorm norm_{nullptr};
  torch::nn::Linear head_{nullptr};
};

}  // namespace

ImageEncoder make_vit(const VitOptions& options) {
  return std::make_shared<VisionTransformer>(options);
}

}  // namespace sslmeme
