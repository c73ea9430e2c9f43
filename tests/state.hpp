// The state of modules in tests: compared, copied, found by name.
#pragma once

#include <sslmeme/nn/weights.hpp>

#include <algorithm>
#include <map>
#include <string>

namespace sslmeme::test {

/// Equal names in equal order, with equal values.
inline bool same_state(const NamedTensors& a, const NamedTensors& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
    return x.first == y.first && torch::equal(x.second, y.second);
  });
}
inline bool same_state(const torch::nn::Module& a, const torch::nn::Module& b) {
  return same_state(state_of(a), state_of(b));
}

/// The state as it is now, in memory of its own.
inline NamedTensors copy_of_state(const torch::nn::Module& module) {
  NamedTensors copies;
  for (const auto& [name, tensor] : state_of(module)) copies.emplace_back(name, tensor.detach().clone());
  return copies;
}

inline std::map<std::string, Tensor> by_name(const NamedTensors& tensors) {
  return {tensors.begin(), tensors.end()};
}
inline std::map<std::string, Tensor> by_name(const torch::nn::Module& module) {
  return by_name(state_of(module));
}

/// The gradient of the sum of squares of `features` by each parameter of `module` that it comes from.
inline std::map<std::string, Tensor> gradients_of(torch::nn::Module& module, const Tensor& features) {
  module.zero_grad();
  features.square().sum().backward();
  std::map<std::string, Tensor> found;
  for (const auto& parameter : module.named_parameters()) {
    if (parameter->grad().defined()) found.emplace(parameter.key(), parameter->grad().clone());
  }
  return found;
}

}  // namespace sslmeme::test
