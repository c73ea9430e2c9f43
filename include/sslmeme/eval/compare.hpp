// Is one model better than another, and for whom? Tests and intervals of AUROCs, and figures by group.
#pragma once

#include <sslmeme/eval/metrics.hpp>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace sslmeme {

struct AurocEstimate {
  double auroc = 0;     ///< that of auroc()
  double variance = 0;  ///< of the AUROC over samples drawn anew
  Interval interval;    ///< auroc ± z √variance, cut to [0, 1]
};

/// The AUROC with its confidence interval (DeLong, DeLong & Clarke-Pearson 1988), without drawing samples. With
///   V₁₀(i) = the part of the negatives that positive i scores above, V₀₁(j) = the part of the positives above negative
///   j, ties counting half, variance = var V₁₀ / P + var V₀₁ / N,
/// sample variances (n − 1). O(n log n) (Sun & Xu 2014). level: within (0, 1). Near an AUROC of 1 the interval is too
/// short, and at 1 it is a point: bootstrap_auroc has the same fault. Throws InvalidArgument for fewer than two samples
/// of a class.
AurocEstimate delong_interval(Scores scores, Labels labels, double level = 0.95);

/// Two models on the same samples.
struct AurocTest {
  double auroc_a = 0;
  double auroc_b = 0;
  double variance = 0;  ///< of auroc_a − auroc_b, whose correlation counts
  double z = 0;         ///< (auroc_a − auroc_b) / √variance; 0 when both are 0, ±∞ when only the variance is
  double p = 1;         ///< two-sided: how probable so large a |z| is, were both AUROCs equal
};

/// The paired test for equal AUROCs of two models (DeLong et al. 1988; in O(n log n) as Sun & Xu 2014). scores_a and
/// scores_b: of the same samples in the same order, on whatever scales. Throws InvalidArgument as delong_interval does.
AurocTest delong_test(Scores scores_a, Scores scores_b, Labels labels);

/// How a model does on a part of the samples.
struct GroupFigures {
  std::string group;
  std::int64_t n = 0;           ///< samples
  std::int64_t positives = 0;   ///< harmful ones
  double accuracy = 0;          ///< at the threshold
  std::optional<double> auroc;  ///< nothing for a group of one class
};

/// Figures for each group, by name. groups: the group's name of each sample. Throws InvalidArgument when sizes differ
/// and as metrics.hpp does.
std::vector<GroupFigures> evaluate_groups(Scores scores, Labels labels, std::span<const std::string> groups,
                                          double threshold = 0.5);

}  // namespace sslmeme
