#include <sslmeme/nn/resnet.hpp>

#include <sslmeme/core/error.hpp>

#include "nn/layers.hpp"

#include <fmt/format.h>
#include <torch/nn/init.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

#include <numeric>

namespace sslmeme {
namespace {

/// oneDNN (3.x, AVX-512, several threads) writes past its buffer in the weight gradient of a channels-last 1×1
/// convolution of stride 2 when both sides have fewer channels than a vector holds.
constexpr std::int64_t narrowest_channels_last = 16;

torch::nn::Conv2d conv(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride) {
  auto layer =
      torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, kernel).stride(stride).padding(kernel / 2).bias(false));
  torch::nn::init::kaiming_normal_(layer->weight, 0.0, torch::kFanOut, torch::kReLU);
  return layer;
}

torch::nn::BatchNorm2d last_norm(std::int64_t channels) {
  auto norm = torch::nn::BatchNorm2d(channels);
  torch::nn::init::zeros_(norm->weight);
  return norm;
}

/// One residual block; `convs` holds its 2 (basic) or 3 (bottleneck) convolutions.
class Block : public torch::nn::Module {
 public:
  Block(std::int64_t in, std::int64_t width, std::int64_t stride, bool bottleneck, double drop_path_rate)
      : drop_path_rate_{drop_path_rate} {
    const auto out = bottleneck ? 4 * width : width;
    if (bottleneck) {
      add(conv(in, width, 1, 1), torch::nn::BatchNorm2d(width));
      add(conv(width, width, 3, stride), torch::nn::BatchNorm2d(width));
      add(conv(width, out, 1, 1), last_norm(out));
    } else {
      add(conv(in, width, 3, stride), torch::nn::BatchNorm2d(width));
      add(conv(width, out, 3, 1), last_norm(out));
    }
    if (stride != 1 || in != out) {
      downsample_ =
          register_module("downsample", torch::nn::Sequential(conv(in, out, 1, stride), torch::nn::BatchNorm2d(out)));
    }
  }

  Tensor forward(const Tensor& x) {
    auto y = x;
    for (std::size_t i = 0; i < convs_.size(); ++i) {
      y = norms_[i]->forward(convs_[i]->forward(y));
      if (i + 1 < convs_.size()) y = y.relu_();
    }
    y = detail::drop_path(y, drop_path_rate_, is_training());
    return y.add_(downsample_ ? downsample_->forward(x) : x).relu_();
  }

 private:
  void add(torch::nn::Conv2d conv_layer, torch::nn::BatchNorm2d norm) {
    const auto number = std::to_string(convs_.size() + 1);
    convs_.push_back(register_module("conv" + number, std::move(conv_layer)));
    norms_.push_back(register_module("bn" + number, std::move(norm)));
  }

  double drop_path_rate_;
  std::vector<torch::nn::Conv2d> convs_;
  std::vector<torch::nn::BatchNorm2d> norms_;
  torch::nn::Sequential downsample_{nullptr};
};

class ResNet final : public ImageBackbone {
 public:
  explicit ResNet(const ResNetOptions& options) : drop_rate_{options.drop_rate}, image_size_{options.image_size} {
    detail::require_positive(options.width, "ResNetOptions::width");
    detail::require_rate(options.drop_rate, "drop_rate");
    detail::require_rate(options.drop_path_rate, "drop_path_rate");
    if (options.width < narrowest_channels_last) layout_ = torch::MemoryFormat::Contiguous;
    conv1_ = register_module("conv1", conv(3, options.width, 7, 2));
    bn1_ = register_module("bn1", torch::nn::BatchNorm2d(options.width));
    auto channels = options.width;
    const auto depth = std::accumulate(options.blocks.begin(), options.blocks.end(), std::int64_t{0});
    for (std::size_t stage = 0; stage < 4; ++stage) {
      detail::require_positive(options.blocks[stage], "ResNetOptions::blocks");
      const auto width = options.width << stage;
      torch::nn::Sequential layer;
      for (std::int64_t block = 0; block < options.blocks[stage]; ++block) {
        const auto stride = block == 0 && stage > 0 ? 2 : 1;
        const auto rate =
            detail::drop_path_rate(options.drop_path_rate, static_cast<std::int64_t>(blocks_.size()), depth);
        blocks_.push_back(std::make_shared<Block>(channels, width, stride, options.bottleneck, rate));
        layer->push_back(blocks_.back());
        channels = options.bottleneck ? 4 * width : width;
      }
      register_module("layer" + std::to_string(stage + 1), layer);
    }
    feature_dim_ = channels;
    if (options.num_classes > 0) {
      fc_ = register_module("fc", torch::nn::Linear(channels, options.num_classes));
      feature_dim_ = options.num_classes;
    }
  }

  std::int64_t feature_dim() const override { return feature_dim_; }
  std::int64_t image_size() const override { return image_size_; }

  Tensor forward(const Tensor& images) override { return pooled(feature_map(images)); }

  Encoded encode(const Tensor& images, const EncodeRequest& request) override {
    if (request.attention) throw InvalidArgument("a ResNet has no attention maps: ask for its features or tokens");
    const auto map = feature_map(images);
    return {pooled(map), request.tokens ? map.flatten(2).transpose(1, 2) : Tensor{}, {}};
  }

 private:
  /// (N, channels, h, w)
  Tensor feature_map(const Tensor& images) {
    if (images.dim() != 4 || images.size(1) != 3) {
      throw InvalidArgument(fmt::format("a ResNet takes pictures (N, 3, H, W), got {}", shape_string(images)));
    }
    auto x = bn1_->forward(conv1_->forward(images.contiguous(layout_))).relu_();
    x = torch::max_pool2d(x, 3, 2, 1);
    for (const auto& block : blocks_) x = detail::run_block(block, x, grad_checkpointing());
    return x;
  }

  Tensor pooled(const Tensor& map) {
    const auto features = torch::dropout(map.mean({2, 3}), drop_rate_, is_training());
    return fc_ ? fc_->forward(features) : features;
  }

  double drop_rate_;
  torch::nn::Conv2d conv1_{nullptr};
  torch::nn::BatchNorm2d bn1_{nullptr};
  std::vector<std::shared_ptr<Block>> blocks_;
  torch::MemoryFormat layout_ = torch::MemoryFormat::ChannelsLast;  ///< of activations: about twice as fast on CPUs
  torch::nn::Linear fc_{nullptr};
  std::int64_t feature_dim_ = 0, image_size_ = 0;
};

}  // namespace

ImageEncoder make_resnet(const ResNetOptions& options) {
  return std::make_shared<ResNet>(options);
}

}  // namespace sslmeme
