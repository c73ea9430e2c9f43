#include <sslmeme/testing/loss_contract.hpp>

#include <sslmeme/core/random.hpp>

#include <fmt/format.h>
#include <torch/autograd.h>

#include <ostream>

namespace sslmeme::testing {
namespace {

constexpr double law_tolerance = 1e-9;
constexpr double gradient_tolerance = 1e-5;

bool near(double a, double b, double tolerance) {
  return std::abs(a - b) <= tolerance * std::max({1.0, std::abs(a), std::abs(b)});
}

/// Puts a tensor back as it was.
class Restored {
 public:
  explicit Restored(const Tensor& tensor) : tensor_{tensor}, before_{tensor.detach().clone()} {}
  ~Restored() {
    const torch::NoGradGuard no_grad;
    tensor_.copy_(before_);
  }
  Restored(const Restored&) = delete;
  Restored& operator=(const Restored&) = delete;
  const Tensor& before() const { return before_; }

 private:
  Tensor tensor_, before_;
};

class Checker {
 public:
  Checker(const AnyPairLoss& loss, const LossClaims& claims) : loss_{loss}, claims_{claims} {
    const TorchSeedScope seeded{claims.seed};
    a_ = torch::randn({claims.n, claims.d}, torch::kDouble);
    b_ = torch::randn({claims.n, claims.d}, torch::kDouble);
    order_ = torch::randperm(claims.n);
  }

  ContractReport run() {
    try {
      if (!shape_and_value()) return report_;
      gradients();
      parameter_gradients();
      laws();
      half_precision();
    } catch (const std::exception& error) {
      fail(fmt::format("it throws on ({0}, {1}) vectors: {2}", claims_.n, claims_.d, error.what()));
    }
    return report_;
  }

 private:
  double value(const Tensor& a, const Tensor& b) const { return loss_(a, b).total.item<double>(); }
  /// Copies of the parameters and buffers of the loss.
  std::vector<Tensor> state() const {
    std::vector<Tensor> copies;
    if (const auto module = loss_.module()) {
      for (const auto& parameter : module->parameters()) copies.push_back(parameter.detach().clone());
      for (const auto& buffer : module->buffers()) copies.push_back(buffer.clone());
    }
    return copies;
  }
  void fail(std::string what) { report_.failures.push_back(std::move(what)); }

  bool shape_and_value() {
    const auto a = a_.clone(), b = b_.clone();
    const auto before = state();
    const auto total = loss_(a, b).total;
    const auto after = state();
    for (std::size_t i = 0; i < before.size(); ++i) {
      if (!torch::equal(before[i], after[i])) {
        fail("it changes its state: running state moves in update(), a call must have no side effect");
        break;
      }
    }
    if (!torch::equal(a, a_) || !torch::equal(b, b_))
      fail("it changes the vectors it is given: a call must have no side effect");
    if (!total.defined() || total.dim() != 0) {
      fail(fmt::format("it returns {}; it must be 0-d: take the mean over the batch", shape_string(total)));
      return false;
    }
    value_ = total.item<double>();
    if (!std::isfinite(value_)) fail(fmt::format("its value is {} on random vectors", value_));
    if (!near(value(a_, b_), value_, 0)) fail("a second call gives another value: a call must have no side effect");
    return report_.failures.empty();
  }

