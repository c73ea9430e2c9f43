#include "loss/kernels.hpp"

#ifdef SSLMEME_HIGHWAY

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "loss/kernels.cpp"  // this file again, once for each instruction set
#include <hwy/foreach_target.h>

#include <hwy/highway.h>

#include <hwy/contrib/math/math-inl.h>

HWY_BEFORE_NAMESPACE();
namespace sslmeme::detail::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

/// The next n floats, n ≥ 1: a whole vector, or what is left with `filler` behind it. Never reads beyond them.
HWY_INLINE V load_some(const float* from, std::int64_t n, float filler) {
  const D d;
  if (n >= static_cast<std::int64_t>(hn::Lanes(d))) return hn::LoadU(d, from);
  HWY_ALIGN float lanes[HWY_MAX_BYTES / sizeof(float)];
  hn::Store(hn::Set(d, filler), d, lanes);
  std::memcpy(lanes, from, static_cast<std::size_t>(n) * sizeof(float));
  return hn::Load(d, lanes);
}

/// Never writes beyond the next n floats: they may be another thread's.
HWY_INLINE void store_some(V x, float* to, std::int64_t n) {
  const D d;
  if (n >= static_cast<std::int64_t>(hn::Lanes(d))) return hn::StoreU(x, d, to);
  HWY_ALIGN float lanes[HWY_MAX_BYTES / sizeof(float)];
  hn::Store(x, d, lanes);
  std::memcpy(to, lanes, static_cast<std::size_t>(n) * sizeof(float));
}

/// f(i, how many are left) for every vector along n floats.
template <class F>
HWY_INLINE void along(std::int64_t n, F f) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(D()));
  for (std::int64_t i = 0; i < n; i += lanes) f(i, n - i);
}

/// exp(x), and NaN of NaN, which Highway's gives 0.
HWY_INLINE V exp_or_nan(V x) {
  const D d;
  return hn::IfThenElse(hn::IsNaN(x), x, hn::Exp(d, x));
}

void add_row(const float* scores, std::int64_t n, float* maximum, float* sum) {
  const D d;
  auto top = hn::Set(d, *maximum);
  along(n, [&](std::int64_t i, std::int64_t left) { top = hn::Max(top, load_some(scores + i, left, lowest_score)); });
  top = hn::MaxOfLanes(d, top);
  auto total = hn::Zero(d);
  along(n, [&](std::int64_t i, std::int64_t left) {
    total = hn::Add(total, exp_or_nan(hn::Sub(load_some(scores + i, left, -INFINITY), top)));
  });
  const auto new_maximum = hn::GetLane(top);
  *sum = *sum * std::exp(*maximum - new_maximum) + hn::GetLane(hn::SumOfLanes(d, total));
  *maximum = new_maximum;
}

/// The first columns of a tile, n of them or as many as a vector holds.
void add_columns(const float* scores, std::int64_t rows, std::int64_t stride, std::int64_t n, float* maximum,
                 float* sum) {
  const auto old = load_some(maximum, n, lowest_score);
  auto top = old;
  for (std::int64_t i = 0; i < rows; ++i) top = hn::Max(top, load_some(scores + i * stride, n, lowest_score));
  auto total = hn::Mul(load_some(sum, n, 0), exp_or_nan(hn::Sub(old, top)));
  for (std::int64_t i = 0; i < rows; ++i)
    total = hn::Add(total, exp_or_nan(hn::Sub(load_some(scores + i * stride, n, -INFINITY), top)));
  store_some(top, maximum, n);
  store_some(total, sum, n);
}

