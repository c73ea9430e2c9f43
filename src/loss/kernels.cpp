#include "loss/kernels.hpp"

#ifdef SSLMEME_HIGHWAY

#include "core/parallel.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

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

/// exp(x), NaN of NaN, which Highway's gives 0, and 0 below 2⁻⁹²: beside a largest exponential of 1 that changes no
/// sum, and it keeps denormal numbers out, with which some processors compute a hundred times slower.
HWY_INLINE V exp_or_nan(V x) {
  const D d;
  const auto lowest = hn::Set(d, -64.0F);
  const auto e = hn::IfThenElseZero(hn::Ge(x, lowest), hn::Exp(d, hn::Max(x, lowest)));
  return hn::IfThenElse(hn::IsNaN(x), x, e);
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

/// Largest scores of `Rows` rows, and of columns beside what `of_columns` has.
template <int Rows>
void maxima_of(const float* scores, std::int64_t columns, float* of_rows, float* of_columns) {
  const D d;
  V top[Rows];
  for (auto& t : top) t = hn::Set(d, lowest_score);
  along(columns, [&](std::int64_t j, std::int64_t left) {
    auto highest = load_some(of_columns + j, left, lowest_score);
    for (int i = 0; i < Rows; ++i) {
      const auto x = load_some(scores + i * columns + j, left, lowest_score);
      top[i] = hn::Max(top[i], x);
      highest = hn::Max(highest, x);
    }
    store_some(highest, of_columns + j, left);
  });
  for (int i = 0; i < Rows; ++i) of_rows[i] = hn::GetLane(hn::MaxOfLanes(d, top[i]));
}

/// Σ exp(x − shift) of `Rows` rows; of columns it is added to `of_columns`.
template <int Rows>
void sums_of(const float* scores, std::int64_t columns, float shift, float* of_rows, float* of_columns) {
  const D d;
  const auto top = hn::Set(d, shift);
  V total[Rows];
  for (auto& t : total) t = hn::Zero(d);
  along(columns, [&](std::int64_t j, std::int64_t left) {
    auto column = load_some(of_columns + j, left, 0);
    for (int i = 0; i < Rows; ++i) {
      const auto e = exp_or_nan(hn::Sub(load_some(scores + i * columns + j, left, -INFINITY), top));
      total[i] = hn::Add(total[i], e);
      column = hn::Add(column, e);
    }
    store_some(column, of_columns + j, left);
  });
  for (int i = 0; i < Rows; ++i) of_rows[i] = hn::GetLane(hn::SumOfLanes(d, total[i]));
}

constexpr std::int64_t rows_at_once = 4;  ///< so that columns are loaded and stored a quarter as often

void maxima(const float* scores, std::int64_t rows, std::int64_t columns, float* of_rows, float* of_columns) {
  std::int64_t i = 0;
  for (; i + rows_at_once <= rows; i += rows_at_once)
    maxima_of<rows_at_once>(scores + i * columns, columns, of_rows + i, of_columns);
  for (; i < rows; ++i) maxima_of<1>(scores + i * columns, columns, of_rows + i, of_columns);
}

void sums(const float* scores, std::int64_t rows, std::int64_t columns, float shift, float* of_rows,
          float* of_columns) {
  std::int64_t i = 0;
  for (; i + rows_at_once <= rows; i += rows_at_once)
    sums_of<rows_at_once>(scores + i * columns, columns, shift, of_rows + i, of_columns);
  for (; i < rows; ++i) sums_of<1>(scores + i * columns, columns, shift, of_rows + i, of_columns);
}

/// x → exp(x − shift) · (row + columns[j]).
void weigh_row_at_once(float* scores, std::int64_t n, float shift, float row, const float* columns) {
  const D d;
  const auto top = hn::Set(d, shift), of_row = hn::Set(d, row);
  along(n, [&](std::int64_t i, std::int64_t left) {
    const auto e = exp_or_nan(hn::Sub(load_some(scores + i, left, 0), top));
    store_some(hn::Mul(e, hn::Add(of_row, load_some(columns + i, left, 0))), scores + i, left);
  });
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

/// x − center, and what rounding took from it, so that the two together are exact (Knuth 1969).
struct Difference {
  V rounded, rest;
};
HWY_INLINE Difference difference(V x, V center) {
  const auto rounded = hn::Sub(x, center), minus_center = hn::Sub(rounded, x);
  return {rounded, hn::Sub(hn::Sub(x, hn::Sub(rounded, minus_center)), hn::Add(center, minus_center))};
}

/// out = softmax((x − center) · inverse); x is added to `sum`. Returns the entropy. Where the logits are far from zero
/// the last bit of a difference is far from nothing in its exponential, so the bits that rounding takes are kept.
float softmax_row(const float* x, const float* center, float inverse, std::int64_t n, float* out, float* sum) {
  const D d;
  const auto scale = hn::Set(d, inverse);
  auto top = hn::Set(d, lowest_score);
  along(n, [&](std::int64_t i, std::int64_t left) {
    const auto raw = load_some(x + i, left, lowest_score);
    store_some(hn::Add(load_some(sum + i, left, 0), raw), sum + i, left);
    top = hn::Max(top, hn::Sub(raw, load_some(center + i, left, 0)));
  });
  top = hn::MaxOfLanes(d, top);
  auto total = hn::Zero(d), weighted = hn::Zero(d);
  const auto lowest = hn::Set(d, lowest_score);
  along(n, [&](std::int64_t i, std::int64_t left) {
    const auto shifted = difference(load_some(x + i, left, lowest_score), load_some(center + i, left, 0));
    const auto exponent = hn::Mul(hn::Add(hn::Sub(shifted.rounded, top), shifted.rest), scale);
    const auto e = exp_or_nan(exponent);
    store_some(e, out + i, left);
    total = hn::Add(total, e);
    weighted = hn::MulAdd(e, hn::Max(exponent, lowest), weighted);  // 0 · −∞ would be NaN
  });
  total = hn::SumOfLanes(d, total);
  const auto share = hn::Div(hn::Set(d, 1.0F), total);
  along(n, [&](std::int64_t i, std::int64_t left) {
    store_some(hn::Mul(load_some(out + i, left, 0), share), out + i, left);
  });
  const auto sum_of_all = hn::GetLane(total);
  return std::log(sum_of_all) - hn::GetLane(hn::SumOfLanes(d, weighted)) / sum_of_all;
}

/// a + sign · b into `out`, which may be a.
void add_rows(const float* a, const float* b, float sign, std::int64_t n, float* out) {
  const D d;
  const auto s = hn::Set(d, sign);
  along(n, [&](std::int64_t i, std::int64_t left) {
    store_some(hn::MulAdd(s, load_some(b + i, left, 0), load_some(a + i, left, 0)), out + i, left);
  });
}

constexpr std::int64_t block = 4096;  ///< of a row, read twice while it lies in the nearest cache

/// What a row of logits x · inverse is to a target. All is relative to the largest x: a logsumexp of 750 would leave
/// its exponentials, and the difference of two such numbers, four digits.
struct RowSums {
  float top;          ///< the largest x
  float total = 0;    ///< Σ exp((x − top) · inverse)
  float product = 0;  ///< Σ target · (x − top)
};

/// Unless it is null, `exponentials` gets exp((x − top) · inverse) and `tops` the top of each block.
RowSums sum_row(const float* x, const float* targets, float inverse, std::int64_t n, float* exponentials, float* tops) {
  const D d;
  const auto scale = hn::Set(d, inverse);
  RowSums row{.top = lowest_score};
  float mass = 0;  // of the targets so far
  for (std::int64_t begin = 0; begin < n; begin += block) {
    const auto *values = x + begin, *weights = targets + begin;
    const auto length = std::min(block, n - begin);
    auto highest = hn::Set(d, row.top);
    along(length, [&](std::int64_t i, std::int64_t left) {
      highest = hn::Max(highest, load_some(values + i, left, lowest_score));
    });
    highest = hn::MaxOfLanes(d, highest);
    auto total = hn::Zero(d), product = hn::Zero(d), weight = hn::Zero(d);
    along(length, [&](std::int64_t i, std::int64_t left) {
      const auto below = hn::Sub(load_some(values + i, left, lowest_score), highest);
      const auto target = load_some(weights + i, left, 0);
      const auto e = exp_or_nan(hn::Mul(below, scale));
      total = hn::Add(total, e);
      product = hn::MulAdd(below, target, product);
      weight = hn::Add(weight, target);
      if (exponentials != nullptr) store_some(e, exponentials + begin + i, left);
    });
    const auto new_top = hn::GetLane(highest), fall = row.top - new_top;
    row.total = row.total * std::exp(fall * inverse) + hn::GetLane(hn::SumOfLanes(d, total));
    if (mass > 0) row.product += fall * mass;
    row.product += hn::GetLane(hn::SumOfLanes(d, product));
    mass += hn::GetLane(hn::SumOfLanes(d, weight));
    row.top = new_top;
    if (tops != nullptr) tops[begin / block] = new_top;
  }
  return row;
}

/// Turns what sum_row left into factor · (mass · softmax − target).
void gradient_row(float* exponentials, const float* tops, const float* targets, float inverse, const RowSums& row,
                  float mass, float factor, std::int64_t n) {
  const D d;
  const auto minus_factor = hn::Set(d, -factor);
  for (std::int64_t begin = 0; begin < n; begin += block) {
    const auto scale = hn::Set(d, factor * mass * std::exp((tops[begin / block] - row.top) * inverse) / row.total);
    auto* const values = exponentials + begin;
    along(std::min(block, n - begin), [&](std::int64_t i, std::int64_t left) {
      const auto of_target = hn::Mul(minus_factor, load_some(targets + begin + i, left, 0));
      store_some(hn::MulAdd(scale, load_some(values + i, left, 0), of_target), values + i, left);
    });
  }
}

using D16 = hn::Rebind<std::uint16_t, D>;
using D32 = hn::RebindToUnsigned<D>;

/// n numbers of bf16 as floats.
void widen(const std::uint16_t* from, std::int64_t n, float* to) {
  const D d;
  const D16 d16;
  const D32 d32;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes)
    hn::StoreU(hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(d32, hn::LoadU(d16, from + i)))), d, to + i);
  for (; i < n; ++i) {
    const auto bits = static_cast<std::uint32_t>(from[i]) << 16U;
    std::memcpy(to + i, &bits, sizeof(bits));
  }
}

