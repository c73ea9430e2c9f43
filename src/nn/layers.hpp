// Small pieces that the backbones share.
#pragma once

#include <sslmeme/core/tensor.hpp>
#include <sslmeme/nn/activation_checkpoint.hpp>
#include <sslmeme/nn/backbone.hpp>

#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>

#include <memory>
#include <optional>
#include <vector>

namespace sslmeme::detail {

struct AttentionOptions {
  Tensor bias = {};           ///< added to the scores: (N, 1, 1, L), or undefined
  bool causal = false;        ///< a token attends to itself and to those before it
  double dropout = 0;         ///< rate at which weights are left out; 0 unless training
  bool training = false;      ///< chooses the kernel
  Tensor* weights = nullptr;  ///< takes the attention weights, f32 (N, H, L, L), before dropout
};

/// Multi-head attention of q, k, v (N, H, L, d). Returns (N, H, L, d). The fused kernel, but for plain matrix products
/// in training in half precision on the CPU, since the fused one takes thrice as long for the gradient, and where the
/// weights are asked for. Whether a gradient will be taken cannot decide: activation checkpointing computes the same
/// once without and once with.
Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& options = {});

/// One token of each sample: the one that a model pools. Of its last layer nothing else is needed but keys and values.
struct OneToken {
  Tensor index = {};  ///< i64 (N): its place in each sample; undefined: the first

  /// (N, L, D) → (N, 1, D)
  Tensor of(const Tensor& x) const;
  /// What keeps it from seeing the tokens behind it: (N, 1, 1, L), as AttentionOptions::bias. Needs the index.
  Tensor causal_bias(const Tensor& x) const;
};

/// What a layer of a transformer is asked.
struct LayerRequest {
  Tensor bias = {};                   ///< as AttentionOptions::bias
  std::optional<OneToken> only = {};  ///< gives (N, 1, D): this token of the result alone
  Tensor* weights = nullptr;          ///< as AttentionOptions::weights

  /// Those of the tokens x (N, L, D) that the result is asked for.
  Tensor asked(const Tensor& x) const { return only ? only->of(x) : x; }
};

/// Self-attention of x (N, L, D) by one matrix (3D, D) and one bias (3D) for q, k and v: (N, L, D), heads side by side.
/// options: bias and weights are `request`'s; with options.causal the request has no bias.
Tensor packed_self_attention(const Tensor& x, const Tensor& in_weight, const Tensor& in_bias, std::int64_t heads,
                             AttentionOptions options, const LayerRequest& request);

/// x + branch, in the memory of `branch`, which must be nobody else's, where no gradient will be taken.
Tensor residual(const Tensor& x, Tensor branch);

/// Stochastic depth of a residual branch x (N, …) in training: each sample is left out at `rate` and the others are
/// divided by 1 − rate (timm's DropPath).
Tensor drop_path(const Tensor& x, double rate, bool training);

/// The rate of block `index` of `depth` when the last has `rate` and the first none.
double drop_path_rate(double rate, std::int64_t index, std::int64_t depth);

/// How many of `patches` stay at a rate of patch dropout: at least one (timm's and open_clip's PatchDropout).
std::int64_t kept_patches(std::int64_t patches, double rate);

/// The class token and the chosen patches of tokens (N, 1 + P, D). chosen: i64 (N, K), counted from the first patch.
Tensor keep_patches(const Tensor& tokens, const Tensor& chosen);

/// How much each of a picture's `length` tokens, the class token first, counts in pooled features: f64 (L).
Tensor pooling_weights(Pooling pooling, std::int64_t length);

/// The side of the square grid of patches among so many tokens, the class token's not counted; 0 if there is none.
std::int64_t grid_side(std::int64_t tokens);

/// Positions (1 + s², D) of a square grid for one of rows × columns: bicubic with antialiasing, in fp32; that of the
/// class token stays (timm's resample_abs_pos_embed, open_clip's resize_pos_embed).
Tensor resized_positions(const Tensor& positions, std::int64_t rows, std::int64_t columns);

