#include <sslmeme/nn/fusion.hpp>

#include <sslmeme/core/error.hpp>
#include <sslmeme/core/random.hpp>

#include "core/near_names.hpp"
#include "nn/layers.hpp"

#include <fmt/format.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/dropout.h>
#include <torch/nn/modules/linear.h>

namespace sslmeme {
namespace {

void check_probability(double p, const char* what) {
  if (!(p >= 0 && p < 1)) throw InvalidArgument(fmt::format("{} is {}; it must be in [0, 1)", what, p));
}

/// Features of one modality in the shared space: norm(dropout(W x)), entries of the order 1.
class Map : public torch::nn::Module {
 public:
  Map(std::int64_t in, const FusionOptions& options)
      : linear_{register_module("linear", torch::nn::Linear(in, options.dim))}, dropout_{options.map_dropout} {
    if (options.norm == FusionNorm::batch) {
      norm_ = register_module("norm", torch::nn::BatchNorm1d(torch::nn::BatchNorm1dOptions(options.dim).affine(false)));
    }
  }

  Tensor forward(const Tensor& x) {
    const auto mapped = torch::dropout(linear_->forward(x), dropout_, is_training());
    if (norm_) return detail::batch_norm(*norm_, mapped);
    return l2_normalize(mapped) * std::sqrt(static_cast<double>(mapped.size(1)));
  }

 private:
  torch::nn::Linear linear_;
  torch::nn::BatchNorm1d norm_{nullptr};
  double dropout_;
};

class Head final : public FusionHead {
 public:
  Head(std::int64_t image_dim, std::int64_t text_dim, const FusionOptions& options) : options_{options} {
    if (image_dim > 0) image_map_ = register_module("image_map", std::make_shared<Map>(image_dim, options));
    if (text_dim > 0) text_map_ = register_module("text_map", std::make_shared<Map>(text_dim, options));
    auto width = options.dim;
    if (image_map_ && text_map_) {
      if (options.kind == FusionKind::concat) width = 2 * options.dim;
      if (options.kind == FusionKind::cross) width = options.dim * options.dim;
    }
    const auto hidden = options.hidden > 0 ? options.hidden : options.dim;
    torch::nn::Sequential mlp;
    for (std::int64_t i = 0; i < options.layers; ++i) {
      mlp->push_back(torch::nn::Linear(width, hidden));
      mlp->push_back(torch::nn::ReLU());
      mlp->push_back(torch::nn::Dropout(options.layer_dropout));
      width = hidden;
    }
    mlp->push_back(torch::nn::Linear(width, 1));
    mlp_ = register_module("mlp", mlp);
  }

  Tensor forward(const Tensor& image, const Tensor& text) override {
    const auto fused = torch::dropout(fuse(image, text), options_.fusion_dropout, is_training());
    return mlp_->forward(fused).squeeze(1);
  }

 private:
  Tensor fuse(const Tensor& image, const Tensor& text) {
    if (!text_map_) return image_map_->forward(image);
    if (!image_map_) return text_map_->forward(text);
    const auto u = image_map_->forward(image), v = text_map_->forward(text);
    switch (options_.kind) {
      case FusionKind::concat:
        return torch::cat({u, v}, 1);
      case FusionKind::cross:
        return (u.unsqueeze(2) * v.unsqueeze(1)).flatten(1);
      default:
        return u * v;
    }
  }

  FusionOptions options_;
  std::shared_ptr<Map> image_map_, text_map_;
  torch::nn::Sequential mlp_{nullptr};
};

}  // namespace

FusionKind fusion_kind(std::string_view name) {
  if (name == "concat") return FusionKind::concat;
  if (name == "align") return FusionKind::align;
  if (name == "cross") return FusionKind::cross;
  throw InvalidArgument(fmt::format("no fusion is called \"{}\"; did you mean: {}", name,
                                    detail::near_names(std::string{name}, {"concat", "align", "cross"})));
}

std::shared_ptr<FusionHead> make_fusion_head(std::int64_t image_dim, std::int64_t text_dim,
                                             const FusionOptions& options) {
  if (image_dim <= 0 && text_dim <= 0)
    throw InvalidArgument("a fusion head needs picture features, text features or both");
  detail::require_positive(options.dim, "FusionOptions::dim");
  if (options.layers < 0)
    throw InvalidArgument(fmt::format("FusionOptions::layers is {}; it must be zero or more", options.layers));
  check_probability(options.map_dropout, "FusionOptions::map_dropout");
  check_probability(options.fusion_dropout, "FusionOptions::fusion_dropout");
  check_probability(options.layer_dropout, "FusionOptions::layer_dropout");
  const TorchSeedScope seeded{options.seed};
  return std::make_shared<Head>(image_dim, text_dim, options);
}

}  // namespace sslmeme