/// n floats in bf16, rounded to the nearest, halves to even; NaN stays NaN.
void narrow(const float* from, std::int64_t n, std::uint16_t* to) {
  const D d;
  const D16 d16;
  const D32 d32;
  const hn::RebindToSigned<D> signed32;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t i = 0; i < n; i += lanes) {
    const auto x = load_some(from + i, n - i, 0);
    const auto bits = hn::BitCast(d32, x);
    const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(d32, 1U));
    const auto rounded = hn::ShiftRight<16>(hn::Add(bits, hn::Add(odd, hn::Set(d32, 0x7FFFU))));
    const auto nan = hn::BitCast(d32, hn::VecFromMask(d, hn::IsNaN(x)));
    const auto result = hn::Or(hn::AndNot(nan, rounded), hn::And(nan, hn::Set(d32, 0x7FC0U)));
    const auto half = hn::DemoteTo(d16, hn::BitCast(signed32, result));
    if (n - i >= lanes) {
      hn::StoreU(half, d16, to + i);
    } else {
      HWY_ALIGN std::uint16_t last[HWY_MAX_BYTES / sizeof(std::uint16_t)];
      hn::Store(half, d16, last);
      std::memcpy(to + i, last, static_cast<std::size_t>(n - i) * sizeof(std::uint16_t));
    }
  }
}

