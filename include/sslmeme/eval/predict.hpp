// Scores of a trained classifier on a split.
#pragma once

#include <sslmeme/data/loader.hpp>
#include <sslmeme/method/supervised.hpp>

#include <cstdint>
#include <vector>

namespace sslmeme {

/// One row a sample, in the loader's order.
struct Predictions {
  std::vector<double> scores;        ///< probability of "harmful", in [0, 1]: the sigmoid of the logit
  std::vector<std::int64_t> labels;  ///< −1 where the split has none
  std::vector<std::int64_t> ids;
  std::vector<double> logits = {};  ///< what the classifier gave: fit_temperature() takes it
};

/// Runs the classifier over one epoch of `loader` (made with shuffle = false and drop_last = false), in evaluation mode
/// and without gradients; rows that only fill up a batch are left out. Throws InvalidArgument for a loader that would
/// leave samples out or put others in the place of unreadable ones, NonFiniteError naming the id of a score that is not
/// finite.
Predictions predict(Supervised& classifier, DataLoader& loader);

/// The figures by which rows of a table are compared.
struct Evaluation {
  double auroc = 0;           ///< pooled over the split
  double accuracy = 0;        ///< at threshold 0.5
  double tuned_accuracy = 0;  ///< at `threshold`
  double threshold = 0.5;     ///< the best on the dev split; never tuned on the split that is measured
};

/// Measures `test`, with the threshold tuned on `dev`. Throws InvalidArgument for labels that are missing or of one
/// class.
Evaluation evaluate(const Predictions& test, const Predictions& dev);

}  // namespace sslmeme