void weigh_row(float* scores, std::int64_t n, float gradient, float value, const float* column_gradient,
               const float* column_value) {
  const D d;
  const auto g = hn::Set(d, gradient), v = hn::Set(d, value);
  along(n, [&](std::int64_t i, std::int64_t left) {
    const auto x = load_some(scores + i, left, 0);
    const auto of_row = hn::Mul(g, exp_or_nan(hn::Sub(x, v)));
    const auto of_column = exp_or_nan(hn::Sub(x, load_some(column_value + i, left, 0)));
    store_some(hn::MulAdd(load_some(column_gradient + i, left, 0), of_column, of_row), scores + i, left);
  });
}

void softmax_row(const float* x, const float* center, float inverse, std::int64_t n, float* out) {
  const D d;
  const auto scale = hn::Set(d, inverse);
  auto top = hn::Set(d, -INFINITY);
  along(n, [&](std::int64_t i, std::int64_t left) {
    const auto shifted = hn::Mul(hn::Sub(load_some(x + i, left, -INFINITY), load_some(center + i, left, 0)), scale);
    store_some(shifted, out + i, left);
    top = hn::Max(top, shifted);
  });
  top = hn::MaxOfLanes(d, top);
  auto total = hn::Zero(d);
  along(n, [&](std::int64_t i, std::int64_t left) {
    const auto e = exp_or_nan(hn::Sub(load_some(out + i, left, -INFINITY), top));
    store_some(e, out + i, left);
    total = hn::Add(total, e);
  });
  const auto share = hn::Div(hn::Set(d, 1.0F), hn::SumOfLanes(d, total));
  along(n, [&](std::int64_t i, std::int64_t left) {
    store_some(hn::Mul(load_some(out + i, left, 0), share), out + i, left);
  });
}

void sum_row(const float* x, const float* targets, float inverse, std::int64_t n, float* logsumexp, float* product) {
  const D d;
  const auto scale = hn::Set(d, inverse);
  auto top = hn::Set(d, -INFINITY);
  auto dot = hn::Zero(d);
  along(n, [&](std::int64_t i, std::int64_t left) {
    top = hn::Max(top, load_some(x + i, left, -INFINITY));
    dot = hn::MulAdd(load_some(x + i, left, 0), load_some(targets + i, left, 0), dot);
  });
  top = hn::MaxOfLanes(d, top);
  auto total = hn::Zero(d);
  along(n, [&](std::int64_t i, std::int64_t left) {
    total = hn::Add(total, exp_or_nan(hn::Mul(hn::Sub(load_some(x + i, left, -INFINITY), top), scale)));
  });
  *logsumexp = hn::GetLane(top) * inverse + std::log(hn::GetLane(hn::SumOfLanes(d, total)));
  *product = hn::GetLane(hn::SumOfLanes(d, dot)) * inverse;
}

void gradient_row(const float* x, const float* targets, float logsumexp, const CrossEntropyGradient& of, std::int64_t n,
                  float* out) {
  const D d;
  const auto scale = hn::Set(d, of.inverse_temperature), offset = hn::Set(d, -logsumexp);
  const auto mass = hn::Set(d, of.mass), factor = hn::Set(d, of.factor);
  along(n, [&](std::int64_t i, std::int64_t left) {
    const auto p = exp_or_nan(hn::MulAdd(load_some(x + i, left, 0), scale, offset));
    store_some(hn::Mul(factor, hn::MulSub(mass, p, load_some(targets + i, left, 0))), out + i, left);
  });
}

std::int64_t vector_lanes() {
  return static_cast<std::int64_t>(hn::Lanes(D()));
}

const char* target_name() {
  return hwy::TargetName(HWY_TARGET);
}

}  // namespace sslmeme::detail::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sslmeme::detail {

HWY_EXPORT(add_row);
HWY_EXPORT(add_columns);
HWY_EXPORT(weigh_row);
HWY_EXPORT(softmax_row);
HWY_EXPORT(sum_row);
HWY_EXPORT(gradient_row);
HWY_EXPORT(vector_lanes);
HWY_EXPORT(target_name);

