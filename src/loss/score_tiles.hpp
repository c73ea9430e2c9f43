// ScoreTiles: the matrix scale · A · Bᵀ, one tile at a time.
#pragma once

#include <sslmeme/core/tensor.hpp>
#include <sslmeme/loss/similarity.hpp>

#include "loss/kernels.hpp"

#include <c10/core/DispatchKeySet.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

namespace sslmeme::detail {

/// Whether ids are i64 (n).
inline bool fit_rows(const Tensor& ids, std::int64_t n) {
  return ids.dim() == 1 && ids.size(0) == n && ids.scalar_type() == torch::kLong;
}

/// Keeps autocast from rounding the products of fp32 vectors.
struct NoAutocast {
  c10::impl::ExcludeDispatchKeyGuard guard{c10::autocast_dispatch_keyset};
};

class ScoreTiles {
 public:
  ScoreTiles(const Tensor& a, const Tensor& b, const Tensor& scale, SimilarityMask mask, bool symmetric = false)
      : b_{b.contiguous()},
        scaled_{a.contiguous() * scale},
        mask_{std::move(mask)},
        symmetric_{symmetric},
        side_{a.is_cpu() ? 1024 : 4096} {
    has_kernel_ = a.is_cpu() && a.scalar_type() == torch::kFloat && kernel_target() != nullptr;
    scratch_ = torch::empty({std::min(side_, rows()) * std::min(side_, columns())}, a.options());
  }

  std::int64_t rows() const { return scaled_.size(0); }
  std::int64_t columns() const { return b_.size(0); }
  /// Whether the functions of kernels.hpp can work on the tiles.
  bool has_kernel() const { return has_kernel_; }

  /// f(tile, its first row, its first column) over all tiles; over those on and above the diagonal if it is symmetric.
  template <class F>
  void for_each_tile(F f) {
    for (std::int64_t i = 0; i < rows(); i += side_) {
      const auto m = std::min(side_, rows() - i);
      for (std::int64_t j = symmetric_ ? i : 0; j < columns(); j += side_) {
        const auto n = std::min(side_, columns() - j);
        auto tile = scratch_.narrow(0, 0, m * n).view({m, n});
        torch::mm_out(tile, scaled_.narrow(0, i, m), b_.narrow(0, j, n).t());
        leave_out(tile, i, j);
        f(tile, i, j);
      }
    }
  }

  /// How many rows have their positive among the columns.
  std::int64_t positives() const { return std::clamp<std::int64_t>(columns() - mask_.positive_offset, 0, rows()); }

  /// Copies the positives that lie in a tile to where they belong in `values`.
  void collect_positives(const Tensor& tile, std::int64_t i, std::int64_t j, const Tensor& values) const {
    if (const auto cut = diagonal(tile, i + mask_.positive_offset - j))
      values.narrow(0, i + cut->first_row, cut->length).copy_(tile.diagonal(cut->offset));
  }

  /// f(a view of the positives that lie in a tile, the first one's row in the matrix). A tile on the diagonal of
  /// A · Aᵀ holds them twice, mirrored.
  template <class F>
  void for_positives(const Tensor& tile, std::int64_t i, std::int64_t j, F f) const {
    if (const auto cut = diagonal(tile, i + mask_.positive_offset - j))
      f(tile.diagonal(cut->offset), i + cut->first_row);
    if (!symmetric_ || i != j) return;
    if (const auto cut = diagonal(tile, -mask_.positive_offset))
      f(tile.diagonal(cut->offset), i + cut->first_row + cut->offset);
  }

  static ScoreTile as_tile(const Tensor& tile) { return {tile.data_ptr<float>(), tile.size(0), tile.size(1)}; }

 private:
  void leave_out(Tensor& tile, std::int64_t i, std::int64_t j) const {
    constexpr auto nothing = -std::numeric_limits<double>::infinity();
    if (mask_.row_ids.defined()) {
      auto same = mask_.row_ids.narrow(0, i, tile.size(0)).unsqueeze(1) ==
                  mask_.column_ids.narrow(0, j, tile.size(1)).unsqueeze(0);
      for_positives(same, i, j, [](const Tensor& entries, std::int64_t /*first*/) { entries.fill_(false); });
      tile.masked_fill_(same, nothing);
    }
    if (!mask_.self_offset) return;
    if (const auto cut = diagonal(tile, i + *mask_.self_offset - j)) tile.diagonal(cut->offset).fill_(nothing);
  }

  struct Cut {
    std::int64_t offset, first_row, length;
  };
  /// Where the entries (r, r + offset) lie in a tile, if they do.
  static std::optional<Cut> diagonal(const Tensor& tile, std::int64_t offset) {
    const auto first = std::max<std::int64_t>(0, -offset), last = std::min(tile.size(0), tile.size(1) - offset);
    if (first >= last) return std::nullopt;
    return Cut{offset, first, last - first};
  }

  Tensor b_, scaled_, scratch_;
  SimilarityMask mask_;
  bool symmetric_, has_kernel_;
  /// Rows and columns of a tile, a square so that the diagonal of a symmetric matrix cuts no other tiles. On the CPU
  /// 1024 × 1024 scores in fp32 take 4 MB: large enough that packing its factors costs products little, small enough
  /// for caches. Other devices have no such caches and want fewer, larger operations (64 MB).
  std::int64_t side_;
};

}  // namespace sslmeme::detail
