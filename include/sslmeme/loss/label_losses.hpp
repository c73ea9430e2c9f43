// Losses of a classifier against labels: cross-entropies and the focal loss.
#pragma once

#include <sslmeme/core/tensor.hpp>

#include <optional>
#include <string>

namespace sslmeme {

/// Binary cross-entropy with logits. A class weight w counts every harmful sample w times.
struct BinaryCrossEntropy {
  double positive_weight = 1;

  /// logits: (N) float, halves computed in fp32; labels: (N), 0 or 1. Returns a 0-d mean. Throws InvalidArgument on
  /// other shapes.
  Tensor operator()(const Tensor& logits, const Tensor& labels) const;
  std::string name() const { return "bce"; }
};

/// Sigmoid focal loss (Lin et al. 2017, arXiv:1708.02002, equation 5): −α_t (1 − p_t)^γ log p_t. Without α, as CASS
/// uses it, every sample has weight 1; with it harmful samples have α and others 1 − α (0.25 in the paper).
struct FocalLoss {
  double gamma = 2;                  ///< 0 gives binary cross-entropy
  std::optional<double> alpha = {};  ///< in [0, 1]
  double positive_weight = 1;        ///< counts every harmful sample so many times, for classes that are not balanced

  /// logits: (N) float, halves computed in fp32; labels: (N), 0 or 1. Returns a 0-d mean. Throws InvalidArgument on
  /// other shapes, a negative γ, an α outside [0, 1] and a weight that is not positive.
  Tensor operator()(const Tensor& logits, const Tensor& labels) const;
  std::string name() const { return "focal"; }
};

/// With the paper's α, torchvision's default too.
inline FocalLoss focal_reference() {
  return {.alpha = 0.25};
}

/// Cross-entropy of softmax(logits).
struct CrossEntropy {
  double label_smoothing = 0;  ///< in [0, 1): this share of each target is spread over all classes

  /// logits: (N, C) float, halves computed in fp32; labels: i64 (N) in [0, C). Returns a 0-d mean. Throws
  /// InvalidArgument on other shapes, a label out of range and a smoothing outside [0, 1).
  Tensor operator()(const Tensor& logits, const Tensor& labels) const;
  std::string name() const { return "cross_entropy"; }
};

}  // namespace sslmeme
