// What every evaluation of a module over a loader needs.
#pragma once

#include <sslmeme/core/error.hpp>
#include <sslmeme/data/loader.hpp>

#include <fmt/format.h>
#include <torch/nn/module.h>

namespace sslmeme::detail {

/// While alive the module is in evaluation mode and no gradients are made; then it is in its former mode again, also
/// after an exception.
class EvaluationScope {
 public:
  explicit EvaluationScope(torch::nn::Module& module) : module_{module}, was_training_{module.is_training()} {
    module_.eval();
  }
  ~EvaluationScope() { module_.train(was_training_); }
  EvaluationScope(const EvaluationScope&) = delete;
  EvaluationScope& operator=(const EvaluationScope&) = delete;

  /// Where the module's parameters are; the CPU where it has none.
  torch::Device device() const {
    const auto parameters = module_.parameters();
    return parameters.empty() ? torch::Device{torch::kCPU} : parameters.front().device();
  }

 private:
  torch::NoGradGuard no_grad_;
  torch::nn::Module& module_;
  bool was_training_;
};

/// Throws InvalidArgument for a loader that would leave samples out or put others in their place; `what` is what it is
/// for.
inline void require_whole(const DataLoader& loader, const char* what) {
  if (loader.options().drop_last)
    throw InvalidArgument(fmt::format("a loader to {} must leave out nothing: make it with .drop_last = false", what));
  if (loader.options().unreadable.policy != UnreadablePolicy::fail) {
    throw InvalidArgument(
        fmt::format("a loader to {} must neither leave out unreadable samples nor put others in their place: make it "
                    "with UnreadablePolicy::fail",
                    what));
  }
}

}  // namespace sslmeme::detail
