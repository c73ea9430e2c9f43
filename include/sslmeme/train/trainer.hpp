// Trainer: the only training loop. It knows time (epochs, steps, schedules, checkpoints) and nothing of what is
// learned.
#pragma once

#include <sslmeme/method/concepts.hpp>
#include <sslmeme/train/session.hpp>

#include <algorithm>
#include <chrono>
#include <concepts>
#include <string>
#include <utility>
#include <vector>

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
  /// and batches_per_epoch(), as DataLoader has them; and, where it has them, options() and quarantine() for the run
  /// directory. Callbacks are called in the order given.
  template <class Loader, class... Callbacks>
  FitResult fit(Loader& loader, Callbacks... callbacks) {
    (detail::require_callback<Callbacks>(), ...);
    std::string method_json;
    if constexpr (requires { method_.describe(); }) method_json = method_.describe();
    const LoaderOptions* loaded = nullptr;
    if constexpr (requires {
                    { loader.options() } -> std::same_as<const LoaderOptions&>;
                  }) {
      loaded = &loader.options();
    }
    TrainingSession session{method_.module(), options_, loader.batches_per_epoch(), method_json, loaded};
    const auto method = calls();
    auto flow = Flow::proceed;
    const auto call_all = [&]([[maybe_unused]] auto hook) {  // in order; the strongest wish holds, on all ranks
      ((flow = std::max(flow, hook(callbacks))), ...);
      flow = session.agree(flow);
      return flow == Flow::proceed;
    };
    const auto& info = session.info();

    bool going = call_all([&](auto& callback) { return detail::call_on_fit_begin(callback, info); });
    for (auto epoch = session.first_epoch(); epoch < options_.epochs && going; ++epoch) {
      session.begin_epoch(epoch);
      const bool cut_off_before_its_end = info.batch == info.batches_per_epoch;
      if (!cut_off_before_its_end) loader.start_epoch(epoch, info.batch, method_.views_required());
      while (going && !cut_off_before_its_end) {
        const auto asked = std::chrono::steady_clock::now();
        auto parts = next_batches(loader, session);
        if (parts.empty()) break;
        const std::chrono::duration<double> wait = std::chrono::steady_clock::now() - asked;
        session.step(std::move(parts), wait.count(), method);
        going = call_all([&](auto& callback) { return detail::call_on_step_end(callback, info); });
      }
      if (info.batch < info.batches_per_epoch) {
        if (going) session.refuse_short_epoch();
        break;  // stopped within the epoch
      }
      session.end_epoch();
      going = call_all([&](auto& callback) { return detail::call_on_epoch_end(callback, info); });
    }
    auto result = session.finish(flow);
    call_all([&](auto& callback) { return detail::call_on_fit_end(callback, info); });
    return result;
  }

  const M& method() const { return method_; }
  const TrainerOptions& options() const { return options_; }

 private:
  MethodCalls calls() {
    MethodCalls calls;
    calls.step = [this](const Batch& batch, const StepContext& context) { return method_.step(batch, context); };
    calls.after_step = [](const StepContext&, const LossOutput&) {};
    if constexpr (requires(const StepContext& context, const LossOutput& output) {
                    method_.after_step(context, output);
                  }) {
      calls.after_step = [this](const StepContext& context, const LossOutput& output) {
        method_.after_step(context, output);
      };
    }
    if constexpr (requires(const Batch& batch, const StepContext& context) {
                    method_.compare(method_.represent(batch, context), context);
                  }) {
      calls.represent = [this](const Batch& batch, const StepContext& context) {
        return method_.represent(batch, context);
      };
      calls.compare = [this](const NamedTensors& samples, const StepContext& context) {
        return method_.compare(samples, context);
      };
    }
    return calls;
  }

  /// The batches of the next step; fewer than accumulate, or none, at the end of an epoch.
  template <class Loader>
  std::vector<Batch> next_batches(Loader& loader, [[maybe_unused]] TrainingSession& session) const {
    const auto note_unreadable = [&] {
      if constexpr (requires { session.note_unreadable(loader.quarantine()); })
        session.note_unreadable(loader.quarantine());
    };
    std::vector<Batch> batches;
    try {
      while (std::cmp_less(batches.size(), options_.accumulate)) {
        auto batch = loader.next();
        if (!batch) break;
        batches.push_back(std::move(*batch));
      }
    } catch (...) {  // too many of them, perhaps: the list tells which
      note_unreadable();
      throw;
    }
    note_unreadable();
    return batches;
  }

  M method_;
  TrainerOptions options_;
};

}  // namespace sslmeme
