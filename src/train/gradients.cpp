#include "train/gradients.hpp"

#include "loss/rows.hpp"
#include "nn/buffer_snapshot.hpp"

#include <torch/autograd.h>

#include <utility>
#include <vector>

namespace sslmeme::detail {
namespace {

StepContext of_part(StepContext context, std::size_t part) {
  context.part = static_cast<std::int64_t>(part);
  return context;
}

LossOutput of_large_batch(torch::nn::Module& module, std::span<const Batch> parts, const StepContext& context,
                          const MethodCalls& method, const GradientScope& scope) {
  BufferSnapshot buffers{module};  // so that the second pass moves them as the only one would
  std::vector<NamedTensors> represented(parts.size());
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const torch::NoGradGuard no_grad;
    scope.around(static_cast<std::int64_t>(i),
                 [&] { represented[i] = method.represent(parts[i], of_part(context, i)); });
  }
  const auto all = rows_of_all(represented);
  for (const auto& [name, rows] : all) {
    if (rows.is_floating_point()) rows.requires_grad_();
  }
  LossOutput output;  // the random numbers of a loss are those of a part of its own, after the last
  scope.around(std::ssize(parts), [&] { output = method.compare(all, context); });
  scope.check(output);
  (scope.scale == 1 ? output.total : output.total * scope.scale).backward();
  output.total = output.total.detach();
  buffers.restore();
  std::int64_t begin = 0;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    NamedTensors again;
    scope.around(static_cast<std::int64_t>(i), [&] { again = method.represent(parts[i], of_part(context, i)); });
    const auto n = again.front().second.size(0);
    std::vector<Tensor> tensors, gradients;
    for (const auto& [name, tensor] : again) {
      const auto gradient = find_tensor(all, name).grad();
      if (!tensor.requires_grad() || !gradient.defined()) continue;
      tensors.push_back(tensor);
      gradients.push_back(gradient.narrow(0, begin, n));
    }
    if (!tensors.empty()) torch::autograd::backward(tensors, gradients);
    begin += n;
  }
  return output;
}

void add_scaled(NamedTensors& sums, const NamedTensors& values, double factor) {
  for (const auto& [name, value] : values) {
    bool found = false;
    for (auto& [known, sum] : sums) {
      if (known != name) continue;
      sum = sum + value * factor;
      found = true;
    }
    if (!found) sums.emplace_back(name, value * factor);
  }
}

LossOutput mean_over_parts(std::span<const Batch> parts, const StepContext& context, const MethodCalls& method,
                           const GradientScope& scope) {
  std::int64_t samples = 0;
  for (const auto& part : parts) samples += part.size();
  LossOutput mean;
  std::vector<NamedTensors> observed;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const auto share = static_cast<double>(parts[i].size()) / static_cast<double>(samples);
    LossOutput output;
    scope.around(static_cast<std::int64_t>(i), [&] { output = method.step(parts[i], of_part(context, i)); });
    scope.check(output);
    (output.total * (share * scope.scale)).backward();
    const auto total = output.total.detach() * share;
    mean.total = mean.total.defined() ? mean.total + total : total;
    add_scaled(mean.parts, output.parts, share);
    observed.push_back(output.observed);
    if (i == 0) mean.features = output.features;
  }
  mean.observed = rows_of_all(observed);
  return mean;
}

}  // namespace

LossOutput add_gradient(torch::nn::Module& module, std::span<const Batch> parts, const StepContext& context,
                        const MethodCalls& method, const GradientScope& scope) {
  if (parts.size() > 1)
    return method.represent ? of_large_batch(module, parts, context, method, scope)
                            : mean_over_parts(parts, context, method, scope);
  LossOutput output;
  scope.around(0, [&] { output = method.step(parts.front(), context); });
  scope.check(output);
  (scope.scale == 1 ? output.total : output.total * scope.scale).backward();
  return output;
}

}  // namespace sslmeme::detail