/// block->forward(x, rest...), whose activations are computed again for the gradient where `checkpoint` says so.
template <class Block, class... Rest>
Tensor run_block(const std::shared_ptr<Block>& block, const Tensor& x, bool checkpoint, const Rest&... rest) {
  if (!checkpoint) return block->forward(x, rest...);
  return checkpointed(*block, [block, rest...](const Tensor& y) { return block->forward(y, rest...); }, x);
}

/// What all layers of a transformer are asked.
struct LayersRequest {
  Tensor bias = {};                          ///< as AttentionOptions::bias
  std::optional<OneToken> only = {};         ///< gives (N, 1, D): this token of the last layer alone
  bool checkpoint = false;                   ///< as in run_block()
  std::vector<Tensor>* attention = nullptr;  ///< takes the weights of each layer; then nothing is checkpointed
};

/// What encode() of `model`, asked for `request`, asks of its layers; attention maps go to `result`. pooled: the one
/// token that its features come from, where they come from one.
LayersRequest layers_request(const Backbone& model, const EncodeRequest& request, Encoded& result,
                             std::optional<OneToken> pooled);
/// The class token where that is what `pooling` takes.
std::optional<OneToken> pooled_token(Pooling pooling);

/// x (N, L, D) through all layers, which have forward(x, LayerRequest).
template <class Layer>
Tensor run_layers(const std::vector<std::shared_ptr<Layer>>& layers, Tensor x, const LayersRequest& request) {
  for (const auto& layer : layers) {
    LayerRequest mine{.bias = request.bias};
    if (layer == layers.back()) mine.only = request.only;
    if (request.attention != nullptr) mine.weights = &request.attention->emplace_back();
    x = run_block(layer, x, request.checkpoint && request.attention == nullptr, mine);
  }
  return x;
}

/// Throws InvalidArgument unless tokens and mask are (N, L) with 1 <= L <= max_tokens.
void check_token_shapes(const Tensor& tokens, const Tensor& mask, std::int64_t max_tokens);

/// Throws InvalidArgument for an id outside 0 … vocabulary_size − 1. tokens: not empty. Returns the value of `fact`
/// (0-d), which comes from the device in the same transfer.
std::int64_t check_token_ids(const Tensor& tokens, std::int64_t vocabulary_size, const Tensor& fact);

/// Throws InvalidArgument unless 0 <= rate < 1; `what` names the option.
void require_rate(double rate, const char* what);

/// Throws InvalidArgument unless `width` is a multiple of `heads`.
void require_heads(std::int64_t width, std::int64_t heads);

/// Throws InvalidArgument unless image_size is a multiple of `step`; `what` stands before it: "patch_size " or nothing.
void require_image_size(std::int64_t image_size, std::int64_t step, const char* what);

/// torch.nn.Linear as Python has it, where the product adds the bias. LibTorch's own C++ module needs a further pass
/// over the result for it wherever x has three dimensions.
class LinearImpl : public torch::nn::LinearImpl {
 public:
  using torch::nn::LinearImpl::LinearImpl;
  Tensor forward(const Tensor& x) { return torch::linear(x, weight, bias); }
};
TORCH_MODULE(Linear);

/// Weights from a normal of deviation `std` cut at ±2, bias zero: the transformer initialisation of timm and BERT.
void init_linear(torch::nn::LinearImpl& linear, double std = 0.02);

/// A Linear with bias that starts as init_linear() says.
Linear linear(std::int64_t in, std::int64_t out);

torch::nn::LayerNorm layer_norm(std::int64_t width, double eps);

/// norm(x) for x (N, D). Throws InvalidArgument for a batch of one in training: it has no statistics.
Tensor batch_norm(torch::nn::BatchNorm1dImpl& norm, const Tensor& x);

/// Throws InvalidArgument unless `value` > 0; `what` names the option.
void require_positive(std::int64_t value, const char* what);

}  // namespace sslmeme::detail
