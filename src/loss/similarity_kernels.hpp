// The elementwise half of similarity_logsumexp on the CPU in fp32: what comes between two matrix products, in one pass
// over a tile that lies in the cache.
#pragma once

#include <cstdint>
#include <span>

namespace sslmeme::detail {

/// A tile of scores, row after row. An entry that does not count is −∞.
struct ScoreTile {
  float* scores;
  std::int64_t rows, columns;
};

/// Sums of exponentials as pairs (maximum, Σ exp(x − maximum)), so that none overflows. Begin with lowest_score and 0.
struct RunningSums {
  std::span<float> maximum, sum;
};

inline constexpr float lowest_score = -3e38F;

/// Adds a tile to the sums of its rows and, unless they are empty, of its columns.
void add_exponentials(const ScoreTile& tile, const RunningSums& rows, const RunningSums& columns);

/// What turns scores into weights: dL/d(log-sum-exp) and the log-sum-exp itself, of rows or columns.
struct LogSumExpGradient {
  std::span<const float> gradient, value;
};

/// Replaces each score x by its weight: rows.gradient · exp(x − rows.value) + columns.gradient · exp(x −
/// columns.value).
void scores_to_weights(const ScoreTile& tile, const LogSumExpGradient& rows, const LogSumExpGradient& columns);

/// The instruction set that the kernels run on here, e.g. "AVX3"; null when built without Highway.
const char* kernel_target();

}  // namespace sslmeme::detail
