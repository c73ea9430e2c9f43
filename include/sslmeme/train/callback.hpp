// Callbacks: what happens between steps, by value and in the order given to fit().
#pragma once

#include <sslmeme/train/monitor.hpp>

#include <concepts>
#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace sslmeme {

class TrainingSession;

/// Named numbers, in the order of the loss's parts.
using NamedValues = std::vector<std::pair<std::string, double>>;

/// What a callback sees. Counts start from 0; `step` counts the optimizer steps done.
struct StepInfo {
  std::int64_t step = 0, total_steps = 0;
  std::int64_t epoch = 0, epochs = 0;
  std::int64_t batch = 0, batches_per_epoch = 0;  ///< batches done in this epoch
  double loss = 0;                                ///< of the last step
  NamedValues parts;
  double mean_loss = 0;  ///< over the steps of this epoch so far; NaN when all were skipped
  NamedValues mean_parts;
  double learning_rate = 0;
  double gradient_norm = 0;            ///< before clipping
  double samples_per_second = 0;       ///< over this epoch so far, waiting included
  double data_wait_share = 0;          ///< part of this epoch's time spent waiting for the loader, in [0, 1]
  double seconds = 0;                  ///< since fit() began, as of the last step
  double resident_mb = 0;              ///< main memory that the process holds, 10⁶ bytes; 0 where it cannot be told
  std::vector<FeatureHealth> health;   ///< of the last measurement
  bool health_is_new = false;          ///< measured in this step
  bool skipped = false;                ///< this step changed nothing: its loss or gradient was not finite
  std::string note;                    ///< what people should know of this step, the start or the end; mostly empty
  std::int64_t rank = 0;               ///< of this process among those that train as one: 0 writes and prints for all
  TrainingSession* session = nullptr;  ///< for callbacks that write: save_checkpoint(), record(), history()
};

/// What a hook may return; the strongest of all callbacks holds.
enum class Flow {
  proceed,
  stop,       ///< training is over after this step: everything is saved, final weights too
  interrupt,  ///< leave after this step and go on another time: a checkpoint is saved, no final weights
};

namespace detail {

template <class R>
concept hook_result = std::same_as<R, void> || std::same_as<R, Flow>;

#define SSLMEME_HOOK(hook)                                           \
  template <class C>                                                 \
  concept has_##hook = requires(C& callback, const StepInfo& info) { \
    { callback.hook(info) };                                         \
    requires hook_result<decltype(callback.hook(info))>;             \
  };                                                                 \
  template <class C>                                                 \
  concept misses_##hook = requires { &C::hook; } && !has_##hook<C>;
SSLMEME_HOOK(on_fit_begin)
SSLMEME_HOOK(on_step_end)
SSLMEME_HOOK(on_epoch_end)
SSLMEME_HOOK(on_fit_end)
#undef SSLMEME_HOOK

template <class C>
concept has_any_hook = has_on_fit_begin<C> || has_on_step_end<C> || has_on_epoch_end<C> || has_on_fit_end<C>;
template <class C>
concept misses_any_hook =
    misses_on_fit_begin<C> || misses_on_step_end<C> || misses_on_epoch_end<C> || misses_on_fit_end<C>;

/// States in our own words what is wrong with a type that should be a callback.
template <class C>
constexpr void require_callback() {
  static_assert(!misses_any_hook<C>,
                "sslmeme: a hook of this callback has the wrong signature: it must take one `const StepInfo&` and "
                "return void or Flow");
  if constexpr (!misses_any_hook<C>) {
    static_assert(
        has_any_hook<C>,
        "sslmeme: this callback has no valid hook: give it at least one of on_fit_begin, on_step_end, on_epoch_end, "
        "on_fit_end, taking one `const StepInfo&`");
  }
}

/// Calls one hook where the callback has it.
#define SSLMEME_CALL(hook)                                               \
  template <class C>                                                     \
  Flow call_##hook(C& callback, const StepInfo& info) {                  \
    if constexpr (has_##hook<C>) {                                       \
      if constexpr (std::same_as<decltype(callback.hook(info)), Flow>) { \
        return callback.hook(info);                                      \
      } else {                                                           \
        callback.hook(info);                                             \
      }                                                                  \
    }                                                                    \
    return Flow::proceed;                                                \
  }
SSLMEME_CALL(on_fit_begin)
SSLMEME_CALL(on_step_end)
SSLMEME_CALL(on_epoch_end)
SSLMEME_CALL(on_fit_end)
#undef SSLMEME_CALL

}  // namespace detail

/// A type with at least one of on_fit_begin, on_step_end, on_epoch_end, on_fit_end; each takes one `const StepInfo&`
/// and returns void or Flow.
template <class C>
concept Callback = detail::has_any_hook<C> && !detail::misses_any_hook<C>;

}  // namespace sslmeme
