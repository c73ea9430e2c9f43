#include <sslmeme/loss/supervised_contrastive.hpp>

#include <sslmeme/core/error.hpp>
#include <sslmeme/loss/concepts.hpp>
#include <sslmeme/loss/similarity.hpp>

#include <fmt/format.h>

#include <tuple>

namespace sslmeme {

Tensor SupCon::operator()(const Tensor& z, const Tensor& labels) const {
  if (!z.defined() || z.dim() != 2 || !z.is_floating_point() || z.size(0) == 0 || !labels.defined() ||
      labels.dim() != 1 || labels.size(0) != z.size(0) || labels.scalar_type() != torch::kLong) {
    throw InvalidArgument(fmt::format("SupCon: z is {}, labels are {}; they must be floating (N, D) and i64 (N)",
                                      shape_string(z), shape_string(labels)));
  }
  detail::check_positive(temperature, "SupCon: temperature");
  const auto x = l2_normalize(z);
  const auto classes = std::get<1>(at::_unique(labels, false, true));  // 0, 1, … in place of the labels
  const auto count = classes.max().item<std::int64_t>() + 1;
  const auto ones = torch::ones({x.size(0)}, x.options());
  const auto others = torch::zeros({count}, x.options()).index_add(0, classes, ones).index_select(0, classes) - 1;
  // Σ_p xᵢ·x_p over i's class is xᵢ · (sum of the class), less xᵢ·xᵢ.
  const auto sums = torch::zeros({count, x.size(1)}, x.options()).index_add(0, classes, x).index_select(0, classes);
  const auto positive = (x * (sums - x)).sum(1) / temperature;
  const auto scale = torch::scalar_tensor(1 / temperature, x.options());
  const auto against_all = self_similarity_logsumexp(x, scale, 1).rows;
  const auto counted = others > 0;
  const auto anchors = count_lone ? torch::scalar_tensor(x.size(0), x.options()) : counted.sum().clamp_min(1);
  // Without another sample in the batch the log-sum-exp is −∞: chosen away before it meets a product.
  const auto loss = against_all - positive / others.clamp_min(1);
  return torch::where(counted, loss, torch::zeros_like(loss)).sum() / anchors;
}

}  // namespace sslmeme
