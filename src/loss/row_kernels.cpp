#ifdef SSLMEME_HIGHWAY
#include "loss/row_kernels.hpp"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "loss/row_kernels.cpp"  // this file again, once for each instruction set
#include <hwy/foreach_target.h>

#include <hwy/highway.h>

#include <hwy/contrib/math/math-inl.h>

HWY_BEFORE_NAMESPACE();
namespace sslmeme::detail::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using D = hn::ScalableTag<float>;

/// Calls f(i, mask) along n floats, a vector at a time; the mask is of the lanes that are inside.
template <class F>
void along(std::int64_t n, F f) {
  const D d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) f(i, hn::FirstN(d, static_cast<std::size_t>(lanes)));
  if (i < n) f(i, hn::FirstN(d, static_cast<std::size_t>(n - i)));
}

void SoftmaxRow(const float* x, const float* center, float inverse, std::int64_t n, float* out) {
  const D d;
  const auto scale = hn::Set(d, inverse);
  const auto lowest = hn::Set(d, -INFINITY);
  auto top = lowest;
  along(n, [&](std::int64_t i, auto inside) {
    const auto shifted =
        hn::Mul(hn::Sub(hn::MaskedLoad(inside, d, x + i), hn::MaskedLoad(inside, d, center + i)), scale);
    hn::BlendedStore(shifted, inside, d, out + i);
    top = hn::Max(top, hn::IfThenElse(inside, shifted, lowest));
  });
  top = hn::MaxOfLanes(d, top);
  auto total = hn::Zero(d);
  along(n, [&](std::int64_t i, auto inside) {
    const auto e = hn::IfThenElseZero(inside, hn::Exp(d, hn::Sub(hn::MaskedLoad(inside, d, out + i), top)));
    hn::BlendedStore(e, inside, d, out + i);
    total = hn::Add(total, e);
  });
  const auto share = hn::Div(hn::Set(d, 1.0F), hn::SumOfLanes(d, total));
  along(n, [&](std::int64_t i, auto inside) {
    hn::BlendedStore(hn::Mul(hn::MaskedLoad(inside, d, out + i), share), inside, d, out + i);
  });
}

void SumRow(const float* x, const float* targets, float inverse, std::int64_t n, float* logsumexp, float* product) {
  const D d;
  const auto scale = hn::Set(d, inverse);
  const auto lowest = hn::Set(d, -INFINITY);
  auto top = lowest;
  auto dot = hn::Zero(d);
  along(n, [&](std::int64_t i, auto inside) {
    const auto v = hn::MaskedLoad(inside, d, x + i);
    top = hn::Max(top, hn::IfThenElse(inside, v, lowest));
    dot = hn::MulAdd(v, hn::MaskedLoad(inside, d, targets + i), dot);
  });
  top = hn::MaxOfLanes(d, top);
  auto total = hn::Zero(d);
  along(n, [&](std::int64_t i, auto inside) {
    const auto e = hn::Exp(d, hn::Mul(hn::Sub(hn::MaskedLoad(inside, d, x + i), top), scale));
    total = hn::Add(total, hn::IfThenElseZero(inside, e));
  });
  *logsumexp = hn::GetLane(top) * inverse + std::log(hn::GetLane(hn::SumOfLanes(d, total)));
  *product = hn::GetLane(hn::SumOfLanes(d, dot)) * inverse;
}

void GradientRow(const float* x, const float* targets, float logsumexp, float inverse, float mass, float factor,
                 std::int64_t n, float* out) {
  const D d;
  const auto scale = hn::Set(d, inverse), offset = hn::Set(d, -logsumexp), m = hn::Set(d, mass), f = hn::Set(d, factor);
  along(n, [&](std::int64_t i, auto inside) {
    const auto p = hn::Exp(d, hn::MulAdd(hn::MaskedLoad(inside, d, x + i), scale, offset));
    hn::BlendedStore(hn::Mul(f, hn::MulSub(m, p, hn::MaskedLoad(inside, d, targets + i))), inside, d, out + i);
  });
}

}  // namespace sslmeme::detail::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sslmeme::detail {

HWY_EXPORT(SoftmaxRow);
HWY_EXPORT(SumRow);
HWY_EXPORT(GradientRow);

void softmax_rows(const float* x, const float* center, float inverse_temperature, std::int64_t rows, std::int64_t n,
                  float* out) {
  at::parallel_for(0, rows, 1, [&](std::int64_t begin, std::int64_t end) {
    for (auto i = begin; i < end; ++i)
      HWY_DYNAMIC_DISPATCH(SoftmaxRow)(x + i * n, center, inverse_temperature, n, out + i * n);
  });
}

void cross_entropy_rows(const float* x, const float* targets, float inverse_temperature, std::int64_t rows,
                        std::int64_t n, const RowSums& sums) {
  at::parallel_for(0, rows, 1, [&](std::int64_t begin, std::int64_t end) {
    for (auto i = begin; i < end; ++i) {
      HWY_DYNAMIC_DISPATCH(SumRow)
      (x + i * n, targets + i * n, inverse_temperature, n, sums.logsumexp + i, sums.product + i);
    }
  });
}

void cross_entropy_gradient_rows(const float* x, const float* targets, const float* logsumexp,
                                 float inverse_temperature, float mass, float factor, std::int64_t rows, std::int64_t n,
                                 float* out) {
  at::parallel_for(0, rows, 1, [&](std::int64_t begin, std::int64_t end) {
    for (auto i = begin; i < end; ++i) {
      HWY_DYNAMIC_DISPATCH(GradientRow)
      (x + i * n, targets + i * n, logsumexp[i], inverse_temperature, mass, factor, n, out + i * n);
    }
  });
}

}  // namespace sslmeme::detail
#endif
#endif  // SSLMEME_HIGHWAY
