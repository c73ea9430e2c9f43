#include <sslmeme/train/schedule.hpp>

#include <sslmeme/core/error.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <optional>

namespace sslmeme {
namespace {

/// Time in the unit of the pace: steps, or whole epochs.
struct Position {
  double at, end, units_per_epoch, steps_per_unit;

  double length(const Span& span) const {
    if (const auto* epochs = std::get_if<Epochs>(&span)) return epochs->count * units_per_epoch;
    return static_cast<double>(std::get<Steps>(span).count) / steps_per_unit;
  }
};

Position position_of(const TrainingTime& time, Pace pace) {
  const auto per_epoch = static_cast<double>(std::max<std::int64_t>(1, time.steps_per_epoch));
  const auto step = static_cast<double>(time.step), end = static_cast<double>(time.total_steps);
  if (pace == Pace::by_step) return {step, end, per_epoch, 1};
  return {std::floor(step / per_epoch), std::ceil(end / per_epoch), 1, per_epoch};
}

/// Half a cosine from 1 at progress 0 to `last` at 1.
double cosine(double progress, double last) {
  return last + (1 - last) * 0.5 * (1 + std::cos(std::numbers::pi * progress));
}

/// The factor while warming up; nothing afterwards.
template <class Shape>
std::optional<double> warming(const Shape& shape, const Position& time) {
  const auto warmup = time.length(shape.warmup);
  if (time.at >= warmup) return {};
  if (shape.warmup_from < 0) return (time.at + 1) / (warmup + 1);
  return shape.warmup_from + (1 - shape.warmup_from) * time.at / warmup;
}

/// From 0 where the warmup ends to 1 where the run ends.
template <class Shape>
double progress_after_warmup(const Shape& shape, const Position& time) {
  const auto warmup = time.length(shape.warmup);
  return std::min(1.0, (time.at - warmup) / std::max(1.0, time.end - warmup));
}

double factor_of(const WarmupCosine& shape, const Position& time) {
  if (const auto rising = warming(shape, time)) return *rising;
  return cosine(progress_after_warmup(shape, time), shape.final_factor);
}

double factor_of(const WarmupPolynomial& shape, const Position& time) {
  if (const auto rising = warming(shape, time)) return *rising;
  const auto left = std::pow(1 - progress_after_warmup(shape, time), shape.power);
  return shape.final_factor + (1 - shape.final_factor) * left;
}

double factor_of(const Constant& shape, const Position& time) {
  return warming(shape, time).value_or(1);
}

double factor_of(const Milestones& shape, const Position& time) {
  const auto passed =
      std::count_if(shape.at.begin(), shape.at.end(), [&](const Span& at) { return time.at >= time.length(at); });
  return std::pow(shape.factor, static_cast<double>(passed));
}

double factor_of(const CosineWave& shape, const Position& time) {
  return cosine(time.at / time.length(shape.half_period), shape.final_factor);
}

double factor_of(const CosineRestarts& shape, const Position& time) {
  auto period = time.length(shape.first_period), at = time.at;
  while (at >= period) {
    at -= period;
    period *= shape.growth;
  }
  return cosine(at / period, shape.final_factor);
}

nlohmann::json as_json(const Span& span) {
  if (const auto* epochs = std::get_if<Epochs>(&span)) return {{"epochs", epochs->count}};
  return {{"steps", std::get<Steps>(span).count}};
}
nlohmann::json as_json(double value) {
  return value;
}

/// Calls visit(name of a field, its value) for each field of a shape, spans and numbers alike.
template <class Visit>
void visit_fields(const WarmupCosine& s, Visit visit) {
  visit("warmup", s.warmup);
  visit("warmup_from", s.warmup_from);
  visit("final_factor", s.final_factor);
}
template <class Visit>
void visit_fields(const WarmupPolynomial& s, Visit visit) {
  visit("warmup", s.warmup);
  visit("warmup_from", s.warmup_from);
  visit("power", s.power);
  visit("final_factor", s.final_factor);
}
template <class Visit>
void visit_fields(const Constant& s, Visit visit) {
  visit("warmup", s.warmup);
  visit("warmup_from", s.warmup_from);
}
template <class Visit>
void visit_fields(const Milestones& s, Visit visit) {
  for (std::size_t i = 0; i < s.at.size(); ++i) visit(fmt::format("at[{}]", i), s.at[i]);
  visit("factor", s.factor);
}
template <class Visit>
void visit_fields(const CosineWave& s, Visit visit) {
  visit("half_period", s.half_period);
  visit("final_factor", s.final_factor);
}
template <class Visit>
void visit_fields(const CosineRestarts& s, Visit visit) {
  visit("first_period", s.first_period);
  visit("growth", s.growth);
  visit("final_factor", s.final_factor);
}

constexpr const char* name_of(const WarmupCosine&) {
  return "WarmupCosine";
}
constexpr const char* name_of(const WarmupPolynomial&) {
  return "WarmupPolynomial";
}
constexpr const char* name_of(const Constant&) {
  return "Constant";
}
constexpr const char* name_of(const Milestones&) {
  return "Milestones";
}
constexpr const char* name_of(const CosineWave&) {
  return "CosineWave";
}
constexpr const char* name_of(const CosineRestarts&) {
  return "CosineRestarts";
}

class Checker {
 public:
  explicit Checker(const char* shape) : shape_{shape} {}

  void operator()(const std::string& field, const Span& span) const {
    const double count = std::holds_alternative<Epochs>(span) ? std::get<Epochs>(span).count
                                                              : static_cast<double>(std::get<Steps>(span).count);
    const bool period = field.ends_with("period");
    require(std::isfinite(count) && (period ? count > 0 : count >= 0), field, count,
            period ? "positive" : "zero or more");
  }
  void operator()(const std::string& field, double value) const {
    if (field == "warmup_from") return require(value <= 1, field, value, "at most 1; negative for none of one's own");
    if (field == "growth") return require(std::isfinite(value) && value >= 1, field, value, "at least 1");
    if (field == "power") return require(std::isfinite(value) && value > 0, field, value, "positive");
    require(value >= 0 && value <= 1, field, value, "in [0, 1]");
  }

 private:
  void require(bool good, const std::string& field, double value, const char* range) const {
    if (!good) throw InvalidArgument(fmt::format("{}::{} is {}; it must be {}", shape_, field, value, range));
  }
  const char* shape_;
};

}  // namespace

double Schedule::factor(const TrainingTime& time) const {
  return std::visit([&](const auto& shape) { return factor_of(shape, position_of(time, pace_)); }, shape_);
}

void Schedule::check() const {
  std::visit([](const auto& shape) { visit_fields(shape, Checker{name_of(shape)}); }, shape_);
}

std::string Schedule::describe() const {
  return std::visit(
      [&](const auto& shape) {
        nlohmann::json json{{"name", name_of(shape)}, {"pace", pace_ == Pace::by_step ? "by_step" : "by_epoch"}};
        visit_fields(shape, [&](const std::string& field, const auto& value) { json[field] = as_json(value); });
        return json.dump();
      },
      shape_);
}

}  // namespace sslmeme
