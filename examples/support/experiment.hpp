// Measuring a fine-tuned classifier, and what a run keeps of it on disk, as finetune, demo and paper_tables all do it.
#pragma once

#include <sslmeme/data/inspect.hpp>
#include <sslmeme/eval/metrics.hpp>
#include <sslmeme/eval/predict.hpp>
#include <sslmeme/method/supervised.hpp>
#include <sslmeme/text/tokenizer.hpp>
#include <sslmeme/train/callback.hpp>

#include "support/data.hpp"

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace examples {

namespace sm = sslmeme;

/// The splits that a classifier is measured on. Open them before it is trained: a wrong name then costs nothing.
struct MeasuredSplits {
  DataArguments where;                ///< layout found out
  std::string dev;                    ///< of which threshold and temperature come
  std::string test;                   ///< the split that counts
  std::vector<sm::NamedDataset> all;  ///< dev, test and further ones, each once
};

/// Opens them. Throws as DataArguments::open does, and InvalidArgument where dev or test lacks labels or a class.
MeasuredSplits open_splits(const DataArguments& where, const std::string& dev, const std::string& test,
                           const std::vector<std::string>& also = {});

/// How memes are made ready for a classifier.
struct Preparation {
  int size = 224;  ///< pixels of both edges
  std::shared_ptr<const sm::Tokenizer> tokenizer = {};
  std::int64_t max_tokens = 64;
};

/// A loader that leaves nothing out, in the dataset's order.
sm::DataLoader evaluation_loader(const sm::AnyDataset& data, const Preparation& preparation);

/// Whether figures can be made: both classes, and a label for each meme.
bool can_be_measured(const sm::Predictions& predictions);

struct SplitFigures {
  std::int64_t n = 0;                             ///< memes
  std::optional<sm::Evaluation> evaluation = {};  ///< none where labels or a class are missing
};

/// What a classifier learned from.
struct Origin {
  std::string train = "train";  ///< split
  std::string from = {};        ///< run directory of the pre-training of its encoders; empty: fresh, or files
};

/// What RUN/results.json holds.
struct RunResults {
  Origin origin = {};
  DataArguments data = {};  ///< its folder as an absolute path
  std::string dev, test;
  int size = 224;
  std::int64_t max_tokens = 64;
  double threshold = 0.5;             ///< on the calibrated probability, the best on dev
  double temperature = 1;             ///< of sm::fit_temperature on dev
  std::string temperature_note = {};  ///< why it is 1, where dev did not tell one
  std::map<std::string, SplitFigures> splits = {};

  /// The figures of a split that has them. Throws InvalidArgument for another.
  const sm::Evaluation& of(const std::string& split) const;
};

/// Predicts on all splits, fits threshold and temperature on dev alone, and writes RUN/predictions/SPLIT.jsonl, lines
/// {"id", "label", "logit", "score"} with calibrated scores, and then RUN/results.json.
RunResults measure_run(sm::Supervised& classifier, const MeasuredSplits& splits, const Preparation& preparation,
                       const std::filesystem::path& run, const Origin& origin);

/// Callback that removes what an earlier training in the run directory measured, votes and scorer included: figures
/// never stand beside weights that they are not of.
struct ForgetResults {
  void on_fit_begin(const sm::StepInfo& info) const;
};

/// Mean and deviation of one figure over runs that differ in their seed.
template <class Run, class Figure>
sm::Summary over_seeds(const std::vector<Run>& runs, Figure figure) {
  std::vector<double> values;
  for (const auto& run : runs) values.push_back(figure(run));
  return sm::summarize(values);
}

/// What measure_run() left. Throws IoError for a file that is missing and DataError for one that is damaged.
RunResults read_results(const std::filesystem::path& run);
sm::Predictions read_predictions(const std::filesystem::path& run, const std::string& split);

}  // namespace examples
