// Do probabilities mean what they say? Reliability, expected calibration error, temperature scaling.
#pragma once

#include <sslmeme/eval/metrics.hpp>

#include <cstdint>
#include <vector>

namespace sslmeme {

/// The samples whose probability lies in (low, high]; the first bin has 0 too.
struct ReliabilityBin {
  double low = 0;
  double high = 0;
  std::int64_t n = 0;           ///< samples
  double mean_probability = 0;  ///< of its samples; 0 where there is none
  double harmful = 0;           ///< the part of its samples that is harmful; 0 where there is none
};

/// `bins` bins of equal width over [0, 1], empty ones too: what a reliability diagram shows. Throws InvalidArgument as
/// metrics.hpp does, for a probability outside [0, 1] and for less than one bin.
std::vector<ReliabilityBin> reliability_bins(Scores probabilities, Labels labels, std::int64_t bins = 15);

/// Σ over bins of n_b / n · |harmful − mean probability|, in [0, 1] (Guo et al. 2017, arXiv:1706.04599, equation 3,
/// with the probability of "harmful" in place of the confidence of the winning class, so that 0.1 for a harmful meme
/// counts as it should). Throws as reliability_bins does.
double expected_calibration_error(Scores probabilities, Labels labels, std::int64_t bins = 15);

/// p = σ(logit / temperature): one number that makes a classifier more or less sure and leaves its order, and so its
/// AUROC, as it is.
struct TemperatureScaling {
  double temperature = 1;
  double nll_before = 0;  ///< mean −log p(label) at temperature 1, on the samples that it was fitted on
  double nll = 0;         ///< the same at `temperature`

  /// The calibrated probability of one logit, in [0, 1].
  double apply(double logit) const;
  /// The calibrated probabilities of logits.
  std::vector<double> apply(Scores logits) const;
};

/// The temperature of least mean −log p(label) (Guo et al. 2017, section 4.2, for one logit a sample): convex in 1/T,
/// by Newton steps kept within a bracket, to 1e-10 of T. Fit it on a dev split, never on the split that is measured.
/// Throws InvalidArgument, as metrics.hpp does, when one class is missing, when the logits part the classes without an
/// error (the surer, the better: T → 0), and when they tell no more than a constant would (T → ∞).
TemperatureScaling fit_temperature(Scores logits, Labels labels);

}  // namespace sslmeme
