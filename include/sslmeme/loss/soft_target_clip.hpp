// SoftTargetClip: CLIP whose targets are the similarities within each modality.
#pragma once

#include <sslmeme/core/error.hpp>
#include <sslmeme/loss/concepts.hpp>

#include <string>

namespace sslmeme {

/// L = T·Iᵀ/τ against P = softmax(τ · ½ (I·Iᵀ + T·Tᵀ)) by rows: ½ [CE(L, P) + CE(Lᵀ, Pᵀ)], mean over N. The loss of a
/// widely copied tutorial on CLIP, kept as it is there: embeddings are not normalised, and gradient flows through P
/// too.
struct SoftTargetClip {
  double temperature = 1;  ///< τ, fixed

  /// z_a: pictures, z_b: words, (N, D) float, halves computed in fp32. Returns a 0-d mean. Throws InvalidArgument on
  /// other shapes and on a temperature that is not positive.
  Tensor operator()(const Tensor& z_a, const Tensor& z_b) const {
    detail::check_pair(z_a, z_b, "SoftTargetClip");
    detail::check_positive(temperature, "SoftTargetClip: temperature");
    const auto image = detail::at_least_fp32(z_a), text = detail::at_least_fp32(z_b);
    const auto logits = torch::matmul(text, image.t()) / temperature;
    const auto within = torch::matmul(image, image.t()) + torch::matmul(text, text.t());
    const auto targets = torch::softmax(within * (0.5 * temperature), 1);
    const auto of_texts = (targets * torch::log_softmax(logits, 1)).sum(1);
    const auto of_images = (targets * torch::log_softmax(logits, 0)).sum(0);
    return -0.5 * (of_texts + of_images).mean();
  }
  std::string name() const { return "soft_target_clip"; }
  std::string describe() const { return detail::options_json({{"temperature", temperature}}); }
};

static_assert(PairLoss<SoftTargetClip>);

}  // namespace sslmeme
