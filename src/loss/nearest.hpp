// The most similar rows of a bank of vectors: exact, in chunks, and the same on every run.
#pragma once

#include <sslmeme/core/tensor.hpp>

#include <cstdint>
#include <functional>

namespace sslmeme::detail {

/// For M queries the k most similar of a bank's N rows, best first; k is N at most.
struct Neighbours {
  Tensor rows;        ///< i64 (M, k): of the bank; 0 where fewer were allowed
  Tensor similarity;  ///< (M, k): cosine; −∞ where fewer were allowed
};

/// Which of the bank's rows [begin, begin + count) each query may have: bool (M, count).
using Allowed = std::function<Tensor(std::int64_t begin, std::int64_t count)>;

/// queries: (M, D), bank: (N, D), N ≥ 1, both of unit vectors and of one type, on one device. Of equally similar rows
/// the first wins. k M N comparisons beside M N D products; memory grows with M alone. No gradient flows.
Neighbours nearest(const Tensor& queries, const Tensor& bank, std::int64_t k, const Allowed& allowed = {});

}  // namespace sslmeme::detail