  /// Central differences along random directions, for each argument by itself.
  void gradients() {
    const TorchSeedScope seeded{claims_.seed + 1};
    constexpr double h = 1e-5;
    bool flows = false;
    for (const bool first : {true, false}) {
      const auto x = (first ? a_ : b_).clone().requires_grad_();
      const auto total = (first ? loss_(x, b_) : loss_(a_, x)).total;
      if (!total.requires_grad()) continue;
      const auto gradient = torch::autograd::grad({total}, {x}, {}, std::nullopt, false, true)[0];
      if (!gradient.defined()) continue;
      if (!first && claims_.target_b && gradient.abs().max().item<double>() > 0)
        fail("gradient flows to z_b, which is claimed to be a target: detach it");
      flows = true;
      for (int trial = 0; trial < 4; ++trial) {
        const torch::NoGradGuard no_grad;
        const auto direction = torch::randn_like(x);
        const auto at = [&](double t) { return first ? value(x + t * direction, b_) : value(a_, x + t * direction); };
        const auto expected = (at(h) - at(-h)) / (2 * h);
        const auto actual = (gradient * direction).sum().item<double>();
        // Of the gradient's own size, and what rounding makes of the differences.
        const auto allowed = gradient_tolerance * gradient.norm().item<double>() + 1e-15 / h * std::abs(value_);
        if (!(std::abs(actual - expected) <= allowed)) {
          fail(fmt::format("its gradient along a direction of z_{} is {}, differences give {}", first ? 'a' : 'b',
                           actual, expected));
          break;
        }
      }
    }
    // A loss may stop the gradient on one side, as a loss with a teacher does; not on both.
    if (!flows) fail("no gradient flows to z_a or z_b");
  }

  /// The same for what the loss learns. Parameters are mostly fp32: large steps, and a tolerance to match.
  void parameter_gradients() {
    const auto module = loss_.module();
    if (!module) return;
    const TorchSeedScope seeded{claims_.seed + 2};
    constexpr double h = 1e-2, tolerance = 1e-3;
    for (const auto& item : module->named_parameters()) {
      auto parameter = item.value();
      if (!parameter.requires_grad()) continue;
      const auto gradient = torch::autograd::grad({loss_(a_, b_).total}, {parameter}, {}, std::nullopt, false, true)[0];
      if (!gradient.defined()) continue;
      const torch::NoGradGuard no_grad;
      const auto direction = torch::randn_like(parameter) / std::sqrt(static_cast<double>(parameter.numel()));
      const Restored restored{parameter};
      const auto at = [&](double t) {
        parameter.copy_(restored.before() + t * direction);
        return value(a_, b_);
      };
      const auto expected = (at(h) - at(-h)) / (2 * h);
      const auto actual = (gradient * direction).sum().item<double>();
      const auto allowed =
          tolerance * std::max(gradient.norm().item<double>(), std::abs(expected)) + 1e-9 * std::abs(value_);
      if (!(std::abs(actual - expected) <= allowed)) {
        fail(fmt::format("its gradient along a direction of its parameter {} is {}, differences give {}", item.key(),
                         actual, expected));
      }
    }
  }

  void laws() {
    const auto hold = [&](const char* law, double other) {
      if (!near(other, value_, law_tolerance)) fail(fmt::format("it is not {}: {} instead of {}", law, other, value_));
    };
    if (claims_.batch_independent)
      hold("blind to the order of the batch", value(a_.index_select(0, order_), b_.index_select(0, order_)));
    if (claims_.symmetric) hold("symmetric", value(b_, a_));
    if (claims_.scale_invariant) hold("scale invariant", value(3.0 * a_, 0.5 * b_));
  }

  void half_precision() {
    const auto from_bf16 = value(a_.to(torch::kBFloat16), b_.to(torch::kBFloat16));
    if (!near(from_bf16, value_, 0.05))
      fail(fmt::format("from bf16 vectors it gives {} instead of {}: compute in fp32", from_bf16, value_));
  }

  const AnyPairLoss& loss_;
  LossClaims claims_;
  Tensor a_, b_, order_;
  double value_ = 0;
  ContractReport report_;
};

}  // namespace

std::ostream& operator<<(std::ostream& out, const ContractReport& report) {
  if (report.failures.empty()) return out << "keeps the contract of a pair loss";
  for (const auto& failure : report.failures) out << "breaks the contract: " << failure << '\n';
  return out;
}

namespace detail {
ContractReport check(const AnyPairLoss& loss, const LossClaims& claims) {
  return Checker{loss, claims}.run();
}
}  // namespace detail

}  // namespace sslmeme::testing
