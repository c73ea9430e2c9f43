// AnyPairLoss: any PairLoss behind one type, with its name, its state and its update.
#pragma once

#include <sslmeme/loss/concepts.hpp>

#include <torch/nn/module.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>

namespace sslmeme {

/// Holds a copy of a PairLoss. Its result is always a LossOutput: a loss that returns a bare tensor has itself as only
/// part.
class AnyPairLoss {
 public:
  template <class L>
    requires(!std::same_as<std::remove_cvref_t<L>, AnyPairLoss>)
  AnyPairLoss(L loss) {  // NOLINT(google-explicit-constructor): every loss is an AnyPairLoss
    detail::require_pair_loss<L>();
    if constexpr (PairLoss<L>) {
      if constexpr (requires { loss.name(); }) name_ = loss.name();
      if constexpr (requires { loss.module(); }) module_ = loss.module();
      const auto shared = std::make_shared<L>(std::move(loss));
      if constexpr (requires(StepContext c) { shared->update(c); }) {
        update_ = [shared](const StepContext& context) { shared->update(context); };
      }
      call_ = [shared, name = name_](const Tensor& z_a, const Tensor& z_b, [[maybe_unused]] const PairInfo& info) {
        const L& constant = *shared;
        const auto call = [&] {
          if constexpr (requires { constant(z_a, z_b, info); }) {
            return constant(z_a, z_b, info);
          } else {
            return constant(z_a, z_b);
          }
        };
        if constexpr (std::same_as<std::remove_cvref_t<decltype(call())>, LossOutput>) {
          return call();
        } else {
          const auto value = call();
          return LossOutput{value, {{name, value.detach()}}, {}};
        }
      };
    }
  }

  LossOutput operator()(const Tensor& z_a, const Tensor& z_b, const PairInfo& info = {}) const {
    return call_(z_a, z_b, info);
  }
  void update(const StepContext& context) {
    if (update_) update_(context);
  }
  /// Null for a loss without state.
  std::shared_ptr<torch::nn::Module> module() const { return module_; }
  const std::string& name() const { return name_; }

 private:
  std::string name_ = "loss";
  std::shared_ptr<torch::nn::Module> module_;
  std::function<void(const StepContext&)> update_;
  std::function<LossOutput(const Tensor&, const Tensor&, const PairInfo&)> call_;
};

}  // namespace sslmeme
