// Checkpoint: saves the state of training every few epochs or steps, so that a run can go on after the machine died.
#pragma once

#include <sslmeme/train/session.hpp>

#include <string>

namespace sslmeme {

/// Callback. The end of a run is always saved, with or without this callback. Give it after callbacks that record
/// metrics, so that a checkpoint knows those of its epoch.
struct Checkpoint {
  std::int64_t every_epochs = 1;  ///< 0: not at ends of epochs
  std::int64_t every_steps = 0;   ///< 0: not within epochs
  std::int64_t keep = 2;          ///< so many of the newest stay
  std::string best = {};          ///< also the one at the end of the best epoch by this metric, part, or "loss"
  bool higher_is_better = true;   ///< of `best`

  void on_fit_begin(const StepInfo& info) const { info.session->retain({keep, best, higher_is_better}); }
  void on_step_end(const StepInfo& info) const {
    if (every_steps > 0 && info.step % every_steps == 0) info.session->start_checkpoint();
  }
  void on_epoch_end(const StepInfo& info) const {
    if (every_epochs > 0 && (info.epoch + 1) % every_epochs == 0) info.session->start_checkpoint();
  }
};

static_assert(Callback<Checkpoint>);

}  // namespace sslmeme
