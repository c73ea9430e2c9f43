#include <sslmeme/loss/retrieval_guided.hpp>

#include <sslmeme/core/error.hpp>
#include <sslmeme/loss/concepts.hpp>

#include <fmt/format.h>

#include <cmath>
#include <limits>

namespace sslmeme {
namespace {

constexpr auto none = -std::numeric_limits<double>::infinity();

void check_vectors(const Tensor& z, const Tensor& labels) {
  if (!z.defined() || z.dim() != 2 || !z.is_floating_point() || z.size(0) == 0 || !labels.defined() ||
      labels.dim() != 1 || labels.size(0) != z.size(0) || labels.scalar_type() != torch::kLong) {
    throw InvalidArgument(
        fmt::format("RetrievalGuidedLoss: z is {}, labels are {}; they must be floating (N, D) and i64 (N)",
                    shape_string(z), shape_string(labels)));
  }
}

/// `least`: how many examples an anchor must have room for.
void check_examples(const Tensor& x, const Tensor& present, const Tensor& z, const char* what, std::int64_t least) {
  if (!x.defined() || x.dim() != 3 || !x.is_floating_point() || x.size(0) != z.size(0) || x.size(1) < least ||
      x.size(2) != z.size(1)) {
    throw InvalidArgument(fmt::format("RetrievalGuidedLoss: {} are {}; for z {} they must be floating ({}, {}, {})",
                                      what, shape_string(x), shape_string(z), z.size(0),
                                      least > 0 ? "1 or more" : "any number", z.size(1)));
  }
  if (present.defined() && (present.scalar_type() != torch::kBool || present.sizes() != x.sizes().slice(0, 2))) {
    throw InvalidArgument(
        fmt::format("RetrievalGuidedLoss: {} are {}, what tells which are there is {}; it must be bool ({}, {})", what,
                    shape_string(x), shape_string(present), x.size(0), x.size(1)));
  }
}

Tensor presence(const Tensor& given, const Tensor& x) {
  return given.defined() ? given : torch::ones(x.sizes().slice(0, 2), x.options().dtype(torch::kBool));
}

/// Cosines (N, K) of unit anchors (N, D) to the examples of each (N, K, D); 0 where none is present, whatever stands
/// there.
Tensor cosines(const Tensor& anchors, const Tensor& examples, const Tensor& present) {
  const auto known = examples.detach().masked_fill(present.logical_not().unsqueeze(2), 0);
  return (anchors.unsqueeze(1) * l2_normalize(known).to(anchors.scalar_type())).sum(2);
}

/// Over the entries that count; 0 where none does.
Tensor mean_where(const Tensor& counted, const Tensor& x) {
  return x.masked_fill(counted.logical_not(), 0).sum(1) / counted.sum(1).clamp_min(1);
}

}  // namespace

Tensor RetrievalGuidedLoss::operator()(const Tensor& z, const Tensor& labels, const RetrievedExamples& examples) const {
  check_vectors(z, labels);
  check_examples(examples.positives, examples.has_positive, z, "positives", 1);
  check_examples(examples.negatives, examples.has_negative, z, "negatives", 0);
  detail::check_positive(temperature, "RetrievalGuidedLoss: temperature");
  if (!(margin >= 0 && std::isfinite(margin)))
    throw InvalidArgument(fmt::format("RetrievalGuidedLoss: margin is {}; it must be zero or more", margin));
  const auto anchors = l2_normalize(z);
  const auto is_positive = presence(examples.has_positive, examples.positives);
  const auto is_hard = presence(examples.has_negative, examples.negatives);
  const auto counts = is_positive.any(1);
  const auto positive = cosines(anchors, examples.positives, is_positive);
  const auto hard = cosines(anchors, examples.negatives, is_hard);
  const auto in_batch = anchors.matmul(anchors.t());
  const auto differs = labels.unsqueeze(1) != labels.unsqueeze(0);

  Tensor loss;
  if (form == RetrievalGuidedForm::hinge) {
    loss = (mean_where(differs, in_batch) + hard.sum(1) - mean_where(is_positive, positive) + margin).relu();
  } else {
    // An anchor without a positive is put right before the log-sum-exp, whose gradient at −∞ alone is NaN.
    const auto seen = is_positive.logical_or(counts.logical_not().unsqueeze(1));
    const auto how_many = seen.sum(1).to(anchors.scalar_type());
    const auto attracting =
        torch::logsumexp((positive / temperature).masked_fill(seen.logical_not(), none), 1) - how_many.log();
    const auto repelling = torch::cat({(hard / temperature).masked_fill(is_hard.logical_not(), none),
                                       (in_batch / temperature).masked_fill(differs.logical_not(), none)},
                                      1);
    loss = torch::logsumexp(torch::cat({attracting.unsqueeze(1), repelling}, 1), 1) - attracting;
  }
  return loss.masked_fill(counts.logical_not(), 0).sum() / counts.sum().clamp_min(1);
}

}  // namespace sslmeme
