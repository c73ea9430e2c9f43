// Run directories as `report` takes them: fine-tuned ones, gathered into models over seeds, and pre-trainings.
#pragma once

#include "support/experiment.hpp"

#include <nlohmann/json.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace examples {

/// A fine-tuned run, with what it predicted on its test split, by id.
struct JudgedRun {
  std::filesystem::path path;
  std::uint64_t seed = 0;
  nlohmann::json config;  ///< config.json
  RunResults results;
  sm::Predictions test;  ///< scores are calibrated; every label is 0 or 1
};

/// Runs that differ in their seed alone.
struct JudgedModel {
  std::string name;
  std::vector<JudgedRun> runs;  ///< by seed
  std::size_t typical = 0;      ///< the run of median AUROC, the lower of two

  const JudgedRun& shown() const { return runs[typical]; }
};

struct PretrainedRun {
  std::string name;
  std::filesystem::path path;
  std::string method;
  bool finished = false;
};

struct ReportedRuns {
  std::vector<JudgedModel> models;
  std::vector<PretrainedRun> pretrainings;
};

/// Reads run directories, each given as DIRECTORY or NAME=DIRECTORY. Runs are one model if they have the same name or,
/// without one, the same path but for numbers at the ends of its parts, and if their configurations are the same but
/// for seeds that all differ. Throws IoError for what is no run directory, InvalidArgument for one that is not finished
/// or given twice and for a name that is given to different models, DataError for damaged files.
ReportedRuns read_runs(const std::vector<std::string>& arguments);

/// "runs/judge-seed3" → "judge": a directory's name without the number, and the word before it, that tell its seed.
std::string name_without_seed(const std::filesystem::path& directory);

/// Steps of an epoch, as config.json tells.
double steps_per_epoch(const nlohmann::json& config);

}  // namespace examples
