// SwAV: each view predicts the cluster codes of the others.
#pragma once

#include <sslmeme/core/process_group.hpp>
#include <sslmeme/core/tensor.hpp>

#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace sslmeme {

struct SinkhornOptions {
  double epsilon = 0.05;  ///< entropy of the assignment
  std::int64_t iterations = 3;
  std::shared_ptr<const ProcessGroup> group = {};  ///< prototypes are used about alike over the samples of all ranks
};

/// Codes (N, K) of scores (N, K) by Sinkhorn-Knopp (Cuturi 2013, arXiv:1306.0895, as in SwAV, listing 1): each row sums
/// to 1, and all prototypes are used about alike. No gradient. fp32 scores are computed in fp32 while they lie within
/// 80 ε of each other (cosines do), else in fp64; a sample whose scores all lie 700 ε below the largest of the batch
/// gets codes of 0. Throws InvalidArgument on other shapes and options that are not positive.
Tensor sinkhorn(const Tensor& scores, const SinkhornOptions& options = {});

/// Swapped prediction (Caron et al. 2020, arXiv:2006.09882, equations 1 and 2): the codes of each global view against
/// the softmax(scores / τ) of every other view, mean over pairs and samples.
struct SwavLoss {
  double temperature = 0.1;  ///< τ
  SinkhornOptions sinkhorn = {};

  /// scores: (N, K) each, cosines of projections and prototypes; the first `global_views` give codes. Returns a 0-d
  /// mean. Throws InvalidArgument for fewer than two views, shapes that differ and a number of global views that does
  /// not fit.
  Tensor operator()(std::span<const Tensor> scores, std::size_t global_views) const;
  std::string name() const { return "swav"; }
};

}  // namespace sslmeme
