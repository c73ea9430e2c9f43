// AnyPairLoss: any PairLoss behind one type, with its name, its options, its state and its update.
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
      if constexpr (detail::has_name<L>) name_ = loss.name();
      if constexpr (detail::has_describe<L>) options_ = loss.describe();
      if constexpr (detail::has_module<L>) module_ = loss.module();
      const auto shared = std::make_shared<L>(std::move(loss));
      if constexpr (detail::has_update_with_observed<L>) {
        update_ = [shared](const StepContext& context, const NamedTensors& observed) {
          shared->update(context, observed);
        };
      } else if constexpr (detail::has_update<L>) {
        update_ = [shared](const StepContext& context, const NamedTensors& /*observed*/) { shared->update(context); };
      }
      call_ = [shared, name = name_](const Tensor& z_a, const Tensor& z_b, [[maybe_unused]] const PairInfo& info) {
        const L& constant = *shared;
        if constexpr (detail::has_info_call<L>) {
          return as_output(name, constant(z_a, z_b, info));
        } else {
          return as_output(name, constant(z_a, z_b));
        }
      };
      if constexpr (detail::has_local<L>) {
        local_ = [shared, name = name_](const LocalPairs& pairs) {
          return as_output(name, std::as_const(*shared).local(pairs));
        };
      }
    }
  }

  LossOutput operator()(const Tensor& z_a, const Tensor& z_b, const PairInfo& info = {}) const {
    return call_(z_a, z_b, info);
  }
  /// One rank's share, averaged over ranks the loss of all pairs: by the loss itself if it has a `local`, else it is
  /// that of all pairs.
  LossOutput local(const LocalPairs& pairs) const {
    return local_ ? local_(pairs) : call_(pairs.all_a, pairs.all_b, pairs.info);
  }
  /// observed: that of the LossOutput of the step.
  void update(const StepContext& context, const NamedTensors& observed = {}) {
    if (update_) update_(context, observed);
  }
  /// Null for a loss without state.
  std::shared_ptr<torch::nn::Module> module() const { return module_; }
  const std::string& name() const { return name_; }
  /// Its options; empty for a loss that does not tell them.
  const std::string& describe() const { return options_; }

 private:
  static LossOutput as_output(const std::string& name, const Tensor& value) {
    return {value, {{name, value.detach()}}, {}};
  }
  static LossOutput as_output(const std::string& /*name*/, LossOutput output) { return output; }

  std::string name_ = "loss", options_;
  std::shared_ptr<torch::nn::Module> module_;
  std::function<void(const StepContext&, const NamedTensors&)> update_;
  std::function<LossOutput(const Tensor&, const Tensor&, const PairInfo&)> call_;
  std::function<LossOutput(const LocalPairs&)> local_;
};

}  // namespace sslmeme
