// The callbacks that every training program has: progress, logs, checkpoints, and an orderly end on Ctrl-C.
#pragma once

#include <sslmeme/train/checkpoint.hpp>
#include <sslmeme/train/logs.hpp>
#include <sslmeme/train/progress.hpp>
#include <sslmeme/train/stopping.hpp>
#include <sslmeme/train/trainer.hpp>

#include "support/cli.hpp"

namespace examples {

/// Trains; `callbacks` come first. In the end stderr has what could not be read. Throws Interrupted when SIGINT or
/// SIGTERM ended the run before its time.
template <class M, class... Callbacks>
void train(const M& method, const TrainingArguments& arguments, const sm::TrainerOptions& options,
           sm::DataLoader& loader, const std::string& label, Callbacks... callbacks) {
  const sm::SignalWatch watch;
  sm::Trainer trainer{method, options};
  const auto result =
      trainer.fit(loader, std::move(callbacks)..., sm::ProgressBar{label}, sm::CsvLog{}, sm::TensorBoardLog{},
                  sm::Checkpoint{.every_epochs = arguments.every_epochs, .keep = arguments.keep}, sm::StopOnSignal{});
  tell_unreadable(loader, label, arguments.out);
  if (result.interrupted) throw Interrupted{};
}
template <class M, class... Callbacks>
void train(const M& method, const TrainingArguments& arguments, sm::DataLoader& loader, const std::string& label,
           Callbacks... callbacks) {
  train(method, arguments, arguments.trainer(), loader, label, std::move(callbacks)...);
}

}  // namespace examples
