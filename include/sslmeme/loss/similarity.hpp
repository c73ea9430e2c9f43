// The log-sum-exps of a similarity matrix that is never held in memory: the core of every contrastive loss.
#pragma once

#include <sslmeme/core/tensor.hpp>
#include <sslmeme/loss/concepts.hpp>

#include <cstdint>
#include <optional>

namespace sslmeme {

/// Which entries of the matrix count, and which are the positives.
struct SimilarityMask {
  /// The entries (i, i + self_offset) are left out: a vector against itself.
  std::optional<std::int64_t> self_offset = {};
  /// i64 (N) and (M), or undefined: an entry whose two ids are equal is left out unless it is a positive. It would be a
  /// false negative: the same picture or the same caption twice in a batch.
  Tensor row_ids = {}, column_ids = {};
  std::int64_t positive_offset = 0;  ///< the positives are the entries (i, i + positive_offset)
};

namespace detail {
/// The mask of a loss whose pairs of equal PairInfo::ids are, where `mask_duplicates` says so and there are ids, no
/// negatives of each other: of all pairs, or of a rank's rows against all.
SimilarityMask mask_of_pairs(bool mask_duplicates, const PairInfo& info, const torch::Device& device);
SimilarityMask mask_of_pairs(bool mask_duplicates, const LocalPairs& pairs);
}  // namespace detail

/// Of L = scale · A · Bᵀ, (N, M).
struct SimilarityLogSumExp {
  Tensor rows;       ///< (N): logsumexp over j
  Tensor columns;    ///< (M): logsumexp over i
  Tensor positives;  ///< (P): the entries (i, i + positive_offset) that L has, rounded as in the sums
};

/// a: (N, D), b: (M, D), scale: 0-d, all of one type, fp32 or fp64. Gradients flow to all three. Memory:
/// O((N + M)·D) and a tile of fixed size, instead of the N·M of the matrix; the backward pass computes the tiles again.
/// It can be differentiated once only. A row or column
/// with nothing left in it is −∞. Throws InvalidArgument on other shapes or types.
SimilarityLogSumExp similarity_logsumexp(const Tensor& a, const Tensor& b, const Tensor& scale,
                                         const SimilarityMask& mask = {});

/// The same for B = A without the diagonal, at half the cost since the matrix is symmetric: columns are the rows.
/// z: (N, D). ids: i64 (N) or undefined.
SimilarityLogSumExp self_similarity_logsumexp(const Tensor& z, const Tensor& scale, std::int64_t positive_offset,
                                              const Tensor& ids = {});

}  // namespace sslmeme
