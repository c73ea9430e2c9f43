// LossWeight: the factor of a loss in a sum or on an edge, a number or a schedule over the run.
#pragma once

#include <sslmeme/core/error.hpp>
#include <sslmeme/loss/concepts.hpp>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <functional>
#include <string>
#include <utility>

namespace sslmeme {

/// A weight that moves linearly with the share of the run that is done: `from` until `begin`, `to` from `end` on.
struct LinearWeight {
  double from = 0, to = 1;
  double begin = 0, end = 1;  ///< shares of the run's steps, begin < end

  /// Throws InvalidArgument unless begin < end.
  double operator()(const StepContext& context) const {
    if (!(begin < end))
      throw InvalidArgument("LinearWeight: begin is " + std::to_string(begin) + ", end is " + std::to_string(end) +
                            "; begin must come before end");
    const auto total = static_cast<double>(context.total_steps);
    const auto done = total > 0 ? static_cast<double>(context.step) / total : 0.0;
    return std::lerp(from, to, std::clamp((done - begin) / (end - begin), 0.0, 1.0));
  }
  std::string describe() const {
    return detail::options_json({{"from", from}, {"to", to}, {"begin", begin}, {"end", end}});
  }
};

/// A number, or any function of StepContext such as LinearWeight. It is asked at every step and must be finite. What a
/// function is shall be told by its `describe()`, as JSON, if it has one.
class LossWeight {
 public:
  /// Throws InvalidArgument for a number that is not finite.
  LossWeight(double value) : value_{value} {  // NOLINT(google-explicit-constructor): every number is a weight
    if (!std::isfinite(value))
      throw InvalidArgument("the weight of a loss is " + std::to_string(value) + "; it must be finite");
  }
  template <class F>
    requires(!std::convertible_to<F, double> && std::invocable<const F&, const StepContext&>)
  LossWeight(F schedule) {  // NOLINT(google-explicit-constructor): nor are these other
    if constexpr (detail::has_describe<F>) description_ = schedule.describe();
    schedule_ = std::move(schedule);
  }

  /// The weight at a step. Throws InvalidArgument when a schedule gives a number that is not finite.
  double at(const StepContext& context) const {
    const auto weight = schedule_ ? value_ * schedule_(context) : value_;
    if (!std::isfinite(weight))
      throw InvalidArgument("the weight of a loss is " + std::to_string(weight) + " at step " +
                            std::to_string(context.step) + "; it must be finite");
    return weight;
  }
  bool scheduled() const { return static_cast<bool>(schedule_); }
  /// As JSON: a number, or {"factor": …, "schedule": …}, "unknown" for a function that does not tell.
  std::string describe() const {
    if (!scheduled()) return detail::json_of(value_);
    const std::string schedule = description_.empty() ? "unknown" : description_;
    return detail::options_json({{"factor", value_}, {"schedule", schedule}});
  }
  LossWeight scaled(double factor) const {
    if (!std::isfinite(factor)) return {factor};  // which throws
    auto copy = *this;
    copy.value_ *= factor;
    return copy;
  }

 private:
  double value_ = 1;  ///< also the factor of a schedule
  std::function<double(const StepContext&)> schedule_;
  std::string description_;  ///< of the schedule
};

}  // namespace sslmeme
