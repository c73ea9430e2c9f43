// Which tokens an encoder with attention makes its features of: what an explanation by attention starts from.
#pragma once

#include <sslmeme/core/tensor.hpp>

#include <cstdint>

namespace sslmeme {

/// A picture encoder that answers encode({.attention = true}) derives from this beside ImageBackbone. Its tokens are a
/// class token and then the patches by rows.
class PicturePooling {
 public:
  virtual ~PicturePooling() = default;
  /// f64 (L), sums to 1: how much each of L tokens of the last layer counts in the features.
  virtual Tensor token_weights(std::int64_t length) const = 0;
};

/// The same for a text encoder, beside TextBackbone.
class TextPooling {
 public:
  virtual ~TextPooling() = default;
  /// f64 (N, L), rows sum to 1: the same for tokens i64 (N, L) with mask bool (N, L), true on real tokens.
  virtual Tensor token_weights(const Tensor& tokens, const Tensor& mask) const = 0;
};

}  // namespace sslmeme
