#include <sslmeme/train/stopping.hpp>

#include <sslmeme/core/error.hpp>

#include "train/named.hpp"

#include <fmt/format.h>

#include <atomic>
#include <cmath>
#include <csignal>
#include <optional>

namespace sslmeme {
namespace {

std::atomic<int> signal_received = 0;  // a handler can reach nothing else
static_assert(std::atomic<int>::is_always_lock_free);

extern "C" void note_signal(int signal) {
  if (signal_received != 0 && signal == SIGINT) {
    std::signal(SIGINT, SIG_DFL);
    std::raise(SIGINT);
  }
  signal_received = signal;
}

/// Whether the last epoch is `patience` or more after the best.
bool patience_is_over(const EarlyStopping& stopping, const std::vector<EpochRecord>& history) {
  std::optional<double> best;
  std::int64_t best_epoch = 0;
  for (const auto& record : history) {
    const auto value = detail::value_of(record.metrics, stopping.metric);
    if (!value || std::isnan(*value)) continue;
    if (best && !((stopping.higher_is_better ? *value - *best : *best - *value) > stopping.least)) continue;
    best = value;
    best_epoch = record.epoch;
  }
  return history.back().epoch - best_epoch >= stopping.patience;
}

}  // namespace

Flow EarlyStopping::on_fit_begin(const StepInfo& info) const {
  const auto& history = info.session->history();
  const bool within_an_epoch = info.session->first_batch() != 0;  // then it was not this that ended the run
  if (within_an_epoch || history.empty() || !detail::value_of(history.back().metrics, metric)) return Flow::proceed;
  return patience_is_over(*this, history) ? Flow::stop : Flow::proceed;
}

Flow EarlyStopping::on_epoch_end(const StepInfo& info) const {
  if (measure) info.session->record(metric, measure());
  const auto& history = info.session->history();
  if (!detail::value_of(history.back().metrics, metric)) {
    throw InvalidArgument(
        fmt::format("epoch {} has no metric \"{}\": give EarlyStopping a `measure`, or before it a "
                    "callback that records one",
                    info.epoch, metric));
  }
  return patience_is_over(*this, history) ? Flow::stop : Flow::proceed;
}

struct SignalWatch::Before {
  struct sigaction interrupt{}, terminate{};
};

SignalWatch::SignalWatch() : before_{std::make_unique<Before>()} {
  signal_received = 0;
  struct sigaction action{};
  action.sa_handler = note_signal;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, &before_->interrupt);
  sigaction(SIGTERM, &action, &before_->terminate);
}

SignalWatch::~SignalWatch() {
  sigaction(SIGINT, &before_->interrupt, nullptr);
  sigaction(SIGTERM, &before_->terminate, nullptr);
}

int SignalWatch::received() {
  return signal_received;
}

}  // namespace sslmeme
