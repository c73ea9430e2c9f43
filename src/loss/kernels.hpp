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

/// Σ softplus(x) and Σ σ(x) of a tile.
struct SigmoidSums {
  double softplus = 0, sigmoid = 0;
};

/// Replaces each score by σ(score + bias).
SigmoidSums scores_to_sigmoids(const ScoreTile& tile, float bias);

/// Numbers in fp32 or bf16.
template <class Float, class Half>
struct Floats {
  Float* fp32 = nullptr;
  Half* bf16 = nullptr;  ///< their bits; where it is not null the numbers are here
};
using ConstFloats = Floats<const float, const std::uint16_t>;
using MutableFloats = Floats<float, std::uint16_t>;

/// What DINO's cross-entropies are made of: raw outputs of the heads, (V, B, K) and (T, B, K), and the centre (K).
struct DinoViews {
  ConstFloats student, teacher;
  const float* center;
  std::int64_t views, teachers, batch, prototypes;
  float inverse_student_temperature, inverse_teacher_temperature;
};

/// Where their results go; `gradient` may be null. In bf16 it is rounded to the nearest.
struct DinoResults {
  double* losses;          ///< (B): Σ over pairs of views of one sample
  double* entropies;       ///< (B): Σ over the teacher's views of the entropy of its softmax
  double weight;           ///< of each loss in what is differentiated
  MutableFloats gradient;  ///< (V, B, K): dΣ weight · loss / dstudent
  float* teacher_mean;     ///< (K): over views and samples
};

/// One sample after another, so that what its views share stays in the cache: each output is read from memory once, and
/// each gradient written once.
void dino_cross_entropies(const DinoViews& of, const DinoResults& results);

}  // namespace sslmeme::detail
