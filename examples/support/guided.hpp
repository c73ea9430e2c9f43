// finetune --rgcl: training guided by what is retrieved, and the vote of the nearest training memes.
#pragma once

#include <sslmeme/method/retrieval_guided.hpp>
#include <sslmeme/train/between_epochs.hpp>

#include "support/experiment.hpp"

#include <CLI/CLI.hpp>

#include <cstdint>
#include <filesystem>
#include <string>

namespace examples {

struct GuidedArguments {
  bool rgcl = false;
  double weight = 1;
  std::string loss = "log_ratio";
  std::int64_t neighbours = 20;

  void add_to(CLI::App& app);
};

struct Guided {
  sm::RetrievalGuided method;  ///< trains the classifier
  sm::BetweenEpochs remember;  ///< reads the whole training split for the method's memory
};
Guided guide(const sm::Supervised& classifier, const sm::AnyDataset& train, const Preparation& preparation,
             const GuidedArguments& arguments);

/// Judges every split by the vote of its memes' nearest neighbours in the memory, tunes the threshold on dev and writes
/// RUN/votes.json ({"k", "dev", "test", "threshold", "splits": {SPLIT: {"n", "auroc", "accuracy", "tuned_accuracy"}}}).
/// Gives what came of it on the test split.
sm::Evaluation measure_votes(const sm::RetrievalGuided& method, const MeasuredSplits& splits,
                             const Preparation& preparation, const std::filesystem::path& run, std::int64_t neighbours);

/// AUROC of the votes that measure_votes() left, on its test split. Throws IoError and DataError as read_results does.
double vote_auroc(const std::filesystem::path& run);

}  // namespace examples