/// n numbers from `first` on: where they are, or widened into `scratch`.
const float* floats_of(const ConstFloats& numbers, std::int64_t first, std::int64_t n, float* scratch) {
  if (numbers.bf16 == nullptr) return numbers.fp32 + first;
  widen(numbers.bf16 + first, n, scratch);
  return scratch;
}

std::int64_t scratch_size(const DinoViews& of) {
  return (of.teachers + 4) * of.prototypes + (of.prototypes + block - 1) / block;
}

/// One sample of a batch. `scratch` holds scratch_size() floats, `teacher_sum` a row.
void dino_sample(const DinoViews& of, const DinoResults& results, std::int64_t b, float* scratch, float* teacher_sum) {
  const auto k = of.prototypes;
  const auto row = [&](std::int64_t view) { return (view * of.batch + b) * k; };  // where it begins
  auto *const everything = scratch + of.teachers * k, *const others = everything + k, *const wide = others + k,
              *const wide_gradient = wide + k, *const tops = wide_gradient + k;
  std::fill_n(everything, k, 0.0F);
  double entropy = 0;
  for (std::int64_t t = 0; t < of.teachers; ++t) {
    auto* const q = scratch + t * k;
    entropy += static_cast<double>(softmax_row(floats_of(of.teacher, row(t), k, wide), of.center,
                                               of.inverse_teacher_temperature, k, q, teacher_sum));
    add_rows(everything, q, 1, k, everything);
  }
  double loss = 0;
  for (std::int64_t v = 0; v < of.views; ++v) {
    // A view that is one of the teacher's too is not compared with itself.
    const bool shared = v < of.teachers;
    const float* target = everything;
    if (shared && of.teachers == 2) {
      target = scratch + (1 - v) * k;
    } else if (shared) {
      add_rows(everything, scratch + v * k, -1, k, others);
      target = others;
    }
    const auto mass = static_cast<float>(of.teachers - (shared ? 1 : 0));
    auto* const gradient = results.gradient.bf16 != nullptr   ? wide_gradient
                           : results.gradient.fp32 != nullptr ? results.gradient.fp32 + row(v)
                                                              : nullptr;
    const auto inverse = of.inverse_student_temperature;
    const auto sums = sum_row(floats_of(of.student, row(v), k, wide), target, inverse, k, gradient,
                              gradient == nullptr ? nullptr : tops);
    loss += static_cast<double>(mass) * std::log(static_cast<double>(sums.total)) -
            static_cast<double>(sums.product) * static_cast<double>(inverse);
    if (gradient == nullptr) continue;
    gradient_row(gradient, tops, target, inverse, sums, mass, static_cast<float>(results.weight) * inverse, k);
    if (results.gradient.bf16 != nullptr) narrow(gradient, k, results.gradient.bf16 + row(v));
  }
  results.losses[b] = loss;
  results.entropies[b] = entropy;
}

