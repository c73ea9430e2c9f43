// AllCloseTo: a Catch2 matcher for tensors that prints the worst element.
#pragma once

#include <sslmeme/core/tensor.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_templated.hpp>

#include <sstream>
#include <string>
#include <utility>

namespace sslmeme::test {

/// |a − b| ≤ absolute + relative · |b| + scale · max |b|, in fp64. `scale` is for sums over large terms of both signs,
/// whose small elements carry the rounding of the large ones.
struct Tolerance {
  double relative = 0;
  double absolute = 0;
  double scale = 0;
};
inline constexpr Tolerance fp64_exact{1e-10, 1e-12};
inline constexpr Tolerance fp32_rounding{1e-5, 1e-6};
inline constexpr Tolerance fp32_deep{1e-4, 1e-5};            // features of a deep network
inline constexpr Tolerance fp32_gradient{1e-3, 1e-5, 4e-6};  // gradients through a deep network
inline constexpr Tolerance bf16_rounding{2e-2, 2e-2};

/// |a − b| / |b| over all elements.
inline double relative_error(const Tensor& a, const Tensor& b) {
  return ((a.to(torch::kFloat) - b).norm() / b.norm()).item<double>();
}

/// Of features in bf16. timm, open_clip and transformers themselves come to 5e-3 … 1.4e-2 of their fp32.
inline constexpr double bf16_error = 2e-2;

class AllCloseTo : public Catch::Matchers::MatcherBase<Tensor> {
 public:
  AllCloseTo(Tensor expected, Tolerance tolerance) : expected_{std::move(expected)}, tolerance_{tolerance} {}

  bool match(const Tensor& actual) const override {
    if (actual.sizes() != expected_.sizes()) {
      worst_ = "shape " + shape_string(actual) + " instead of " + shape_string(expected_);
      return false;
    }
    if (actual.numel() == 0) return true;
    const auto a = actual.detach().to(torch::kDouble).cpu().flatten();
    const auto b = expected_.detach().to(torch::kDouble).cpu().flatten();
    const auto allowed = tolerance_.absolute + tolerance_.relative * b.abs() + tolerance_.scale * b.abs().max();
    auto excess = (a - b).abs() - allowed;
    excess = torch::where(torch::isnan(excess), torch::full_like(excess, INFINITY), excess);
    const auto at = excess.argmax().item<std::int64_t>();
    std::ostringstream text;
    text << "worst at flat index " << at << ": " << a[at].item<double>() << " instead of " << b[at].item<double>();
    worst_ = text.str();
    return excess[at].item<double>() <= 0;
  }

  std::string describe() const override { return "is close to the expected tensor; " + worst_; }

 private:
  Tensor expected_;
  Tolerance tolerance_;
  mutable std::string worst_;
};

}  // namespace sslmeme::test
