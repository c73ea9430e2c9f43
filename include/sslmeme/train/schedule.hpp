// Learning rate over time: a factor on the peak rate, from 0 to 1, as a function of where the run is.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace sslmeme {

/// A length of training. The unit is in the type, so that no step is taken for an epoch.
struct Steps {
  std::int64_t count = 0;  ///< optimizer steps
};
struct Epochs {
  double count = 0;  ///< may be a fraction
};
using Span = std::variant<Epochs, Steps>;

/// Where a run is, in optimizer steps from 0.
struct TrainingTime {
  std::int64_t step = 0, total_steps = 1, steps_per_epoch = 1;
};

/// Linear warmup, then half a cosine down to final_factor (Loshchilov & Hutter 2016, arXiv:1608.03983, without
/// restarts; timm's CosineLRScheduler with warmup_prefix). DINO's cosine_scheduler has the same cosine, but its warmup
/// of w steps is linspace(start, base, w), which is at the peak a step earlier.
struct WarmupCosine {
  Span warmup = Epochs{0};
  double warmup_from = -1;  ///< the factor of the very first step; negative: 1/(warmup steps + 1), so that none is lost
  double final_factor = 0;  ///< at the end
};

/// Warmup, then a straight line (or a power of one) down to final_factor, as in torch's PolynomialLR.
struct WarmupPolynomial {
  Span warmup = Epochs{0};
  double warmup_from = -1;  ///< as in WarmupCosine
  double power = 1;
  double final_factor = 0;
};

/// The peak rate throughout, after a warmup.
struct Constant {
  Span warmup = Epochs{0};
  double warmup_from = -1;  ///< as in WarmupCosine
};

/// The rate is multiplied by `factor` at each milestone, as in torch's MultiStepLR.
struct Milestones {
  std::vector<Span> at = {};
  double factor = 0.1;
};

/// Cosine down in half a period and up again in the other, as torch's CosineAnnealingLR goes on; the CASS reference's
/// is CosineWave{.half_period = Steps{16}, .final_factor = 1e-3}.
struct CosineWave {
  Span half_period = Epochs{1};
  double final_factor = 0;
};

/// Cosine with warm restarts (SGDR, arXiv:1608.03983), as in torch's CosineAnnealingWarmRestarts.
struct CosineRestarts {
  Span first_period = Epochs{1};
  double growth = 1;  ///< each period is so many times as long as the one before
  double final_factor = 0;
};

/// How the factor moves: with every step, or only from epoch to epoch.
enum class Pace { by_step, by_epoch };

/// One of the shapes above, at a pace:  `.schedule = sm::WarmupCosine{.warmup = sm::Epochs{10}}`  or
/// `.schedule = {sm::Milestones{…}, sm::Pace::by_epoch}`.
class Schedule {
 public:
  using Shape = std::variant<WarmupCosine, WarmupPolynomial, Constant, Milestones, CosineWave, CosineRestarts>;

  Schedule() = default;
  template <class S>
    requires std::constructible_from<Shape, S> && (!std::same_as<std::remove_cvref_t<S>, Schedule>)
  Schedule(S&& shape, Pace pace = Pace::by_step) : shape_{std::forward<S>(shape)}, pace_{pace} {}  // a value's spelling

  /// In [0, 1] for shapes as documented.
  double factor(const TrainingTime& time) const;
  /// Throws InvalidArgument naming the field: spans and factors must be finite and not negative, periods positive.
  void check() const;
  /// JSON object with all fields, for config.json.
  std::string describe() const;

  const Shape& shape() const { return shape_; }
  Pace pace() const { return pace_; }

 private:
  Shape shape_ = WarmupCosine{};
  Pace pace_ = Pace::by_step;
};

}  // namespace sslmeme
