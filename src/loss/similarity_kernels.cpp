#ifdef SSLMEME_HIGHWAY
#include "loss/similarity_kernels.hpp"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "loss/similarity_kernels.cpp"  // this file again, once for each instruction set
#include <hwy/foreach_target.h>

#include <hwy/highway.h>

#include <hwy/contrib/math/math-inl.h>

HWY_BEFORE_NAMESPACE();
namespace sslmeme::detail::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

/// Calls f(i, loaded, count) along n floats: whole vectors, then one that is filled up with `filler`.
template <class F>
void along(const float* from, std::int64_t n, float filler, F f) {
  const D d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) f(i, hn::LoadU(d, from + i));
  if (i < n) {
    const auto rest = hn::FirstN(d, static_cast<std::size_t>(n - i));
    f(i, hn::IfThenElse(rest, hn::MaskedLoad(rest, d, from + i), hn::Set(d, filler)));
  }
}

void AddRow(const float* scores, std::int64_t n, float* maximum, float* sum) {
  const D d;
  auto largest = hn::Set(d, *maximum);
  along(scores, n, lowest_score, [&](std::int64_t /*i*/, V x) { largest = hn::Max(largest, x); });
  const auto top = hn::MaxOfLanes(d, largest);
  auto total = hn::Zero(d);
  along(scores, n, -INFINITY, [&](std::int64_t /*i*/, V x) { total = hn::Add(total, hn::Exp(d, hn::Sub(x, top))); });
  const auto new_maximum = hn::GetLane(top);
  *sum = *sum * std::exp(*maximum - new_maximum) + hn::GetLane(hn::SumOfLanes(d, total));
  *maximum = new_maximum;
}

/// Columns [0, n) of a tile with n at most the lanes of a vector.
void AddColumns(const float* scores, std::int64_t rows, std::int64_t stride, std::int64_t n, float* maximum,
                float* sum) {
  const D d;
  const auto inside = hn::FirstN(d, static_cast<std::size_t>(n));
  const auto old = hn::MaskedLoad(inside, d, maximum);
  auto top = old;
  for (std::int64_t i = 0; i < rows; ++i) top = hn::Max(top, hn::MaskedLoad(inside, d, scores + i * stride));
  auto total = hn::Mul(hn::MaskedLoad(inside, d, sum), hn::Exp(d, hn::Sub(old, top)));
  for (std::int64_t i = 0; i < rows; ++i)
    total = hn::Add(total, hn::Exp(d, hn::Sub(hn::MaskedLoad(inside, d, scores + i * stride), top)));
  hn::BlendedStore(top, inside, d, maximum);
  hn::BlendedStore(total, inside, d, sum);
}

void WeighRow(float* scores, std::int64_t n, float gradient, float value, const float* column_gradient,
              const float* column_value) {
  const D d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto g = hn::Set(d, gradient), v = hn::Set(d, value);
  for (std::int64_t i = 0; i < n; i += lanes) {
    const auto inside = hn::FirstN(d, static_cast<std::size_t>(std::min(n - i, lanes)));
    const auto x = hn::MaskedLoad(inside, d, scores + i);
    const auto of_row = hn::Mul(g, hn::Exp(d, hn::Sub(x, v)));
    const auto of_column = hn::Exp(d, hn::Sub(x, hn::MaskedLoad(inside, d, column_value + i)));
    hn::BlendedStore(hn::MulAdd(hn::MaskedLoad(inside, d, column_gradient + i), of_column, of_row), inside, d,
                     scores + i);
  }
}

std::int64_t VectorLanes() {
  return static_cast<std::int64_t>(hn::Lanes(D()));
}

const char* TargetName() {
  return hwy::TargetName(HWY_TARGET);
}

}  // namespace sslmeme::detail::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sslmeme::detail {

HWY_EXPORT(AddRow);
HWY_EXPORT(AddColumns);
HWY_EXPORT(WeighRow);
HWY_EXPORT(VectorLanes);
HWY_EXPORT(TargetName);

namespace {
constexpr std::int64_t rows_a_thread = 16;
}

void add_exponentials(const ScoreTile& tile, const RunningSums& rows, const RunningSums& columns) {
  const auto lanes = HWY_DYNAMIC_DISPATCH(VectorLanes)();  // first: it settles the instruction set for all
  const auto add_row = HWY_DYNAMIC_DISPATCH(AddRow);
  const auto add_columns = HWY_DYNAMIC_DISPATCH(AddColumns);
  at::parallel_for(0, tile.rows, rows_a_thread, [&](std::int64_t begin, std::int64_t end) {
    for (auto i = begin; i < end; ++i) {
      const auto k = static_cast<std::size_t>(i);
      add_row(tile.scores + i * tile.columns, tile.columns, &rows.maximum[k], &rows.sum[k]);
    }
  });
  if (columns.sum.empty()) return;
  const auto stripes = (tile.columns + lanes - 1) / lanes;
  at::parallel_for(0, stripes, 4, [&](std::int64_t begin, std::int64_t end) {
    for (auto stripe = begin; stripe < end; ++stripe) {
      const auto first = stripe * lanes;
      const auto k = static_cast<std::size_t>(first);
      add_columns(tile.scores + first, tile.rows, tile.columns, std::min(lanes, tile.columns - first),
                  &columns.maximum[k], &columns.sum[k]);
    }
  });
}

void scores_to_weights(const ScoreTile& tile, const LogSumExpGradient& rows, const LogSumExpGradient& columns) {
  static_cast<void>(kernel_target());  // settles the instruction set
  const auto weigh_row = HWY_DYNAMIC_DISPATCH(WeighRow);
  at::parallel_for(0, tile.rows, rows_a_thread, [&](std::int64_t begin, std::int64_t end) {
    for (auto i = begin; i < end; ++i) {
      const auto k = static_cast<std::size_t>(i);
      weigh_row(tile.scores + i * tile.columns, tile.columns, rows.gradient[k], rows.value[k], columns.gradient.data(),
                columns.value.data());
    }
  });
}

const char* kernel_target() {
  return HWY_DYNAMIC_DISPATCH(TargetName)();
}

}  // namespace sslmeme::detail
#endif
#else

#include "loss/similarity_kernels.hpp"

namespace sslmeme::detail {
const char* kernel_target() {
  return nullptr;
}
// Nobody calls these without a target.
void add_exponentials(const ScoreTile&, const RunningSums&, const RunningSums&) {}
void scores_to_weights(const ScoreTile&, const LogSumExpGradient&, const LogSumExpGradient&) {}
}  // namespace sslmeme::detail

#endif  // SSLMEME_HIGHWAY