/// Turns scores into σ(x), x = score + bias. Returns Σ softplus(x) and Σ σ(x).
SigmoidSums sigmoid_row(float* scores, float bias, std::int64_t n) {
  const D d;
  const auto offset = hn::Set(d, bias), one = hn::Set(d, 1.0F);
  auto softplus = hn::Zero(d), sigma = hn::Zero(d);
  along(n, [&](std::int64_t i, std::int64_t left) {
    const auto x = hn::Add(load_some(scores + i, left, -INFINITY), offset);  // σ(−∞) = softplus(−∞) = 0
    const auto e = exp_or_nan(hn::Neg(hn::Abs(x))), share = hn::Div(one, hn::Add(one, e));
    const auto of_x = hn::IfNegativeThenElse(x, hn::Mul(e, share), share);
    softplus = hn::Add(softplus, hn::Add(hn::Max(x, hn::Zero(d)), hn::Log1p(d, e)));
    sigma = hn::Add(sigma, of_x);
    store_some(of_x, scores + i, left);
  });
  return {static_cast<double>(hn::GetLane(hn::SumOfLanes(d, softplus))),
          static_cast<double>(hn::GetLane(hn::SumOfLanes(d, sigma)))};
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
HWY_EXPORT(maxima);
HWY_EXPORT(sums);
HWY_EXPORT(weigh_row_at_once);
HWY_EXPORT(weigh_row);
HWY_EXPORT(add_rows);
HWY_EXPORT(dino_sample);
HWY_EXPORT(scratch_size);
HWY_EXPORT(sigmoid_row);
HWY_EXPORT(vector_lanes);
HWY_EXPORT(target_name);

namespace {

/// f(i) for 0 … n − 1 on all threads, each with at least `grain` of them.
template <class F>
void in_parallel(std::int64_t n, std::int64_t grain, F f) {
  parallel_for(n, grain, [&](std::int64_t begin, std::int64_t end) {
    for (auto i = begin; i < end; ++i) f(i);
  });
}

}  // namespace

const char* kernel_target() {
  return HWY_DYNAMIC_DISPATCH(target_name)();
}

namespace {

/// How far apart, in the exponent, rows and columns of a tile may be for one exponential to serve both: what is then
/// cut off at e⁻⁶⁴ is less than e⁻²⁴ of a row's largest, and so below rounding.
constexpr float most_spread = 40;

/// (maximum, sum) of a row or column that goes on with Σ exp(x − shift), the largest x being `top`.
void go_on(float& maximum, float& sum, float top, float shift, float more) {
  const auto highest = std::max(maximum, top);
  sum = sum * std::exp(maximum - highest) + more * std::exp(shift - highest);
  maximum = highest;
}

/// add_exponentials() with one exponential for each score; false, with nothing done, where that would lose precision.
bool add_exponentials_at_once(const ScoreTile& tile, const RunningSums& rows, const RunningSums& columns) {
  constexpr std::int64_t part_rows = 64;  // fixed, so that sums do not depend on the number of threads
  const auto parts = (tile.rows + part_rows - 1) / part_rows;
  const auto size = [](std::int64_t n) { return static_cast<std::size_t>(n); };
  std::vector<float> row_values(size(tile.rows)), row_tops(size(tile.rows)), column_values(size(parts * tile.columns)),
      column_tops(size(tile.columns), lowest_score);
  const auto for_parts = [&](auto body) {
    in_parallel(parts, 1, [&](std::int64_t part) {
      const auto first = part * part_rows;
      body(first, std::min(part_rows, tile.rows - first), column_values.data() + part * tile.columns);
    });
  };
  std::fill(column_values.begin(), column_values.end(), lowest_score);
  for_parts([&](std::int64_t first, std::int64_t n, float* of_columns) {
    HWY_DYNAMIC_DISPATCH(maxima)
    (tile.scores + first * tile.columns, n, tile.columns, row_tops.data() + first, of_columns);
  });
  for (std::int64_t part = 0; part < parts; ++part) {
    for (std::int64_t j = 0; j < tile.columns; ++j)
      column_tops[size(j)] = std::max(column_tops[size(j)], column_values[size(part * tile.columns + j)]);
  }
  const auto shift = *std::max_element(row_tops.begin(), row_tops.end());
  const auto lowest = std::min(*std::min_element(row_tops.begin(), row_tops.end()),
                               *std::min_element(column_tops.begin(), column_tops.end()));
  if (!(shift - lowest < most_spread)) return false;
  std::fill(column_values.begin(), column_values.end(), 0.0F);
  for_parts([&](std::int64_t first, std::int64_t n, float* of_columns) {
    HWY_DYNAMIC_DISPATCH(sums)
    (tile.scores + first * tile.columns, n, tile.columns, shift, row_values.data() + first, of_columns);
  });
  for (std::size_t i = 0; i < row_values.size(); ++i)
    go_on(rows.maximum[i], rows.sum[i], row_tops[i], shift, row_values[i]);
  for (std::size_t j = 0; j < column_tops.size(); ++j) {
    float sum = 0;
    for (std::int64_t part = 0; part < parts; ++part) sum += column_values[size(part * tile.columns) + j];
    go_on(columns.maximum[j], columns.sum[j], column_tops[j], shift, sum);
  }
  return true;
}

/// scores_to_weights() with one exponential for each score; false, with nothing done, where that would lose precision.
bool scores_to_weights_at_once(const ScoreTile& tile, const LogSumExpGradient& rows, const LogSumExpGradient& columns) {
  const auto [row_low, row_high] = std::minmax_element(rows.value.begin(), rows.value.end());
  const auto [column_low, column_high] = std::minmax_element(columns.value.begin(), columns.value.end());
  const auto low = std::min(*row_low, *column_low), high = std::max(*row_high, *column_high);
  if (!(high - low < most_spread)) return false;
  const auto shift = 0.5F * (low + high);
  std::vector<float> of_columns(columns.value.size());
  for (std::size_t j = 0; j < of_columns.size(); ++j)
    of_columns[j] = columns.gradient[j] * std::exp(shift - columns.value[j]);
  in_parallel(tile.rows, 16, [&](std::int64_t i) {
    const auto k = static_cast<std::size_t>(i);
    HWY_DYNAMIC_DISPATCH(weigh_row_at_once)
    (tile.scores + i * tile.columns, tile.columns, shift, rows.gradient[k] * std::exp(shift - rows.value[k]),
     of_columns.data());
  });
  return true;
}

}  // namespace

void add_exponentials(const ScoreTile& tile, const RunningSums& rows, const RunningSums& columns) {
  if (!columns.sum.empty() && add_exponentials_at_once(tile, rows, columns)) return;
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
  if (scores_to_weights_at_once(tile, rows, columns)) return;
  in_parallel(tile.rows, 16, [&](std::int64_t i) {
    const auto k = static_cast<std::size_t>(i);
    HWY_DYNAMIC_DISPATCH(weigh_row)
    (tile.scores + i * tile.columns, tile.columns, rows.gradient[k], rows.value[k], columns.gradient.data(),
     columns.value.data());
  });
}

SigmoidSums scores_to_sigmoids(const ScoreTile& tile, float bias) {
  std::vector<SigmoidSums> rows(static_cast<std::size_t>(tile.rows));
  in_parallel(tile.rows, 16, [&](std::int64_t i) {
    rows[static_cast<std::size_t>(i)] =
        HWY_DYNAMIC_DISPATCH(sigmoid_row)(tile.scores + i * tile.columns, bias, tile.columns);
  });
  SigmoidSums sums;
  for (const auto& row : rows) {
    sums.softplus += row.softplus;
    sums.sigmoid += row.sigmoid;
  }
  return sums;
}

void dino_cross_entropies(const DinoViews& of, const DinoResults& results) {
  // A fixed number of parts, whatever the number of threads: so the sums are the same.
  constexpr std::int64_t most_parts = 16;
  const auto k = of.prototypes, parts = std::min(of.batch, most_parts);
  const auto size = HWY_DYNAMIC_DISPATCH(scratch_size)(of);
  std::vector<float> sums(static_cast<std::size_t>(parts * k));
  parallel_for(parts, 1, [&](std::int64_t begin, std::int64_t end) {
    const auto scratch = std::make_unique_for_overwrite<float[]>(static_cast<std::size_t>(size));
    for (auto part = begin; part < end; ++part) {
      for (auto b = part * of.batch / parts; b < (part + 1) * of.batch / parts; ++b)
        HWY_DYNAMIC_DISPATCH(dino_sample)(of, results, b, scratch.get(), sums.data() + part * k);
    }
  });
  for (std::int64_t part = 1; part < parts; ++part)
    HWY_DYNAMIC_DISPATCH(add_rows)(sums.data(), sums.data() + part * k, 1, k, sums.data());
  const auto share = 1 / static_cast<float>(of.teachers * of.batch);
  for (std::int64_t i = 0; i < k; ++i) results.teacher_mean[i] = sums[static_cast<std::size_t>(i)] * share;
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
SigmoidSums scores_to_sigmoids(const ScoreTile&, float) {
  absent();
}
void dino_cross_entropies(const DinoViews&, const DinoResults&) {
  absent();
}

}  // namespace sslmeme::detail

#endif  // SSLMEME_HIGHWAY
