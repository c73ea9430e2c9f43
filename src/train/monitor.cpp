#include <sslmeme/train/monitor.hpp>

#include <sslmeme/core/error.hpp>

#include "train/named.hpp"

#include <ATen/ops/linalg_svdvals.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace sslmeme {

FeatureHealth measure_features(const std::string& name, const Tensor& z) {
  if (z.dim() != 2 || z.size(0) < 2) {
    throw InvalidArgument(fmt::format("features of \"{}\" are {}; measuring them needs (N, d) with N of at least 2",
                                      name, shape_string(z)));
  }
  const torch::NoGradGuard no_grad;
  constexpr double low_deviation = 0.1, low_rank = 2;
  const auto unit = l2_normalize(z.detach()).to(torch::kFloat);
  const auto root_d = std::sqrt(static_cast<double>(z.size(1)));
  FeatureHealth health{name, unit.std(0).mean().item<double>() * root_d, 0, {}};
  const auto singular = at::linalg_svdvals(unit - unit.mean(0, true));
  const auto total = singular.sum().item<double>();
  if (total > 1e-6) {
    const auto p = singular / total;
    health.effective_rank = std::exp(-torch::xlogy(p, p).sum().item<double>());
  }
  if (health.deviation < low_deviation) {
    health.warning =
        fmt::format("{} has collapsed: deviation {:.3f} of 1, all vectors are nearly the same", name, health.deviation);
  } else if (health.effective_rank < low_rank) {
    health.warning =
        fmt::format("{} is collapsing: effective rank {:.1f}, the vectors lie on a line", name, health.effective_rank);
  }
  return health;
}

void judge_teacher(std::vector<FeatureHealth>& health, const std::vector<std::pair<std::string, double>>& parts,
                   double done) {
  constexpr double beginning = 0.2, margin = 0.01;
  const auto share = detail::value_of(parts, "teacher_entropy_share");
  const auto teacher = std::ranges::find(health, "teacher", &FeatureHealth::name);
  if (!share || teacher == health.end() || !teacher->warning.empty() || done < beginning) return;
  if (*share > 1 - margin) {
    teacher->warning = fmt::format("teacher says nothing: entropy {:.3f} of ln K; lower its temperature", *share);
  } else if (*share < margin) {
    teacher->warning =
        fmt::format("teacher always says the same: entropy {:.3f} of ln K; raise its temperature", *share);
  }
}

}  // namespace sslmeme
