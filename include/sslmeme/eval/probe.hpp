// The linear probe: how well can a linear classifier tell the classes apart from frozen features?
#pragma once

#include <sslmeme/eval/knn.hpp>

#include <cstdint>

namespace sslmeme {

/// What is done to features first.
enum class ProbeScaling {
  standardize,  ///< (x − mean) / standard deviation (n), of the samples that it is fitted on; a constant stays 0
  unit_length,  ///< x / ‖x‖₂
  none,
};

struct ProbeOptions {
  double c = 1;  ///< C of scikit-learn: the smaller, the stronger the penalty
  ProbeScaling scaling = ProbeScaling::standardize;
  double tolerance = 1e-10;           ///< converged when no component of the gradient is larger
  std::int64_t max_iterations = 100;  ///< Newton steps
};

/// A fitted probe: logits = scaled features · weightᵀ + bias.
struct LinearProbe {
  Tensor weight;  ///< f64 (K, D), of scaled features; (1, D) for two classes: the logit of class 1
  Tensor bias;    ///< f64 (K); (1) for two classes
  Tensor mean;    ///< f64 (D), taken off before `scale`; undefined unless features are standardised
  Tensor scale;   ///< f64 (D), divided by; undefined unless features are standardised
  ProbeScaling scaling = ProbeScaling::standardize;
  std::int64_t iterations = 0;  ///< Newton steps taken
  double gradient = 0;          ///< the largest component of the gradient at the end
  bool converged = false;       ///< gradient ≤ tolerance

  /// The probability of each class, f64 (M, K), rows summing to 1. features: (M, D) float. Throws InvalidArgument for
  /// another D and features that are not finite.
  Tensor predict_proba(const Tensor& features) const;
  /// The most probable class, i64 (M); of equally probable ones the smallest. Throws as predict_proba does.
  Tensor predict(const Tensor& features) const;
};

/// Fits logistic regression (two classes) or softmax regression (more) with an L2 penalty on the weight, not on the
/// bias: least
///   mean −log p(label) + ‖weight‖² / (2 C N),
/// scikit-learn's LogisticRegression(C) divided by C N, by Newton steps in double (conjugate gradients for the
/// direction, halving for the length): deterministic, from zero. Memory: the features in double. Throws InvalidArgument
/// for options out of range, shapes that do not fit, features that are not finite, and labels other than 0 … K − 1 with
/// each class there. Does not throw when it did not converge: look at `converged`.
///
///     const auto probe = fit_probe(train);
///     const auto scores = probe.predict_proba(test.features).select(1, 1);
LinearProbe fit_probe(const Embeddings& known, const ProbeOptions& options = {});

}  // namespace sslmeme
