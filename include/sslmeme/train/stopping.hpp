// Callbacks that end training: no more progress, time is up, or someone asked for it.
#pragma once

#include <sslmeme/train/session.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <string>

namespace sslmeme {

/// Callback. Stops when a metric has not improved for `patience` epochs. Give it before Checkpoint. It looks at the
/// run's history, so a resumed run stops where the uninterrupted one would, and one that it ended stays so.
struct EarlyStopping {
  std::string metric = "auroc";
  std::function<double()> measure = {};  ///< recorded under `metric` after every epoch; empty: another callback did
  std::int64_t patience = 5;
  bool higher_is_better = true;
  double least = 0;  ///< an improvement must be larger than this

  Flow on_fit_begin(const StepInfo& info) const;
  /// Throws InvalidArgument when nothing was recorded under `metric`.
  Flow on_epoch_end(const StepInfo& info) const;
};

/// Callback. Interrupts the run after so long, to be resumed in another job.
struct MaxTime {
  std::chrono::duration<double> limit;

  Flow on_step_end(const StepInfo& info) const {
    return info.seconds >= limit.count() ? Flow::interrupt : Flow::proceed;
  }
  /// What was done at the epoch's end before, a measurement perhaps, counts too.
  Flow on_epoch_end(const StepInfo& info) const {
    return info.session->seconds() >= limit.count() ? Flow::interrupt : Flow::proceed;
  }
};

/// While one lives, the first SIGINT or SIGTERM only asks for an end, which StopOnSignal hears; a second SIGINT ends
/// the process as ever. For main(): there is one disposition of signals in a process.
class SignalWatch {
 public:
  SignalWatch();
  ~SignalWatch();
  SignalWatch(const SignalWatch&) = delete;
  SignalWatch& operator=(const SignalWatch&) = delete;

  /// The signal that came since the newest watch began; 0: none.
  static int received();

 private:
  struct Before;
  std::unique_ptr<Before> before_;
};

/// Callback. Interrupts the run once a signal came; without a SignalWatch it does nothing. Give it last, so that it
/// hears a signal that came while another callback was at work.
struct StopOnSignal {
  Flow on_step_end(const StepInfo& /*info*/) const { return wish(); }
  Flow on_epoch_end(const StepInfo& /*info*/) const { return wish(); }

 private:
  static Flow wish() { return SignalWatch::received() != 0 ? Flow::interrupt : Flow::proceed; }
};

static_assert(Callback<EarlyStopping> && Callback<MaxTime> && Callback<StopOnSignal>);

}  // namespace sslmeme
