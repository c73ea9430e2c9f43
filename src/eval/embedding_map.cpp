#include <sslmeme/core/error.hpp>
#include <sslmeme/eval/embedding_map.hpp>

#include "core/parallel.hpp"
#include "eval/finite_rows.hpp"

#include <ATen/ops/linalg_eigh.h>
#include <fmt/format.h>
#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace sslmeme {
namespace {

using Eigen::ArrayX2d;
using Eigen::ArrayXd;
using Eigen::Index;
using Eigen::MatrixXd;

constexpr std::int64_t most_rows = 5000, exaggerated_iterations = 250;
constexpr double early_exaggeration = 12;

void check(const Tensor& features, const char* function) {
  if (features.dim() != 2 || features.size(0) < 2 || features.size(1) < 2) {
    throw InvalidArgument(fmt::format("{}: the shape of features is {}; it must be (N, D), both at least 2", function,
                                      shape_string(features)));
  }
  detail::require_finite_rows(features, "features");
}

void check(const TsneOptions& options, std::int64_t n) {
  if (n > most_rows) {
    throw InvalidArgument(fmt::format(
        "tsne_map: there are {} rows, at most {} fit in memory and time; give a random part of them", n, most_rows));
  }
  if (!(options.perplexity >= 1 && options.perplexity < static_cast<double>(n - 1))) {
    throw InvalidArgument(
        fmt::format("TsneOptions::perplexity is {} for {} rows; it must be at least 1 and less than {}",
                    options.perplexity, n, n - 1));
  }
  if (options.iterations < exaggerated_iterations)
    throw InvalidArgument(fmt::format("TsneOptions::iterations is {}; it must be at least {}", options.iterations,
                                      exaggerated_iterations));
  if (!(options.learning_rate >= 0 && std::isfinite(options.learning_rate))) {
    throw InvalidArgument(fmt::format("TsneOptions::learning_rate is {}; it must be positive, or 0 for max(N / 48, 50)",
                                      options.learning_rate));
  }
}

/// So many rows of n numbers that waiting for a thread pays.
std::int64_t rows_a_thread(std::int64_t n) {
  return std::max<std::int64_t>(1, 32768 / n);
}

/// Column i of `p` holds squared distances from i and becomes p(j|i), whose entropy is log(perplexity) to 1e-5.
void to_conditional(Eigen::Ref<ArrayXd> p, Index i, double perplexity) {
  constexpr int most_steps = 200;
  constexpr double far = std::numeric_limits<double>::infinity();
  p(i) = far;
  const ArrayXd beyond = p - p.minCoeff();  // of the nearest; leaves p(j|i) as it is and exp() above 0
  double low = 0, high = far, precision = 1;
  for (int step = 0; step < most_steps; ++step) {
    p = (-precision * beyond).exp();
    p(i) = 0;
    const double sum = p.sum();
    p /= sum;
    // −Σ p log p, where log p = −precision · beyond − log(sum).
    const double entropy = std::log(sum) + precision * (p > 0).select(p * beyond, 0).sum();
    const double excess = entropy - std::log(perplexity);
    if (std::abs(excess) <= 1e-5) return;
    (excess > 0 ? low : high) = precision;
    precision = high == far ? 2 * precision : std::midpoint(low, high);
  }
}

/// pᵢⱼ: symmetric, of sum 1, 0 on the diagonal. x: f64 (N, D), centred.
MatrixXd joint_probabilities(const Tensor& x, double perplexity) {
  const auto n = x.size(0);
  const auto squares = x.square().sum(1);
  const auto distances =
      torch::matmul(x, x.t()).mul_(-2).add_(squares.unsqueeze(1)).add_(squares).clamp_min_(0).contiguous();
  MatrixXd p = Eigen::Map<const MatrixXd>(distances.const_data_ptr<double>(), n, n);
  detail::parallel_for(n, rows_a_thread(n), [&](std::int64_t begin, std::int64_t end) {
    for (auto i = begin; i < end; ++i) to_conditional(p.col(i).array(), i, perplexity);
  });
  for (Index i = 0; i < n; ++i) {
    for (Index j = 0; j < i; ++j) p(i, j) = p(j, i) = (p(i, j) + p(j, i)) / static_cast<double>(2 * n);
  }
  return p;
}

/// What pulls and pushes the points, apart, so that one pass over all pairs is enough.
struct Forces {
  ArrayX2d attraction;  ///< Σⱼ pᵢⱼ wᵢⱼ (yᵢ − yⱼ), where wᵢⱼ = 1 / (1 + ‖yᵢ − yⱼ‖²)
  ArrayX2d repulsion;   ///< Σⱼ wᵢⱼ² (yᵢ − yⱼ)
  ArrayXd kernel;       ///< Σⱼ wᵢⱼ without i itself
  ArrayXd cross;        ///< −Σⱼ pᵢⱼ log wᵢⱼ, only where asked for
};

Forces forces(const MatrixXd& p, const ArrayX2d& y, bool with_cross = false) {
  const Index n = y.rows();
  Forces f{ArrayX2d(n, 2), ArrayX2d(n, 2), ArrayXd(n), ArrayXd::Zero(n)};
  detail::parallel_for(n, rows_a_thread(n), [&](std::int64_t begin, std::int64_t end) {
    ArrayXd dx(n), dy(n), w(n), pull(n);
    for (Index i = begin; i < end; ++i) {
      dx = y(i, 0) - y.col(0);
      dy = y(i, 1) - y.col(1);
      w = (1 + dx.square() + dy.square()).inverse();
      if (with_cross) f.cross(i) = -(p.col(i).array() * w.log()).sum();
      f.kernel(i) = w.sum() - 1;
      pull = p.col(i).array() * w;
      w = w.square();
      f.attraction.row(i) << (pull * dx).sum(), (pull * dy).sum();
      f.repulsion.row(i) << (w * dx).sum(), (w * dy).sum();
    }
  });
  return f;
}

double divergence(const MatrixXd& p, const ArrayX2d& y) {
  const auto f = forces(p, y, true);
  const auto entropy = -(p.array() > 0).select(p.array() * p.array().log(), 0).sum();
  return f.cross.sum() + std::log(f.kernel.sum()) * p.sum() - entropy;
}

/// Gradient descent as Jacobs' delta-bar-delta rule has it: each coordinate's gain rises while its steps agree.
void descend(const MatrixXd& p, ArrayX2d& y, std::int64_t iterations, double exaggeration, double momentum,
             double learning_rate) {
  constexpr double least_gain = 0.01;
  ArrayX2d update = ArrayX2d::Zero(y.rows(), 2), gains = ArrayX2d::Ones(y.rows(), 2);
  for (std::int64_t i = 0; i < iterations; ++i) {
    const auto f = forces(p, y);
    const ArrayX2d gradient = 4 * (exaggeration * f.attraction - f.repulsion / f.kernel.sum());
    gains = (update * gradient < 0).select(gains + 0.2, gains * 0.8).max(least_gain);
    update = momentum * update - learning_rate * gains * gradient;
    y += update;
  }
}

}  // namespace

