#include <sslmeme/loss/label_losses.hpp>

#include <sslmeme/core/error.hpp>
#include <sslmeme/loss/concepts.hpp>

#include <fmt/format.h>

#include <cmath>

namespace sslmeme {
namespace {

void check_binary(const Tensor& logits, const Tensor& labels, const char* who) {
  if (!logits.defined() || logits.dim() != 1 || logits.numel() == 0 || !logits.is_floating_point() ||
      !labels.defined() || labels.sizes() != logits.sizes()) {
    throw InvalidArgument(fmt::format("{}: logits are {}, labels are {}; they must be floating (N) and (N)", who,
                                      shape_string(logits), shape_string(labels)));
  }
  if (!((labels == 0) | (labels == 1)).all().item<bool>())
    throw InvalidArgument(fmt::format("{}: a label is neither 0 nor 1", who));
}

}  // namespace

Tensor BinaryCrossEntropy::operator()(const Tensor& logits, const Tensor& labels) const {
  check_binary(logits, labels, "BinaryCrossEntropy");
  detail::check_positive(positive_weight, "BinaryCrossEntropy: positive_weight");
  const auto x = detail::at_least_fp32(logits);
  const auto weight = positive_weight == 1 ? Tensor{} : torch::scalar_tensor(positive_weight, x.options());
  return torch::binary_cross_entropy_with_logits(x, labels.to(x.scalar_type()), {}, weight, at::Reduction::Mean);
}

Tensor FocalLoss::operator()(const Tensor& logits, const Tensor& labels) const {
  check_binary(logits, labels, "FocalLoss");
  if (!(gamma >= 0 && std::isfinite(gamma)))
    throw InvalidArgument(fmt::format("FocalLoss: gamma is {}; it must not be negative", gamma));
  if (alpha && !(*alpha >= 0 && *alpha <= 1))
    throw InvalidArgument(fmt::format("FocalLoss: alpha is {}; it must be in [0, 1]", *alpha));
  detail::check_positive(positive_weight, "FocalLoss: positive_weight");
  const auto x = detail::at_least_fp32(logits), y = labels.to(x.scalar_type());
  const auto toward_label = x * (2 * y - 1);
  // log(1 − p_t) and log p_t as log-sigmoids stay exact where p_t rounds to 0 or 1.
  auto loss = -(gamma * torch::log_sigmoid(-toward_label)).exp() * torch::log_sigmoid(toward_label);
  if (alpha) loss = loss * (*alpha * y + (1 - *alpha) * (1 - y));
  if (positive_weight != 1) loss = loss * (1 + (positive_weight - 1) * y);
  return loss.mean();
}

Tensor CrossEntropy::operator()(const Tensor& logits, const Tensor& labels) const {
  if (!logits.defined() || logits.dim() != 2 || logits.numel() == 0 || !logits.is_floating_point() ||
      !labels.defined() || labels.dim() != 1 || labels.size(0) != logits.size(0) ||
      labels.scalar_type() != torch::kLong) {
    throw InvalidArgument(
        fmt::format("CrossEntropy: logits are {}, labels are {}; they must be floating (N, C) and i64 (N)",
                    shape_string(logits), shape_string(labels)));
  }
  if (!((labels >= 0) & (labels < logits.size(1))).all().item<bool>())
    throw InvalidArgument(fmt::format("CrossEntropy: a label is outside [0, {})", logits.size(1)));
  if (!(label_smoothing >= 0 && label_smoothing < 1))
    throw InvalidArgument(fmt::format("CrossEntropy: label_smoothing is {}; it must be in [0, 1)", label_smoothing));
  return torch::cross_entropy_loss(detail::at_least_fp32(logits), labels, {}, at::Reduction::Mean, -100,
                                   label_smoothing);
}

}  // namespace sslmeme
