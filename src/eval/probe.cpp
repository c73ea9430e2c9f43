#include <sslmeme/core/error.hpp>
#include <sslmeme/eval/probe.hpp>

#include "eval/finite_rows.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace sslmeme {
namespace {

/// The objective of the probe over parameters (R, D + 1), whose last column is the bias. R is K, or 1 for two classes,
/// when the logit of class 0 is zero.
class Objective {
 public:
  /// x: f64 (N, D).
  Objective(const Tensor& x, const Tensor& labels, std::int64_t classes, double c)
      : x_{torch::cat({x, torch::ones({x.size(0), 1}, x.options())}, 1)},
        labels_{labels.unsqueeze(1)},
        rows_{classes == 2 ? 1 : classes},
        penalty_{torch::full({x.size(1) + 1}, 1 / (c * static_cast<double>(x.size(0))), x.options())} {
    penalty_[-1] = 0;
    targets_ =
        torch::zeros({x.size(0), classes}, x.options()).scatter_(1, labels_, 1).narrow(1, classes - rows_, rows_);
  }

  Tensor start() const { return torch::zeros({rows_, x_.size(1)}, x_.options()); }

  double value(const Tensor& theta) const {
    return -log_p(theta).gather(1, labels_).mean().item<double>() +
           (penalty_ * theta.square()).sum().item<double>() / 2;
  }

  /// The gradient (R, D + 1); later calls of `curvature` are about this theta.
  Tensor gradient(const Tensor& theta) {
    p_ = log_p(theta).exp_().slice(1, -rows_);
    return back(p_ - targets_) + penalty_ * theta;
  }

  /// The Hessian times a direction.
  Tensor curvature(const Tensor& direction) const {
    const auto u = p_ * torch::matmul(x_, direction.t());
    return back(u - p_ * u.sum(1, true)) + penalty_ * direction;
  }

 private:
  Tensor log_p(const Tensor& theta) const {
    auto logits = torch::matmul(x_, theta.t());
    if (rows_ == 1) logits = torch::cat({torch::zeros_like(logits), logits}, 1);
    return logits.log_softmax(1);
  }
  Tensor back(const Tensor& residual) const {
    return torch::matmul(residual.t(), x_) / static_cast<double>(x_.size(0));
  }

