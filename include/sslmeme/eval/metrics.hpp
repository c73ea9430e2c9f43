// How good are scores? AUROC, accuracy, average precision, confusion, Brier score, ROC and precision-recall curves,
// bootstrap intervals, mean and deviation over runs.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <ranges>
#include <span>
#include <type_traits>
#include <vector>

namespace sslmeme {

namespace detail {

/// Numbers of either of two types, looked at without owning them: pass it on, do not store it.
template <class Wide, class Narrow>
class EitherView {
 public:
  template <std::ranges::contiguous_range Range>
    requires std::ranges::sized_range<const Range> && (std::same_as<std::ranges::range_value_t<Range>, Wide> ||
                                                       std::same_as<std::ranges::range_value_t<Range>, Narrow>)
  EitherView(const Range& range) : size_{std::ranges::size(range)} {
    if constexpr (std::same_as<std::ranges::range_value_t<Range>, Wide>) {
      wide_ = std::ranges::data(range);
    } else {
      narrow_ = std::ranges::data(range);
    }
  }

  std::size_t size() const { return size_; }
  Wide operator[](std::size_t i) const { return wide_ != nullptr ? wide_[i] : static_cast<Wide>(narrow_[i]); }

 private:
  std::size_t size_;
  const Wide* wide_ = nullptr;
  const Narrow* narrow_ = nullptr;
};

}  // namespace detail

/// One score a sample, the higher the more probably harmful: a span, vector or array of double or float.
using Scores = detail::EitherView<double, float>;
/// One label a sample, 1 harmful and 0 not: a span, vector or array of int64 or uint8.
using Labels = detail::EitherView<std::int64_t, std::uint8_t>;

// All functions here throw InvalidArgument, naming the index, when sizes differ, when there is no sample, when a score
// is not finite, or when a label is neither 0 nor 1.

/// The probability that a harmful sample scores above a harmless one, ties counting half:
///   AUROC = (Σ ranks of the positives − P (P + 1) / 2) / (P N), mean ranks for ties (Mann & Whitney 1947). O(n).
/// Pooled: over all samples given, never a mean over batches. Throws InvalidArgument when one class is missing.
double auroc(Scores scores, Labels labels);

/// The area under precision over recall as a sum without interpolation: Σ (Rₖ − Rₖ₋₁) Pₖ over falling distinct scores.
/// Throws InvalidArgument when there is no positive.
double average_precision(Scores scores, Labels labels);

/// The part of the samples for which (score ≥ threshold) is the label.
double accuracy(Scores scores, Labels labels, double threshold);

/// The threshold of highest accuracy. Candidates are the midpoints between neighbouring distinct scores, the lowest
/// score (all harmful) and the next number above the highest (none). Of equally good ones it takes that in the widest
/// gap between scores, and of equally wide gaps the lowest.
double best_threshold(Scores scores, Labels labels);

/// Rates of false and true positives as the threshold falls, from (0, 0) at +∞ to (1, 1): one point a distinct score.
struct RocCurve {
  std::vector<double> fpr;         ///< false positives / negatives, never falling
  std::vector<double> tpr;         ///< true positives / positives, never falling
  std::vector<double> thresholds;  ///< falling; the samples with score ≥ threshold count as harmful
};

/// The ROC curve. Throws InvalidArgument when one class is missing.
RocCurve roc_curve(Scores scores, Labels labels);

/// Precision and recall as the threshold rises: one point a distinct score, then (1, 0), which has no threshold.
struct PrecisionRecallCurve {
  std::vector<double> precision;   ///< tp / (tp + fp)
  std::vector<double> recall;      ///< tp / positives, never rising
  std::vector<double> thresholds;  ///< rising, one fewer; the samples with score ≥ threshold count as harmful
};

/// The precision-recall curve, as scikit-learn's. Throws InvalidArgument when there is no positive.
PrecisionRecallCurve precision_recall_curve(Scores scores, Labels labels);

/// Samples by what they are and what they are held for. Rates lie within [0, 1] and are 0 where they are undefined.
struct Confusion {
  std::int64_t tp = 0;  ///< harmful, and held for it
  std::int64_t fp = 0;  ///< harmless, but held for harmful
  std::int64_t tn = 0;  ///< harmless, and held for it
  std::int64_t fn = 0;  ///< harmful, but held for harmless

  double precision() const;          ///< tp / (tp + fp)
  double recall() const;             ///< tp / (tp + fn)
  double f1() const;                 ///< 2 tp / (2 tp + fp + fn)
  double accuracy() const;           ///< (tp + tn) / all
  double balanced_accuracy() const;  ///< ½ [tp / (tp + fn) + tn / (tn + fp)]; 0 when one class is missing
};

/// Counts the samples, held for harmful where score ≥ threshold. Throws InvalidArgument for a threshold that is NaN.
Confusion confusion(Scores scores, Labels labels, double threshold);

/// The mean of (p − label)² (Brier 1950): 0 best, 0.25 for always saying ½. Throws InvalidArgument for a probability
/// outside [0, 1].
double brier(Scores probabilities, Labels labels);

/// A number measured in several runs.
struct Summary {
  double mean = 0;
  double deviation = 0;  ///< sample standard deviation (n − 1); 0 for one run
  std::int64_t n = 0;    ///< runs
};

/// Mean and sample standard deviation. Throws InvalidArgument when empty or not finite.
Summary summarize(std::span<const double> values);

struct BootstrapOptions {
  std::int64_t resamples = 1000;  ///< at least 2
  std::uint64_t seed = 0;         ///< the same seed gives the same interval
  double level = 0.95;            ///< within (0, 1)
};

struct Interval {
  double low = 0;
  double high = 0;
};

/// A confidence interval of the AUROC by the percentile bootstrap (Efron 1979): samples are drawn with replacement, and
/// draws of one class only are drawn again. O(n · resamples).
Interval bootstrap_auroc(Scores scores, Labels labels, const BootstrapOptions& options = {});

/// The same of any figure of scores and labels. `figure` gets each draw, as many samples as there are and of both
/// classes. Throws InvalidArgument for a figure that is not finite, and what `figure` throws.
///
///     const auto f1 = bootstrap(scores, labels, [](Scores s, Labels y) { return confusion(s, y, 0.5).f1(); });
Interval bootstrap(Scores scores, Labels labels, const std::function<double(Scores, Labels)>& figure,
                   const BootstrapOptions& options = {});

}  // namespace sslmeme
