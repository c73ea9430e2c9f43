// Callbacks that write what others read: a CSV of epochs for spreadsheets, event files for TensorBoard. Of several
// ranks the first one writes.
#pragma once

#include <sslmeme/train/session.hpp>

#include <memory>

namespace sslmeme {

/// Callback. Writes epochs.csv in the run directory, a row an epoch: loss, parts, metrics, health of each node. Give it
/// after callbacks that record metrics.
struct CsvLog {
  void on_epoch_end(const StepInfo& info) const;
};

/// Callback. Writes event files that TensorBoard reads (`tensorboard --logdir RUN`) in the run directory's folder
/// tensorboard/. What an interrupted run wrote after the checkpoint that a resume began with, TensorBoard drops.
class TensorBoardLog {
 public:
  /// every_steps: at least 1.
  explicit TensorBoardLog(std::int64_t every_steps = 10);

  void on_fit_begin(const StepInfo& info);
  void on_step_end(const StepInfo& info);
  void on_epoch_end(const StepInfo& info);
  void on_fit_end(const StepInfo& info);

 private:
  class Writer;
  std::int64_t every_steps_;
  std::shared_ptr<Writer> writer_;
};

static_assert(Callback<CsvLog> && Callback<TensorBoardLog>);

}  // namespace sslmeme