  Tensor x_, labels_, targets_, p_;
  std::int64_t rows_;
  Tensor penalty_;
};

double product(const Tensor& a, const Tensor& b) {
  return (a * b).sum().item<double>();
}

/// H d = −gradient, by conjugate gradients until the rest is small enough for Newton steps that converge faster than
/// linearly (Nocedal & Wright 2006, algorithm 7.1).
Tensor newton_direction(const Objective& objective, const Tensor& gradient) {
  const double norm = std::sqrt(product(gradient, gradient));
  const double enough = std::min(0.5, std::sqrt(norm)) * norm;
  const auto most = 2 * gradient.numel() + 20;  // rounding makes more steps useful than there are dimensions
  auto direction = torch::zeros_like(gradient);
  auto residual = gradient.clone(), search = -gradient;
  double square = norm * norm;
  for (std::int64_t step = 0; step < most && std::sqrt(square) > enough; ++step) {
    const auto curved = objective.curvature(search);
    const double curvature = product(search, curved);
    if (!(curvature > 0)) break;
    const double length = square / curvature;
    direction += length * search;
    residual += length * curved;
    const double former = std::exchange(square, product(residual, residual));
    search = search * (square / former) - residual;
  }
  return direction;
}

/// theta one step further, or undefined when no length makes the objective smaller.
Tensor line_search(const Objective& objective, const Tensor& theta, const Tensor& gradient, const Tensor& direction) {
  constexpr double share = 1e-4, rounding = 1e-14;
  const double value = objective.value(theta), slope = product(gradient, direction);
  for (double length = 1; length > 1e-10; length /= 2) {
    auto next = theta + length * direction;
    if (objective.value(next) <= value + share * length * slope + rounding * std::abs(value)) return next;
  }
  return {};
}

/// The number of classes.
std::int64_t check(const Embeddings& known, const ProbeOptions& options) {
  if (!(options.c > 0) || !(options.tolerance > 0) || options.max_iterations < 1) {
    throw InvalidArgument(
        fmt::format("ProbeOptions: c is {}, tolerance is {}, max_iterations is {}; all must be positive", options.c,
                    options.tolerance, options.max_iterations));
  }
  const auto& labels = known.labels;
  if (known.features.dim() != 2 || labels.dim() != 1 || labels.size(0) != known.features.size(0) ||
      known.features.numel() == 0) {
    throw InvalidArgument(fmt::format("fit_probe: features are {}, labels {}; they must be (N, D) and (N)",
                                      shape_string(known.features), shape_string(labels)));
  }
  if (labels.min().item<std::int64_t>() < 0)
    throw InvalidArgument("fit_probe: a sample has no label: give it a dataset with labels");
  const auto counts = torch::bincount(labels);
  if (counts.size(0) < 2)
    throw InvalidArgument("fit_probe: all labels are 0; a probe needs two classes: fit it on a split with both");
  if (const auto missing = (counts == 0).nonzero(); missing.size(0) > 0) {
    throw InvalidArgument(
        fmt::format("fit_probe: labels go up to {}, but none is {}; number the classes that there are from 0 on",
                    counts.size(0) - 1, missing[0][0].item<std::int64_t>()));
  }
  return counts.size(0);
}

Tensor scaled(const LinearProbe& probe, const Tensor& features) {
  detail::require_finite_rows(features, "features");
  const auto x = features.detach().to(torch::kCPU, torch::kDouble);
  switch (probe.scaling) {
    case ProbeScaling::standardize:
      return (x - probe.mean) / probe.scale;
    case ProbeScaling::unit_length:
      return l2_normalize(x);
    case ProbeScaling::none:
      break;
  }
  return x;
}

}  // namespace

Tensor LinearProbe::predict_proba(const Tensor& features) const {
  const torch::NoGradGuard no_grad;
  if (features.dim() != 2 || features.size(1) != weight.size(1)) {
    throw InvalidArgument(fmt::format("LinearProbe: features are {}; they must be (M, {}), as those it was fitted on",
                                      shape_string(features), weight.size(1)));
  }
  auto logits = torch::addmm(bias, scaled(*this, features), weight.t());
  if (logits.size(1) == 1) logits = torch::cat({torch::zeros_like(logits), logits}, 1);
  return logits.softmax(1);
}

Tensor LinearProbe::predict(const Tensor& features) const {
  return predict_proba(features).argmax(1);
}

LinearProbe fit_probe(const Embeddings& known, const ProbeOptions& options) {
  const torch::NoGradGuard no_grad;
  const auto classes = check(known, options);
  LinearProbe probe;
  probe.scaling = options.scaling;
  if (options.scaling == ProbeScaling::standardize) {
    const auto x = known.features.detach().to(torch::kCPU, torch::kDouble);
    const auto deviation = x.std(0, false);
    probe.mean = x.mean(0);
    // Of a constant feature only the rounding of its mean deviates.
    const auto least = 1e-12 * x.abs().amax(0);
    probe.scale = torch::where(deviation > least, deviation, torch::ones_like(deviation));
  }
  Objective objective{scaled(probe, known.features), known.labels.to(torch::kCPU, torch::kLong), classes, options.c};
  auto theta = objective.start();
  for (;; ++probe.iterations) {
    const auto gradient = objective.gradient(theta);
    probe.gradient = gradient.abs().max().item<double>();
    probe.converged = probe.gradient <= options.tolerance;
    if (probe.converged || probe.iterations == options.max_iterations) break;
    auto next = line_search(objective, theta, gradient, newton_direction(objective, gradient));
    if (!next.defined()) break;
    theta = std::move(next);
  }
  probe.weight = theta.slice(1, 0, -1).contiguous();
  probe.bias = theta.select(1, -1).contiguous();
  return probe;
}

}  // namespace sslmeme
