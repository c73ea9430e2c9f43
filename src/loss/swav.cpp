#include <sslmeme/loss/swav.hpp>

#include <sslmeme/core/error.hpp>
#include <sslmeme/loss/concepts.hpp>

#include <fmt/format.h>

#include <limits>
#include <vector>

namespace sslmeme {

Tensor sinkhorn(const Tensor& scores, const SinkhornOptions& options) {
  if (!scores.defined() || scores.dim() != 2 || scores.numel() == 0 || !scores.is_floating_point())
    throw InvalidArgument(fmt::format("sinkhorn: scores are {}; they must be floating (N, K)", shape_string(scores)));
  detail::check_positive(options.epsilon, "sinkhorn: epsilon");
  if (options.iterations < 1)
    throw InvalidArgument(fmt::format("sinkhorn: iterations is {}; it must be positive", options.iterations));
  const torch::NoGradGuard no_grad;
  const auto* const group = options.group.get();
  auto codes = detail::at_least_fp32(scores) / options.epsilon;
  auto range = torch::stack({codes.min(), codes.max()}).unsqueeze(0);
  if (group != nullptr) range = group->all_gather(range);
  const auto lowest = range.select(1, 0).min().item<double>(), highest = range.select(1, 1).max().item<double>();
  // Exponentials vanish 87 below the largest in fp32, 700 in fp64; a sum of 0 then stays 0.
  constexpr double fp32_range = 80;
  if (highest - lowest > fp32_range) codes = codes.to(torch::kDouble);
  codes.sub_(highest).exp_();
  const auto smallest = codes.scalar_type() == torch::kDouble ? std::numeric_limits<double>::min()
                                                              : static_cast<double>(std::numeric_limits<float>::min());
  for (std::int64_t i = 0; i < options.iterations; ++i) {
    auto of_prototypes = codes.sum(0, true);
    if (group != nullptr) of_prototypes = group->all_reduce_sum(of_prototypes);
    codes.div_(of_prototypes.clamp_min_(smallest));       // every prototype alike
    codes.div_(codes.sum(1, true).clamp_min_(smallest));  // every sample alike
  }
  return codes.to(detail::computing_type(scores));
}

Tensor SwavLoss::operator()(std::span<const Tensor> scores, std::size_t global_views) const {
  if (scores.size() < 2 || global_views < 1 || global_views > scores.size()) {
    throw InvalidArgument(
        fmt::format("SwavLoss: {} views of which {} give codes; at least 2 views and 1 with codes are needed",
                    scores.size(), global_views));
  }
  detail::check_positive(temperature, "SwavLoss: temperature");
  std::vector<Tensor> log_probabilities;
  for (const auto& view : scores) {
    detail::check_pair(view, scores.front(), "SwavLoss");
    log_probabilities.push_back(torch::log_softmax(detail::at_least_fp32(view) / temperature, 1));
  }
  Tensor total;
  for (std::size_t i = 0; i < global_views; ++i) {
    const auto codes = sslmeme::sinkhorn(scores[i].detach(), sinkhorn);
    for (std::size_t v = 0; v < scores.size(); ++v) {
      if (v == i) continue;
      const auto swapped = -(codes * log_probabilities[v]).sum(1).mean();
      total = total.defined() ? total + swapped : swapped;
    }
  }
  return total / static_cast<double>(global_views * (scores.size() - 1));
}

}  // namespace sslmeme
