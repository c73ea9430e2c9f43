// How sure is a curve? Pointwise bootstrap bands about ROC and precision-recall curves.
#pragma once

#include <sslmeme/eval/metrics.hpp>

#include <cstdint>
#include <vector>

namespace sslmeme {

/// Two lines over the same x, between which a curve lies.
struct CurveBand {
  std::vector<double> x;     ///< rising
  std::vector<double> low;   ///< as many
  std::vector<double> high;  ///< as many, nowhere below `low`
};

struct BandOptions {
  std::int64_t resamples = 300;  ///< at least 2
  std::int64_t points = 101;     ///< of x, equally spaced over [0, 1]; at least 2
  std::uint64_t seed = 0;        ///< the same seed gives the same band
  double level = 0.95;           ///< within (0, 1): of each point by itself, not of the curve as a whole
};

/// The band of the true positive rate over the false positive rate, by the percentile bootstrap (Efron 1979),
/// stratified: positives and negatives are drawn with replacement each among themselves, so that every draw has as many
/// of both as the data. Between two points of a draw's ROC curve the rate is on the straight line, which a coin between
/// both thresholds reaches (Fawcett 2006). O((n + points) · resamples). Throws InvalidArgument as metrics.hpp does, for
/// a missing class and for options out of range.
CurveBand roc_band(Scores scores, Labels labels, const BandOptions& options = {});

/// The band of precision over recall, by the same draws. Precision at recall r is that of the highest threshold whose
/// recall is at least r: no line is drawn between points, since precision is not linear in recall (Davis & Goadrich
/// 2006). Cost and errors as roc_band.
CurveBand precision_recall_band(Scores scores, Labels labels, const BandOptions& options = {});

}  // namespace sslmeme
