// Trainer: the only training loop. It knows time (epochs, steps, schedules, checkpoints) and nothing of what is
// learned.
#pragma once

#include <sslmeme/method/concepts.hpp>
#include <sslmeme/train/session.hpp>

#include <chrono>
#include <string>
#include <utility>

namespace sslmeme {

/// Trains a method on the batches of a loader.
///
///     sm::Trainer trainer{method, {.epochs = 100, .optimizer = sm::AdamW{.lr = 1e-3}, .output_dir = "runs/cass"}};
///     trainer.fit(loader, sm::ProgressBar{}, sm::Checkpoint{.every_epochs = 5});
template <Method M>
class Trainer {
 public:
  /// Methods are handles: the trainer's copy shares encoders and parameters with the one given.
  Trainer(M method, TrainerOptions options = {}) : method_{std::move(method)}, options_{std::move(options)} {}

  /// Runs all epochs that are not done yet. loader: start_epoch(epoch, first_batch, views), next() → optional<Batch>
  /// and batches_per_epoch(), as DataLoader has them. Callbacks are called in the order given.
  template <class Loader, class... Callbacks>
  FitResult fit(Loader& loader, Callbacks... callbacks) {
    (detail::require_callback<Callbacks>(), ...);
    std::string method_json;
    if constexpr (requires { method_.describe(); }) method_json = method_.describe();
    TrainingSession session{method_.module(), options_, loader.batches_per_epoch(), method_json};
    const auto forward = [this](const Batch& batch, const StepContext& context) {
      return method_.step(batch, context);
    };
    const auto after_step = [&](const StepContext& context, const LossOutput& output) {
      if constexpr (requires { method_.after_step(context, output); }) method_.after_step(context, output);
    };
    const auto call_all = [&]([[maybe_unused]] auto hook) {  // in order; true when one of them says stop
      bool stop = false;
      ((stop |= hook(callbacks) == Flow::stop), ...);
      return stop;
    };
    const auto& info = session.info();

    bool stopped = call_all([&](auto& callback) { return detail::call_on_fit_begin(callback, info); });
    auto first_batch = session.first_batch();
    for (auto epoch = session.first_epoch(); epoch < options_.epochs && !stopped; ++epoch) {
      session.begin_epoch(epoch);
      loader.start_epoch(epoch, std::exchange(first_batch, 0), method_.views_required());
      while (!stopped) {
        const auto asked = std::chrono::steady_clock::now();
        const auto batch = loader.next();
        if (!batch) break;
        const std::chrono::duration<double> wait = std::chrono::steady_clock::now() - asked;
        session.step(*batch, wait.count(), forward, after_step);
        stopped = call_all([&](auto& callback) { return detail::call_on_step_end(callback, info); });
      }
      if (info.batch < info.batches_per_epoch) {
        if (!stopped) session.refuse_short_epoch();
        break;  // stopped within the epoch
      }
      session.end_epoch();
      stopped |= call_all([&](auto& callback) { return detail::call_on_epoch_end(callback, info); });
    }
    auto result = session.finish(stopped);
    call_all([&](auto& callback) { return detail::call_on_fit_end(callback, info); });
    return result;
  }

  const M& method() const { return method_; }
  const TrainerOptions& options() const { return options_; }

 private:
  M method_;
  TrainerOptions options_;
};

}  // namespace sslmeme
