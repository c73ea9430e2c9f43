// SupCon: samples of one class are each other's positives.
#pragma once

#include <sslmeme/core/tensor.hpp>

#include <string>

namespace sslmeme {

/// Supervised contrastive loss (Khosla et al. 2020, arXiv:2004.11362, equation 2, L_out):
/// mean over anchors i of −1/|P(i)| Σ_{p ∈ P(i)} log softmax_{a ≠ i}(zᵢ·z_a/τ)_p, P(i) the other samples of i's class.
/// z is L2-normalised first. The N × N similarities are never held (similarity.hpp).
struct SupCon {
  double temperature = 0.07;
  bool count_lone = false;  ///< anchors without another of their class count as 0 in the mean; else they are left out

  /// z: (N, D) float, halves computed in fp32: all views of all samples. labels: i64 (N). Returns a 0-d mean; 0 when no
  /// class occurs twice. Throws InvalidArgument on other shapes and on a temperature that is not positive.
  Tensor operator()(const Tensor& z, const Tensor& labels) const;
  std::string name() const { return "sup_con"; }
};

/// As the published code at its default temperature: anchors alone in their class count as 0. (Before 2023 it made them
/// NaN.)
inline SupCon sup_con_reference() {
  return {.count_lone = true};
}

}  // namespace sslmeme
