#include <sslmeme/nn/heads.hpp>

#include <sslmeme/core/detail/holder.hpp>
#include <sslmeme/core/random.hpp>

#include "nn/layers.hpp"

#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>

namespace sslmeme {
namespace {

class NoHead final : public ProjectionHead {
 public:
  explicit NoHead(std::int64_t in) : in_{in} {}
  Tensor forward(const Tensor& features) override { return features; }
  std::int64_t out_dim() const override { return in_; }

 private:
  std::int64_t in_;
};

/// Layer by layer; as detail::batch_norm where a layer is one.
Tensor through(torch::nn::Sequential& layers, Tensor x) {
  for (auto& layer : *layers) {
    if (auto* norm = layer.ptr()->as<torch::nn::BatchNorm1d>()) {
      x = detail::batch_norm(*norm, x);
    } else {
      x = layer.any_forward(x).get<Tensor>();
    }
  }
  return x;
}

class LinearHead final : public ProjectionHead {
 public:
  LinearHead(std::int64_t in, std::int64_t out)
      : linear_{register_module("proj", torch::nn::Linear(torch::nn::LinearOptions(in, out).bias(false)))} {
    detail::init_linear(*linear_, 1.0 / std::sqrt(static_cast<double>(in)));
  }
  Tensor forward(const Tensor& features) override { return linear_->forward(features); }
  std::int64_t out_dim() const override { return linear_->options.out_features(); }

 private:
  torch::nn::Linear linear_;
};

class MlpHead final : public ProjectionHead {
 public:
  MlpHead(std::int64_t in, const Projection& options) : out_{options.out} {
    const auto hidden = options.hidden > 0 ? options.hidden : in;
    torch::nn::Sequential layers;
    const auto linear = [](std::int64_t from, std::int64_t to, bool bias) {
      return torch::nn::Linear{torch::nn::LinearOptions(from, to).bias(bias)};
    };
    for (std::int64_t i = 1; i < options.layers; ++i) {
      layers->push_back(linear(i == 1 ? in : hidden, hidden, false));
      layers->push_back(torch::nn::BatchNorm1d{hidden});
      layers->push_back(torch::nn::ReLU());
    }
    layers->push_back(linear(options.layers == 1 ? in : hidden, out_, !options.last_norm));
    if (options.last_norm) layers->push_back(torch::nn::BatchNorm1d{torch::nn::BatchNorm1dOptions(out_).affine(false)});
    layers_ = register_module("layers", layers);
  }
  Tensor forward(const Tensor& features) override { return through(layers_, features); }
  std::int64_t out_dim() const override { return out_; }

 private:
  std::int64_t out_;
  torch::nn::Sequential layers_;
};

class ResidualHead final : public ProjectionHead {
 public:
  ResidualHead(std::int64_t in, std::int64_t out)
      : projection_{register_module("projection", torch::nn::Linear(in, out))},
        fc_{register_module("fc", torch::nn::Linear(out, out))},
        norm_{register_module("layer_norm", detail::layer_norm(out, 1e-5))} {}
  Tensor forward(const Tensor& features) override {
    const auto projected = projection_->forward(features);
    const auto x = torch::dropout(fc_->forward(torch::gelu(projected)), 0.1, is_training());
    return norm_->forward(x + projected);
  }
  std::int64_t out_dim() const override { return projection_->options.out_features(); }

 private:
  torch::nn::Linear projection_, fc_;
  torch::nn::LayerNorm norm_;
};

}  // namespace

std::shared_ptr<ProjectionHead> make_projection(std::int64_t in, const Projection& options) {
  detail::require_positive(in, "the feature size of an encoder");
  if (options.kind == ProjectionKind::none) return std::make_shared<NoHead>(in);
  detail::require_positive(options.out, "Projection::out");
  detail::require_positive(options.layers, "Projection::layers");
  const TorchSeedScope seeded{options.seed};
  switch (options.kind) {
    case ProjectionKind::mlp:
      return std::make_shared<MlpHead>(in, options);
    case ProjectionKind::residual:
      return std::make_shared<ResidualHead>(in, options.out);
    default:
      return std::make_shared<LinearHead>(in, options.out);
  }
}

DinoHead::DinoHead(std::int64_t in, const DinoHeadOptions& options) {
  detail::require_positive(in, "the feature size of an encoder");
  detail::require_positive(options.prototypes, "DinoHeadOptions::prototypes");
  detail::require_positive(options.hidden, "DinoHeadOptions::hidden");
  detail::require_positive(options.bottleneck, "DinoHeadOptions::bottleneck");
  const TorchSeedScope seeded{options.seed};
  torch::nn::Sequential mlp;
  for (const auto width : {in, options.hidden}) {
    mlp->push_back(detail::linear(width, options.hidden));
    if (options.batch_norm) mlp->push_back(torch::nn::BatchNorm1d{options.hidden});
    mlp->push_back(torch::nn::GELU());
  }
  mlp->push_back(detail::linear(options.hidden, options.bottleneck));
  mlp_ = register_module("mlp", mlp);
  const torch::nn::Linear prototypes{torch::nn::LinearOptions(options.bottleneck, options.prototypes).bias(false)};
  auto holder = std::make_shared<detail::Holder>();
  weight_g_ = holder->register_parameter("weight_g", torch::ones({options.prototypes, 1}), !options.norm_last_layer);
  weight_v_ = holder->register_parameter("weight_v", prototypes->weight.detach().clone());
  register_module("last_layer", holder);
}

Tensor DinoHead::forward(const Tensor& features, bool prototypes_learn) {
  const auto x = l2_normalize(through(mlp_, features));
  const auto weight = weight_g_ * weight_v_ / weight_v_.norm(2, 1, true);
  return torch::linear(x, prototypes_learn ? weight : weight.detach());
}

}  // namespace sslmeme
