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

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

namespace sslmeme {
namespace {

constexpr std::array<std::pair<std::string_view, FusionKind>, 4> kinds{{{"concat", FusionKind::concat},
                                                                        {"align", FusionKind::align},
                                                                        {"cross", FusionKind::cross},
                                                                        {"cmaf", FusionKind::cmaf}}};

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

/// ReLU(W [a_u u; a_v v]), where each modality is weighed by what it asks of the other. Scores are not divided by
/// √(d/2), as published.
class CrossModalAttention : public torch::nn::Module {
 public:
  explicit CrossModalAttention(std::int64_t dim)
      : query_{register_module("query", torch::nn::Linear(dim, half(dim)))},
        key_{register_module("key", torch::nn::Linear(dim, half(dim)))},
        project_{register_module("project", torch::nn::Linear(2 * dim, dim))} {}

  Tensor forward(const Tensor& u, const Tensor& v) {
    const auto score = [this](const Tensor& asking, const Tensor& asked) {
      return (query_->forward(asking).relu() * key_->forward(asked).relu()).sum(1, true);
    };
    const auto weights = torch::softmax(torch::cat({score(u, v), score(v, u)}, 1), 1);
    return project_->forward(torch::cat({u * weights.narrow(1, 0, 1), v * weights.narrow(1, 1, 1)}, 1)).relu();
  }

 private:
  static std::int64_t half(std::int64_t dim) { return std::max<std::int64_t>(dim / 2, 1); }
  torch::nn::Linear query_, key_, project_;
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
      if (options.kind == FusionKind::cmaf)
        attention_ = register_module("attention", std::make_shared<CrossModalAttention>(options.dim));
    }
    const auto hidden = options.hidden > 0 ? options.hidden : options.dim;
    torch::nn::Sequential mlp;
    for (std::int64_t i = 0; i < options.layers; ++i) {
      mlp->push_back(torch::nn::Linear(width, hidden));
      mlp->push_back(torch::nn::ReLU());
      mlp->push_back(torch::nn::Dropout(options.layer_dropout));
      width = hidden;
    }
    embedding_dim_ = width;
    mlp->push_back(torch::nn::Linear(width, 1));
    mlp_ = register_module("mlp", mlp);
  }

  FusionOutput fuse(const Tensor& image, const Tensor& text) override {
    auto x = torch::dropout(fused_features(image, text), options_.fusion_dropout, is_training());
    auto embedding = x;
    const auto last_layer = mlp_->size() - layer_size - 1;  // beyond the end where there is none
    std::size_t i = 0;
    for (auto& module : *mlp_) {
      x = module.forward(x);
      if (i++ == last_layer) embedding = x;
    }
    return {x.squeeze(1), embedding};
  }
  std::int64_t embedding_dim() const override { return embedding_dim_; }

 private:
  static constexpr std::size_t layer_size = 3;  ///< Linear, ReLU, dropout

  Tensor fused_features(const Tensor& image, const Tensor& text) {
    if (!text_map_) return image_map_->forward(image);
    if (!image_map_) return text_map_->forward(text);
    const auto u = image_map_->forward(image), v = text_map_->forward(text);
    switch (options_.kind) {
      case FusionKind::concat:
        return torch::cat({u, v}, 1);
      case FusionKind::cross:
        return (u.unsqueeze(2) * v.unsqueeze(1)).flatten(1);
      case FusionKind::cmaf:
        return attention_->forward(u, v);
      default:
        return u * v;
    }
  }

  FusionOptions options_;
  std::shared_ptr<Map> image_map_, text_map_;
  std::shared_ptr<CrossModalAttention> attention_;  ///< of cmaf
  std::int64_t embedding_dim_ = 0;
  torch::nn::Sequential mlp_{nullptr};
};

}  // namespace

FusionKind fusion_kind(std::string_view name) {
  std::vector<std::string> names;
  for (const auto& [known, kind] : kinds) {
    if (known == name) return kind;
    names.emplace_back(known);
  }
  throw InvalidArgument(
      fmt::format("no fusion is called \"{}\"; did you mean: {}", name, detail::near_names(std::string{name}, names)));
}

std::string_view name_of(FusionKind kind) {
  for (const auto& [name, known] : kinds) {
    if (known == kind) return name;
  }
  throw InvalidArgument(fmt::format("FusionKind {} is none", static_cast<int>(kind)));
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
