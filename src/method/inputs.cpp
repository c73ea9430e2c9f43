#include "method/inputs.hpp"

#include <sslmeme/core/error.hpp>
#include <sslmeme/core/random.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace sslmeme::detail {

const Tensor& view_of(const Batch& batch, int view, std::string_view who) {
  if (static_cast<std::size_t>(view) >= batch.views.size()) {
    throw InvalidArgument(fmt::format("\"{}\" needs view {}, the batch has {}: give the loader more views", who, view,
                                      batch.views.size()));
  }
  return batch.views[static_cast<std::size_t>(view)];
}

Tensor encode_images(ImageBackbone& encoder, const Batch& batch, int view, std::string_view who) {
  return encoder.forward(view_of(batch, view, who));
}

Tensor encode_texts(TextBackbone& encoder, const Batch& batch, std::string_view who) {
  if (!batch.tokens.defined()) {
    throw InvalidArgument(
        fmt::format("\"{}\" needs words, the batch has no tokens: give the loader a .tokenizer", who));
  }
  return encoder.forward(batch.tokens, batch.mask);
}

void require_binary_labels(const Batch& batch, std::string_view who) {
  if (!batch.labels.defined() || !((batch.labels == 0) | (batch.labels == 1)).all().item<bool>()) {
    throw InvalidArgument(fmt::format("{} needs a label 0 or 1 for every sample: train on a split with labels", who));
  }
}

nlohmann::json described(const Backbone* encoder) {
  return encoder == nullptr || encoder->description().empty() ? nlohmann::json{}
                                                              : nlohmann::json::parse(encoder->description());
}

Tensor mean_cosine(const Tensor& a, const Tensor& b) {
  return (l2_normalize(a) * l2_normalize(b)).sum(1).mean();
}

Tensor caption_ids(const Tensor& tokens, const Tensor& mask) {
  // Multilinear hashing modulo 2⁶⁴ (Lemire & Kaser 2014, arXiv:1202.4961): a sum of the tokens with a random factor for
  // each place.
  auto factors = torch::empty({tokens.size(1)}, torch::kLong);
  for (std::int64_t i = 0; i < tokens.size(1); ++i)
    factors[i] = static_cast<std::int64_t>(mix64(static_cast<std::uint64_t>(i)));
  return ((tokens + 1) * factors.to(tokens.device())).masked_fill(mask.logical_not(), 0).sum(1);
}

}  // namespace sslmeme::detail
