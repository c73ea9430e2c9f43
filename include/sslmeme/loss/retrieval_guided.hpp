// RetrievalGuidedLoss: each sample is drawn to the nearest of its class and driven from the nearest of the other.
#pragma once

#include <sslmeme/core/tensor.hpp>

#include <string>

namespace sslmeme {

/// What was retrieved for N anchors from the embeddings of the training set. No gradient flows to it.
struct RetrievedExamples {
  Tensor positives;          ///< (N, P, D): pseudo-gold positives, the nearest of the anchor's class
  Tensor negatives;          ///< (N, K, D): hard negatives, the nearest of other classes; K may be 0
  Tensor has_positive = {};  ///< bool (N, P): false where the training set has fewer; undefined: all are there
  Tensor has_negative = {};  ///< bool (N, K)
};

enum class RetrievalGuidedForm {
  log_ratio,  ///< −log( e⁺ / (e⁺ + Σ e⁻) ), the paper's equation 6: e⁺ the mean of exp(cos/τ) over the positives, e⁻
              ///< over hard negatives and those of the batch
  hinge,      ///< max(0, mean cos to the batch's negatives + Σ cos to hard ones − mean cos to positives + margin), what
              ///< the authors' script runs
};

/// Retrieval-guided contrastive loss (RGCL: Mei et al. 2023, arXiv:2311.08110, equation 6), the mean over anchors. The
/// negatives of the batch are its samples of other classes; there gradients flow to both sides.
///
/// An anchor without a positive is left out of the mean, and the loss is 0 when all are (the published code takes
/// cosine 0 for them). An anchor without any negative has log-ratio 0. Departs from the published code where
/// there are several hard negatives: under log_ratio it takes their mean, here they are a sum, as in the paper.
struct RetrievalGuidedLoss {
  RetrievalGuidedForm form = RetrievalGuidedForm::log_ratio;
  double temperature = 1;  ///< τ of log_ratio; the paper has none
  double margin = 0.1;     ///< of hinge

  /// z: (N, D) float, halves computed in fp32. labels: i64 (N). Returns a 0-d mean. The N² cosines of the batch are
  /// held. Throws InvalidArgument on other shapes, a temperature that is not positive and a negative margin.
  Tensor operator()(const Tensor& z, const Tensor& labels, const RetrievedExamples& examples) const;
  std::string name() const { return "rgcl"; }
};

/// As the authors' script has it.
inline RetrievalGuidedLoss retrieval_guided_reference() {
  return {.form = RetrievalGuidedForm::hinge};
}

}  // namespace sslmeme