namespace {

/// f(i) for 0 … n − 1 on all threads, each with at least `grain` of them.
template <class F>
void in_parallel(std::int64_t n, std::int64_t grain, F f) {
  at::parallel_for(0, n, grain, [&](std::int64_t begin, std::int64_t end) {
    for (auto i = begin; i < end; ++i) f(i);
  });
}

}  // namespace

const char* kernel_target() {
  return HWY_DYNAMIC_DISPATCH(target_name)();
}

void add_exponentials(const ScoreTile& tile, const RunningSums& rows, const RunningSums& columns) {
  in_parallel(tile.rows, 16, [&](std::int64_t i) {
    const auto k = static_cast<std::size_t>(i);
    HWY_DYNAMIC_DISPATCH(add_row)(tile.scores + i * tile.columns, tile.columns, &rows.maximum[k], &rows.sum[k]);
  });
  if (columns.sum.empty()) return;
  const auto lanes = HWY_DYNAMIC_DISPATCH(vector_lanes)();
  in_parallel((tile.columns + lanes - 1) / lanes, 4, [&](std::int64_t stripe) {
    const auto first = stripe * lanes;
    const auto k = static_cast<std::size_t>(first);
    HWY_DYNAMIC_DISPATCH(add_columns)
    (tile.scores + first, tile.rows, tile.columns, tile.columns - first, &columns.maximum[k], &columns.sum[k]);
  });
}

void scores_to_weights(const ScoreTile& tile, const LogSumExpGradient& rows, const LogSumExpGradient& columns) {
  in_parallel(tile.rows, 16, [&](std::int64_t i) {
    const auto k = static_cast<std::size_t>(i);
    HWY_DYNAMIC_DISPATCH(weigh_row)
    (tile.scores + i * tile.columns, tile.columns, rows.gradient[k], rows.value[k], columns.gradient.data(),
     columns.value.data());
  });
}

void softmax_rows(const Rows& x, const float* center, float inverse_temperature, float* out) {
  in_parallel(x.rows, 1, [&](std::int64_t i) {
    HWY_DYNAMIC_DISPATCH(softmax_row)(x.data + i * x.n, center, inverse_temperature, x.n, out + i * x.n);
  });
}

void cross_entropy_rows(const Rows& x, const float* targets, float inverse_temperature, float* logsumexp,
                        float* product) {
  in_parallel(x.rows, 1, [&](std::int64_t i) {
    HWY_DYNAMIC_DISPATCH(sum_row)
    (x.data + i * x.n, targets + i * x.n, inverse_temperature, x.n, logsumexp + i, product + i);
  });
}

void cross_entropy_gradient_rows(const Rows& x, const float* targets, const float* logsumexp,
                                 const CrossEntropyGradient& of, float* out) {
  in_parallel(x.rows, 1, [&](std::int64_t i) {
    HWY_DYNAMIC_DISPATCH(gradient_row)(x.data + i * x.n, targets + i * x.n, logsumexp[i], of, x.n, out + i * x.n);
  });
}

}  // namespace sslmeme::detail
#endif  // HWY_ONCE

#else

#include <stdexcept>

namespace sslmeme::detail {

namespace {
[[noreturn]] void absent() {
  throw std::logic_error("built without Highway: there are no kernels to call");
}
}  // namespace

const char* kernel_target() {
  return nullptr;
}
void add_exponentials(const ScoreTile&, const RunningSums&, const RunningSums&) {
  absent();
}
void scores_to_weights(const ScoreTile&, const LogSumExpGradient&, const LogSumExpGradient&) {
  absent();
}
void softmax_rows(const Rows&, const float*, float, float*) {
  absent();
}
void cross_entropy_rows(const Rows&, const float*, float, float*, float*) {
  absent();
}
void cross_entropy_gradient_rows(const Rows&, const float*, const float*, const CrossEntropyGradient&, float*) {
  absent();
}

}  // namespace sslmeme::detail

#endif  // SSLMEME_HIGHWAY
