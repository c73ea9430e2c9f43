// The demo: which fits it has, and its report.
#pragma once

#include <sslmeme/eval/report.hpp>

#include "support/fits.hpp"

#include <cstdint>
#include <filesystem>

namespace examples {

struct DemoOptions {
  std::filesystem::path out = "runs/demo";
  std::int64_t pretrain_epochs = 9, finetune_epochs = 13;
};

/// Six classifiers from two pre-trainings, on the memes in OUT/memes. The encoders are small members of both families,
/// so that the demo ends in minutes on two cores: same code as their big siblings.
Experiment demo_experiment(const DemoOptions& options);

/// The report of a demo whose fits are complete.
sm::Report demo_report(const Experiment& demo, int seeds, double seconds);

}  // namespace examples
