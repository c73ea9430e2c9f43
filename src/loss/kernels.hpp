// What losses do between matrix products, on the CPU in fp32 in one or two passes over rows that lie in the cache. Made
// for several instruction sets, of which the best is taken at run time (Google Highway). NaN in gives NaN out.
#pragma once

#include <cstdint>
#include <span>

namespace sslmeme::detail {

/// The instruction set that the kernels run on here, such as "AVX3"; null when built without Highway, and then nothing
/// below may be called.
const char* kernel_target();

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

/// `rows` rows of n floats.
struct Rows {
  const float* data;
  std::int64_t rows, n;
};

/// out = softmax((x − center) · inverse_temperature); center: n floats.
void softmax_rows(const Rows& x, const float* center, float inverse_temperature, float* out);

/// What cross-entropy against targets needs of logits x · inverse_temperature: their logsumexp and Σ target · logit, of
/// each row.
void cross_entropy_rows(const Rows& x, const float* targets, float inverse_temperature, float* logsumexp,
                        float* product);

/// out = factor · (mass · exp(x · inverse_temperature − logsumexp) − targets).
struct CrossEntropyGradient {
  float inverse_temperature, mass, factor;
};
void cross_entropy_gradient_rows(const Rows& x, const float* targets, const float* logsumexp,
                                 const CrossEntropyGradient& of, float* out);

}  // namespace sslmeme::detail
