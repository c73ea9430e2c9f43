#include <sslmeme/core/error.hpp>
#include <sslmeme/nn/clip.hpp>

#include "nn/clip_layers.hpp"
#include "nn/layers.hpp"

#include <fmt/format.h>
#include <torch/nn/init.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>

#include <cmath>

namespace sslmeme {
namespace {

constexpr std::int64_t reduction = 32;  ///< pixels of the picture in one of the feature map, along a side
constexpr std::int64_t expansion = 4;   ///< of a bottleneck's channels

torch::nn::Conv2d conv(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride = 1) {
  return torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, kernel).stride(stride).padding(kernel / 2).bias(false));
}

/// A bottleneck whose stride is an average pooling, in the branch before its last convolution and in the shortcut.
class Block : public torch::nn::Module {
 public:
  Block(std::int64_t in, std::int64_t width, std::int64_t stride)
      : stride_{stride},
        conv1_{register_module("conv1", conv(in, width, 1))},
        conv2_{register_module("conv2", conv(width, width, 3))},
        conv3_{register_module("conv3", conv(width, expansion * width, 1))},
        bn1_{register_module("bn1", torch::nn::BatchNorm2d(width))},
        bn2_{register_module("bn2", torch::nn::BatchNorm2d(width))},
        bn3_{register_module("bn3", torch::nn::BatchNorm2d(expansion * width))} {
    torch::nn::init::zeros_(bn3_->weight);
    if (stride != 1 || in != expansion * width) {
      // open_clip calls the pooling before them "-1"; it has no weights.
      downsample_ = register_module("downsample", torch::nn::Sequential(conv(in, expansion * width, 1),
                                                                        torch::nn::BatchNorm2d(expansion * width)));
    }
  }

  Tensor forward(const Tensor& x) {
    const auto y = bn2_->forward(conv2_->forward(bn1_->forward(conv1_->forward(x)).relu_())).relu_();
    const auto shortcut = downsample_ ? downsample_->forward(pooled(x)) : x;
    return bn3_->forward(conv3_->forward(pooled(y))).add_(shortcut).relu_();
  }

 private:
  Tensor pooled(const Tensor& x) const { return stride_ > 1 ? torch::avg_pool2d(x, stride_) : x; }

  std::int64_t stride_;
  torch::nn::Conv2d conv1_, conv2_, conv3_;
  torch::nn::BatchNorm2d bn1_, bn2_, bn3_;
  torch::nn::Sequential downsample_{nullptr};
};

/// Attention of the mean of a feature map over the mean and the map: open_clip's AttentionPool2d.
class AttentionPool : public torch::nn::Module {
 public:
  AttentionPool(std::int64_t side, std::int64_t width, std::int64_t heads, std::int64_t embed_dim)
      : heads_{heads},
        k_proj_{projection("k_proj", width, width)},
        q_proj_{projection("q_proj", width, width)},
        v_proj_{projection("v_proj", width, width)},
        c_proj_{projection("c_proj", width, embed_dim)} {
    positional_embedding_ = register_parameter(
        "positional_embedding", torch::randn({side * side + 1, width}) / std::sqrt(static_cast<double>(width)));
  }

  /// tokens: (N, L, width) without the mean. Returns (N, embed_dim).
  Tensor forward(const Tensor& tokens) {
    const auto x =
        torch::cat({tokens.mean(1, /*keepdim=*/true), tokens}, 1) + positional_embedding_.to(tokens.scalar_type());
    const auto split = [&](const Tensor& y) {
      return y.reshape({y.size(0), y.size(1), heads_, y.size(2) / heads_}).transpose(1, 2);
    };
    // The mean alone asks: open_clip computes the other rows and drops them.
    const auto mixed = detail::attention(split(q_proj_->forward(x.narrow(1, 0, 1))), split(k_proj_->forward(x)),
                                         split(v_proj_->forward(x)));
    return c_proj_->forward(mixed.flatten(1));
  }

 private:
  detail::Linear projection(const char* name, std::int64_t in, std::int64_t out) {
    auto layer = register_module(name, detail::Linear(in, out));
    torch::nn::init::normal_(layer->weight, 0, 1 / std::sqrt(static_cast<double>(in)));
    return layer;
  }

