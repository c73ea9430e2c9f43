// Learning rate over time.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>

namespace sslmeme {

/// Linear warmup from 0, then half a cosine down to final_factor (Loshchilov & Hutter 2016, arXiv:1608.03983, without
/// restarts).
struct WarmupCosine {
  double warmup_epochs = 0;  ///< may be a fraction of an epoch
  double final_factor = 0;   ///< of the peak learning rate, at the end

  /// The factor on the peak learning rate for the `step`-th optimizer step (from 0) of `total_steps`.
  double factor(std::int64_t step, std::int64_t total_steps, std::int64_t steps_per_epoch) const {
    const double warmup = warmup_epochs * static_cast<double>(steps_per_epoch);
    const auto s = static_cast<double>(step);
    if (s < warmup) return (s + 1) / (warmup + 1);
    const double span = std::max(1.0, static_cast<double>(total_steps) - warmup);
    const double progress = std::min(1.0, (s - warmup) / span);
    return final_factor + (1 - final_factor) * 0.5 * (1 + std::cos(std::numbers::pi * progress));
  }
};

}  // namespace sslmeme
