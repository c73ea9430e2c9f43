// NtXent: the contrastive loss of SimCLR.
#pragma once

#include <sslmeme/core/error.hpp>
#include <sslmeme/loss/concepts.hpp>
#include <sslmeme/loss/similarity.hpp>

#include <string>

namespace sslmeme {

/// NT-Xent (SimCLR, Chen et al. 2020, arXiv:2002.05709, equation 1): cross-entropy of each of the 2N vectors against
/// the other 2N − 1, of which its other view is the right one;
/// vectors are L2-normalised; mean over 2N. The matrix of (2N)² similarities is never
/// held (similarity.hpp). A batch of one has no negatives: the loss is exactly 0.
struct NtXent {
  double temperature = 0.5;      ///< of the paper's CIFAR-10 runs and of lightly; 0.1 for long training on ImageNet
  bool mask_duplicates = false;  ///< samples of equal PairInfo::ids are no negatives of each other

  /// z_a, z_b: (N, D) float, halves computed in fp32. Returns a 0-d mean. Throws InvalidArgument on other shapes and on
  /// a temperature that is not positive.
  Tensor operator()(const Tensor& z_a, const Tensor& z_b, const PairInfo& info = {}) const {
    detail::check_pair(z_a, z_b, "NtXent");
    detail::check_positive(temperature, "NtXent: temperature");
    const auto z = torch::cat({l2_normalize(z_a), l2_normalize(z_b)});
    if (z_a.size(0) == 1) return 0 * z.sum();  // NaN stays NaN; the products a·b and b·a differ in their last bit
    const auto scale = torch::scalar_tensor(1 / temperature, z.options());
    const auto similarities = self_similarity_logsumexp(z, scale, z_a.size(0), of_both_views(info, z));
    return similarities.rows.mean() - similarities.positives.mean();
  }

  /// The rank's vectors of both views against all others.
  Tensor local(const LocalPairs& pairs) const {
    detail::check_positive(temperature, "NtXent: temperature");
    const auto a = l2_normalize(pairs.all_a), b = l2_normalize(pairs.all_b), z = torch::cat({a, b});
    const auto scale = torch::scalar_tensor(1 / temperature, z.options());
    const auto of_a = pairs.first, of_b = a.size(0) + pairs.first;  // where the own ones begin in z
    SimilarityMask to_b{.self_offset = of_a, .positive_offset = of_b},
        to_a{.self_offset = of_b, .positive_offset = of_a};
    if (const auto ids = of_both_views(pairs.info, z); ids.defined()) {
      to_a.column_ids = to_b.column_ids = ids;
      to_a.row_ids = to_b.row_ids = pairs.own(pairs.info.ids.to(z.device()));
    }
    const auto from_a = similarity_logsumexp(pairs.own(a), z, scale, to_b);
    const auto from_b = similarity_logsumexp(pairs.own(b), z, scale, to_a);
    return 0.5 * ((from_a.rows - from_a.positives).mean() + (from_b.rows - from_b.positives).mean());
  }
  std::string name() const { return "nt_xent"; }
  std::string describe() const {
    return detail::options_json({{"temperature", temperature}, {"mask_duplicates", mask_duplicates}});
  }

 private:
  /// Undefined where nothing is masked.
  Tensor of_both_views(const PairInfo& info, const Tensor& z) const {
    return mask_duplicates && info.ids.defined() ? torch::cat({info.ids, info.ids}).to(z.device()) : Tensor{};
  }
};

/// SimCLR's τ on ImageNet.
inline NtXent nt_xent_reference() {
  return {.temperature = 0.1};
}

static_assert(PairLoss<NtXent>);

}  // namespace sslmeme
