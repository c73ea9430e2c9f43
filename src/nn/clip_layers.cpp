#include "nn/clip_layers.hpp"

#include <sslmeme/core/error.hpp>

#include <fmt/format.h>
#include <torch/nn/init.h>
#include <torch/nn/modules/container/modulelist.h>

#include <cmath>

namespace sslmeme::detail {
namespace {

/// x · sigmoid(1.702 x), written with silu: one tensor less to keep for the gradient, and one pass over it less.
Tensor quick_gelu(const Tensor& x) {
  constexpr double slope = 1.702;
  return torch::silu(x * slope).mul_(1 / slope);
}

/// torch.nn.MultiheadAttention of a sequence with itself.
class ClipAttention : public torch::nn::Module {
 public:
  ClipAttention(std::int64_t width, std::int64_t heads, bool causal)
      : heads_{heads},
        causal_{causal},
        in_proj_weight_{register_parameter("in_proj_weight", torch::empty({3 * width, width}))},
        in_proj_bias_{register_parameter("in_proj_bias", torch::zeros({3 * width}))},
        out_proj_{register_module("out_proj", Linear(width, width))} {
    torch::nn::init::xavier_uniform_(in_proj_weight_);
    torch::nn::init::zeros_(out_proj_->bias);
  }

  Tensor forward(const Tensor& x, const LayerRequest& request) {
    return out_proj_->forward(packed_self_attention(x, in_proj_weight_, in_proj_bias_, heads_,
                                                    {.causal = causal_, .training = is_training()}, request));
  }

  void init_normal(double in_std, double out_std) {
    torch::nn::init::normal_(in_proj_weight_, 0, in_std);
    torch::nn::init::normal_(out_proj_->weight, 0, out_std);
  }

 private:
  std::int64_t heads_;
  bool causal_;
  Tensor in_proj_weight_, in_proj_bias_;
  Linear out_proj_;
};

class ClipMlp : public torch::nn::Module {
 public:
  ClipMlp(std::int64_t width, bool quick)
      : quick_{quick},
        c_fc_{register_module("c_fc", Linear(width, 4 * width))},
        c_proj_{register_module("c_proj", Linear(4 * width, width))} {}

  Tensor forward(const Tensor& x) {
    const auto hidden = c_fc_->forward(x);
    return c_proj_->forward(quick_ ? quick_gelu(hidden) : torch::gelu(hidden));
  }

  void init_normal(double in_std, double out_std) {
    torch::nn::init::normal_(c_fc_->weight, 0, in_std);
    torch::nn::init::normal_(c_proj_->weight, 0, out_std);
  }

 private:
  bool quick_;
  Linear c_fc_, c_proj_;
};

}  // namespace

/// open_clip's ResidualAttentionBlock.
class ClipBlock : public torch::nn::Module {
 public:
  explicit ClipBlock(const ClipTransformerOptions& o)
      : ln_1_{register_module("ln_1", clip_norm(o.width))},
        attn_{register_module("attn", std::make_shared<ClipAttention>(o.width, o.heads, o.causal))},
        ln_2_{register_module("ln_2", clip_norm(o.width))},
        mlp_{register_module("mlp", std::make_shared<ClipMlp>(o.width, o.quick_gelu))} {}

  Tensor forward(const Tensor& x, const LayerRequest& request) {
    const auto branch = attn_->forward(ln_1_->forward(x), request);
    const auto y = residual(request.asked(x), branch);
    return residual(y, mlp_->forward(ln_2_->forward(y)));
  }

  void init_normal(double attention_std, double hidden_std, double projection_std) {
    attn_->init_normal(attention_std, projection_std);
    mlp_->init_normal(hidden_std, projection_std);
  }

 private:
  torch::nn::LayerNorm ln_1_;
  std::shared_ptr<ClipAttention> attn_;
  torch::nn::LayerNorm ln_2_;
  std::shared_ptr<ClipMlp> mlp_;
};

ClipTransformer::ClipTransformer(const ClipTransformerOptions& options) : width_{options.width} {
  const auto list = register_module("resblocks", torch::nn::ModuleList());
  for (std::int64_t i = 0; i < options.depth; ++i) {
    blocks_.push_back(std::make_shared<ClipBlock>(options));
    list->push_back(blocks_.back());
  }
}

Tensor ClipTransformer::forward(const Tensor& x, const LayersRequest& request) {
  return run_layers(blocks_, x, request);
}

void ClipTransformer::init_as_text() {
  const auto width = static_cast<double>(width_), depth = static_cast<double>(blocks_.size());
  for (const auto& block : blocks_) {
    block->init_normal(1 / std::sqrt(width), 1 / std::sqrt(2 * width), 1 / std::sqrt(2 * depth * width));
  }
}

torch::nn::LayerNorm clip_norm(std::int64_t width) {
  return layer_norm(width, 1e-5);
}

void check_clip_pictures(const Tensor& images, std::int64_t side) {
  if (images.dim() == 4 && images.size(1) == 3 && images.size(2) == side && images.size(3) == side) return;
  throw InvalidArgument(
      fmt::format("this CLIP tower takes pictures (N, 3, {0}, {0}), got {1}: make the views of that size, or the "
                  "encoder with their .image_size",
                  side, shape_string(images)));
}

}  // namespace sslmeme::detail