PcaMap pca_map(const Tensor& features) {
  const torch::NoGradGuard no_grad;
  check(features, "pca_map");
  const auto x = features.detach().to(torch::kCPU, torch::kDouble);
  const auto centred = x - x.mean(0, true);
  const auto covariance = torch::matmul(centred.t(), centred) / static_cast<double>(x.size(0) - 1);
  const auto [variances, directions] = at::linalg_eigh(covariance);  // rising
  auto axes = directions.slice(1, -2).flip(1).t().contiguous();
  const auto largest = axes.gather(1, axes.abs().argmax(1, true));
  axes *= torch::where(largest < 0, -torch::ones_like(largest), torch::ones_like(largest));
  const auto total = covariance.trace().item<double>();
  const auto along = variances.slice(0, -2).flip(0).clamp_min(0);
  return {torch::matmul(centred, axes.t()), axes, total > 0 ? along / total : torch::zeros_like(along)};
}

TsneMap tsne_map(const Tensor& features, const TsneOptions& options) {
  const torch::NoGradGuard no_grad;
  check(features, "tsne_map");
  const auto n = features.size(0);
  check(options, n);
  const auto start = pca_map(features).points;
  const auto deviation = start.select(1, 0).std(false).item<double>();
  if (!(deviation > 0))
    throw InvalidArgument("tsne_map: all features are the same; a map needs an encoder that has not collapsed");
  const auto x = features.detach().to(torch::kCPU, torch::kDouble);
  const auto p = joint_probabilities(x - x.mean(0, true), options.perplexity);
  const auto columns = (start * (1e-4 / deviation)).t().contiguous();
  ArrayX2d y = Eigen::Map<const ArrayX2d>(columns.const_data_ptr<double>(), n, 2);
  const double rate = options.learning_rate > 0 ? options.learning_rate
                                                : std::max(static_cast<double>(n) / early_exaggeration / 4, 50.0);
  descend(p, y, exaggerated_iterations, early_exaggeration, 0.5, rate);
  descend(p, y, options.iterations - exaggerated_iterations, 1, 0.8, rate);
  const auto points = torch::from_blob(y.data(), {2, n}, torch::kDouble).t().contiguous();
  return {points, divergence(p, y)};
}

}  // namespace sslmeme
