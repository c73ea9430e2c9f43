#include <sslmeme/testing/loss_contract.hpp>

#include <sslmeme/core/error.hpp>
#include <sslmeme/core/random.hpp>

#include <fmt/format.h>
#include <torch/autograd.h>

#include <algorithm>
#include <cmath>
#include <ostream>
#include <utility>

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
  /// all_learn: gradient must flow to every argument that learns, not to one of them alone.
  Checker(LossCall loss, std::vector<LossArgument> arguments, std::shared_ptr<torch::nn::Module> module,
          std::uint64_t seed, bool all_learn)
      : loss_{std::move(loss)},
        arguments_{std::move(arguments)},
        module_{std::move(module)},
        seed_{seed},
        all_learn_{all_learn} {
    for (const auto& argument : arguments_) {
      auto x = argument.value.detach();
      inputs_.push_back(x.is_floating_point() ? x.to(torch::kDouble) : x);
    }
  }

  /// `more` are laws of its own, tried once the common ones could be.
  template <class F>
  ContractReport run(F more) {
    try {
      if (!shape_and_value()) return report_;
      gradients();
      parameter_gradients();
      scale_invariance();
      more(*this);
      half_precision();
    } catch (const std::exception& error) {
      fail(fmt::format("it throws on {}: {}", shapes(), error.what()));
    }
    return report_;
  }

  /// The value must not change when the batch comes in another order.
  void batch_order() {
    const TorchSeedScope seeded{seed_ + 3};
    const auto order = torch::randperm(inputs_[0].size(arguments_[0].batch));
    auto inputs = inputs_;
    for (std::size_t i = 0; i < inputs.size(); ++i) inputs[i] = inputs[i].index_select(arguments_[i].batch, order);
    hold("blind to the order of the batch", inputs);
  }
  void symmetry() { hold("symmetric", {inputs_[1], inputs_[0]}); }

 private:
  LossOutput call(const std::vector<Tensor>& inputs) const { return loss_(inputs); }
  double value(const std::vector<Tensor>& inputs) const { return call(inputs).total.item<double>(); }
  std::vector<Tensor> with(std::size_t i, const Tensor& x) const {
    auto inputs = inputs_;
    inputs[i] = x;
    return inputs;
  }
  std::string shapes() const {
    std::string text;
    for (std::size_t i = 0; i < inputs_.size(); ++i)
      text += fmt::format("{}{} {}", i == 0 ? "" : ", ", arguments_[i].name, shape_string(inputs_[i]));
    return text;
  }
  /// Copies of the parameters and buffers of the loss.
  std::vector<Tensor> state() const {
    std::vector<Tensor> copies;
    if (module_) {
      for (const auto& parameter : module_->parameters()) copies.push_back(parameter.detach().clone());
      for (const auto& buffer : module_->buffers()) copies.push_back(buffer.clone());
    }
    return copies;
  }
  static bool equal(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
    for (std::size_t i = 0; i < a.size(); ++i) {
      if (!torch::equal(a[i], b[i])) return false;
    }
    return true;
  }
  void fail(std::string what) { report_.failures.push_back(std::move(what)); }
  void hold(const char* law, const std::vector<Tensor>& inputs) {
    const auto other = value(inputs);
    if (!near(other, value_, law_tolerance)) fail(fmt::format("it is not {}: {} instead of {}", law, other, value_));
  }

  bool shape_and_value() {
    std::vector<Tensor> inputs;
    for (const auto& x : inputs_) inputs.push_back(x.clone());
    const auto before = state();
    const auto total = call(inputs).total;
    if (!equal(before, state()))
      fail("it changes its state: running state moves in update(), a call must have no side effect");
    if (!equal(inputs, inputs_)) fail("it changes the vectors it is given: a call must have no side effect");
    if (!total.defined() || total.dim() != 0) {
      fail(fmt::format("it returns {}; it must be 0-d: take the mean over the batch", shape_string(total)));
      return false;
    }
    value_ = total.item<double>();
    if (!std::isfinite(value_)) fail(fmt::format("its value is {} on random vectors", value_));
    if (!near(value(inputs_), value_, 0)) fail("a second call gives another value: a call must have no side effect");
    return report_.failures.empty();
  }

  /// Central differences along random directions, for each argument by itself.
  void gradients() {
    const TorchSeedScope seeded{seed_ + 1};
    constexpr double h = 1e-5;
    std::vector<bool> reached(inputs_.size());
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      if (!inputs_[i].is_floating_point()) continue;
      const auto x = inputs_[i].clone().requires_grad_();
      const auto total = call(with(i, x)).total;
      if (!total.requires_grad()) continue;
      const auto gradient = torch::autograd::grad({total}, {x}, {}, std::nullopt, false, true)[0];
      if (!gradient.defined()) continue;
      const auto& name = arguments_[i].name;
      if (!arguments_[i].learns && gradient.abs().max().item<double>() > 0)
        fail(fmt::format("gradient flows to {}, which is claimed to be a target: detach it", name));
      reached[i] = true;
      for (int trial = 0; trial < 4; ++trial) {
        const torch::NoGradGuard no_grad;
        const auto direction = torch::randn_like(x);
        const auto at = [&](double t) { return value(with(i, x + t * direction)); };
        const auto expected = (at(h) - at(-h)) / (2 * h);
        const auto actual = (gradient * direction).sum().item<double>();
        // Of the gradient's own size, and what rounding makes of the differences.
        const auto allowed = gradient_tolerance * gradient.norm().item<double>() + 1e-15 / h * std::abs(value_);
        if (!(std::abs(actual - expected) <= allowed)) {
          fail(fmt::format("its gradient along a direction of {} is {}, differences give {}", name, actual, expected));
          break;
        }
      }
    }
    lost_gradients(reached);
  }

  /// reached: to which arguments gradient flows.
  void lost_gradients(const std::vector<bool>& reached) {
    std::string lost, of_all;
    bool flows = false;
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      const auto& argument = arguments_[i];
      if (!inputs_[i].is_floating_point() || !argument.learns) continue;
      flows = flows || reached[i];
      of_all += (of_all.empty() ? "" : " or ") + argument.name;
      if (!reached[i]) lost += (lost.empty() ? "" : " or ") + argument.name;
    }
    if (!flows) {
      fail("no gradient flows to " + of_all);
    } else if (all_learn_ && !lost.empty()) {
      fail(fmt::format("no gradient flows to {}, as if it were detached: claim so if it shall not learn", lost));
    }
  }

  /// The same for what the loss learns. Parameters are mostly fp32: large steps, and a tolerance to match.
  void parameter_gradients() {
    if (!module_) return;
    const TorchSeedScope seeded{seed_ + 2};
    constexpr double h = 1e-2, tolerance = 1e-3;
    for (const auto& item : module_->named_parameters()) {
      auto parameter = item.value();
      if (!parameter.requires_grad()) continue;
      const auto gradient = torch::autograd::grad({call(inputs_).total}, {parameter}, {}, std::nullopt, false, true)[0];
      if (!gradient.defined()) continue;
      const torch::NoGradGuard no_grad;
      const auto direction = torch::randn_like(parameter) / std::sqrt(static_cast<double>(parameter.numel()));
      const Restored restored{parameter};
      const auto at = [&](double t) {
        parameter.copy_(restored.before() + t * direction);
        return value(inputs_);
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

  void scale_invariance() {
    auto inputs = inputs_;
    bool claimed = false;
    double factor = 3;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      if (!arguments_[i].scale_invariant) continue;
      inputs[i] = factor * inputs[i];
      factor = 0.5;
      claimed = true;
    }
    if (claimed) hold("scale invariant", inputs);
  }

  void half_precision() {
    std::vector<Tensor> halves;
    for (const auto& x : inputs_) halves.push_back(x.is_floating_point() ? x.to(torch::kBFloat16) : x);
    const auto from_bf16 = value(halves);
    if (!near(from_bf16, value_, 0.05))
      fail(fmt::format("from bf16 vectors it gives {} instead of {}: compute in fp32", from_bf16, value_));
  }

  LossCall loss_;
  std::vector<LossArgument> arguments_;
  std::shared_ptr<torch::nn::Module> module_;
  std::uint64_t seed_;
  bool all_learn_;
  std::vector<Tensor> inputs_;
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
  Tensor a, b;
  {
    const TorchSeedScope seeded{claims.seed};
    a = torch::randn({claims.n, claims.d}, torch::kDouble);
    b = torch::randn({claims.n, claims.d}, torch::kDouble);
  }
  const auto call = [&loss](std::span<const Tensor> z) { return loss(z[0], z[1]); };
  Checker checker{call,
                  {{.name = "z_a", .value = a, .scale_invariant = claims.scale_invariant},
                   {.name = "z_b", .value = b, .learns = !claims.target_b, .scale_invariant = claims.scale_invariant}},
                  loss.module(),
                  claims.seed,
                  claims.both_learn};
  return checker.run([&](Checker& laws) {
    if (claims.batch_independent) laws.batch_order();
    if (claims.symmetric) laws.symmetry();
  });
}

ContractReport check(const LossCall& loss, const std::vector<LossArgument>& arguments,
                     const std::shared_ptr<torch::nn::Module>& module, std::uint64_t seed) {
  const auto learns = [](const LossArgument& x) { return x.learns && x.value.is_floating_point(); };
  if (std::none_of(arguments.begin(), arguments.end(), learns))
    throw InvalidArgument("check_loss: none of the arguments is floating and learns");
  return Checker{loss, arguments, module, seed, /*all_learn=*/true}.run([](Checker& laws) { laws.batch_order(); });
}
}  // namespace detail

}  // namespace sslmeme::testing
