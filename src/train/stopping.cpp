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

}  // namespace

Flow EarlyStopping::on_epoch_end(const StepInfo& info) const {
  if (measure) info.session->record(metric, measure());
  const auto& history = info.session->history();
  if (!detail::value_of(history.back().metrics, metric)) {
    throw InvalidArgument(
        fmt::format("epoch {} has no metric \"{}\": give EarlyStopping a `measure`, or before it a "
                    "callback that records one",
                    info.epoch, metric));
  }
  std::optional<double> best;
  std::int64_t best_epoch = 0;
  for (const auto& record : history) {
    const auto value = detail::value_of(record.metrics, metric);
    if (!value || std::isnan(*value) || (best && !((higher_is_better ? *value - *best : *best - *value) > least)))
      continue;
    best = value;
    best_epoch = record.epoch;
  }
  return info.epoch - best_epoch >= patience ? Flow::stop : Flow::proceed;
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