  std::int64_t heads_;
  detail::Linear k_proj_, q_proj_, v_proj_, c_proj_;
  Tensor positional_embedding_;
};

void check(const ClipResNetOptions& options) {
  detail::require_positive(options.image_size, "ClipResNetOptions::image_size");
  detail::require_positive(options.width, "ClipResNetOptions::width");
  detail::require_positive(options.heads, "ClipResNetOptions::heads");
  detail::require_positive(options.embed_dim, "ClipResNetOptions::embed_dim");
  for (const auto blocks : options.blocks) detail::require_positive(blocks, "ClipResNetOptions::blocks");
  if (options.width % 2 != 0) {
    throw InvalidArgument(
        fmt::format("ClipResNetOptions::width is {}; it must be even: the stem begins with half of it", options.width));
  }
  detail::require_heads(8 * expansion * options.width, options.heads);
  detail::require_image_size(options.image_size, reduction, "");
}

class ClipResNet final : public ImageBackbone {
 public:
  explicit ClipResNet(const ClipResNetOptions& options) : options_{options} {
    check(options);
    const auto half = options.width / 2;
    add_to_stem(conv(3, half, 3, 2));
    add_to_stem(conv(half, half, 3));
    add_to_stem(conv(half, options.width, 3));
    auto channels = options.width;
    for (std::size_t stage = 0; stage < 4; ++stage) {
      const auto width = options.width << stage;
      torch::nn::Sequential layer;
      for (std::int64_t block = 0; block < options.blocks[stage]; ++block) {
        blocks_.push_back(std::make_shared<Block>(channels, width, block == 0 && stage > 0 ? 2 : 1));
        layer->push_back(blocks_.back());
        channels = expansion * width;
      }
      register_module("layer" + std::to_string(stage + 1), layer);
    }
    attnpool_ = register_module("attnpool", std::make_shared<AttentionPool>(options.image_size / reduction, channels,
                                                                            options.heads, options.embed_dim));
  }

  std::int64_t feature_dim() const override { return options_.embed_dim; }
  std::int64_t image_size() const override { return options_.image_size; }

  Tensor forward(const Tensor& images) override { return attnpool_->forward(feature_map(images)); }

  Encoded encode(const Tensor& images, const EncodeRequest& request) override {
    if (request.attention) {
      throw InvalidArgument(
          "CLIP's ResNet gives no attention maps: ask for features and tokens alone, or take a CLIP ViT");
    }
    const auto tokens = feature_map(images);
    return {attnpool_->forward(tokens), request.tokens ? tokens : Tensor{}, {}};
  }

 private:
  void add_to_stem(torch::nn::Conv2d layer) {
    const auto number = std::to_string(stem_.size() + 1);
    const auto channels = layer->options.out_channels();
    stem_.push_back(register_module("conv" + number, std::move(layer)));
    stem_norms_.push_back(register_module("bn" + number, torch::nn::BatchNorm2d(channels)));
  }

  /// (N, 3, S, S) → (N, (S/32)², 32 · width), by rows
  Tensor feature_map(const Tensor& images) {
    detail::check_clip_pictures(images, options_.image_size);
    auto x = images.contiguous(torch::MemoryFormat::ChannelsLast);  // about twice as fast on CPUs
    for (std::size_t i = 0; i < stem_.size(); ++i) x = stem_norms_[i]->forward(stem_[i]->forward(x)).relu_();
    x = torch::avg_pool2d(x, 2);
    for (const auto& block : blocks_) x = detail::run_block(block, x, grad_checkpointing());
    return x.flatten(2).transpose(1, 2);
  }

  ClipResNetOptions options_;
  std::vector<torch::nn::Conv2d> stem_;
  std::vector<torch::nn::BatchNorm2d> stem_norms_;
  std::vector<std::shared_ptr<Block>> blocks_;
  std::shared_ptr<AttentionPool> attnpool_;
};

}  // namespace

ImageEncoder make_clip_resnet(const ClipResNetOptions& options) {
  return std::make_shared<ClipResNet>(options);
}

}  // namespace sslmeme
