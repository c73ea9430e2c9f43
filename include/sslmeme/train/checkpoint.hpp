// Checkpoint: saves the state of training every few epochs or steps, so that a run can go on after the machine died.
#pragma once

#include <sslmeme/train/session.hpp>

namespace sslmeme {

/// Callback. The newest two checkpoints are kept; the end of a run is always saved, with or without this callback.
struct Checkpoint {
  std::int64_t every_epochs = 1;  ///< 0: not at ends of epochs
  std::int64_t every_steps = 0;   ///< 0: not within epochs

  void on_step_end(const StepInfo& info) const {
    if (every_steps > 0 && info.step % every_steps == 0) info.session->save_checkpoint();
  }
  void on_epoch_end(const StepInfo& info) const {
    if (every_epochs > 0 && (info.epoch + 1) % every_epochs == 0) info.session->save_checkpoint();
  }
};

static_assert(Callback<Checkpoint>);

}  // namespace sslmeme
