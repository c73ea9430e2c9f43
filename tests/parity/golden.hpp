// Golden: the tensors that a script of scripts/golden took from a reference.
#pragma once

#include <sslmeme/nn/safetensors.hpp>
#include <sslmeme/nn/weights.hpp>

#include <catch2/catch_test_macros.hpp>

#include <map>
#include <stdexcept>
#include <string>

#include "close_to.hpp"

namespace sslmeme::test {

class Golden {
 public:
  explicit Golden(const std::string& name)
      : file_{read_safetensors(SSLMEME_TEST_DATA "/parity/" + name + ".safetensors").tensors} {}

  Tensor operator[](const std::string& name) const {
    for (const auto& [key, tensor] : file_) {
      if (key == name) return tensor;
    }
    throw std::out_of_range("no golden tensor is called " + name);
  }
  /// Tensors whose name begins with `prefix`, which is cut off.
  std::map<std::string, Tensor> all(const std::string& prefix) const {
    std::map<std::string, Tensor> found;
    for (const auto& [key, tensor] : file_) {
      if (key.starts_with(prefix)) found.emplace(key.substr(prefix.size()), tensor);
    }
    return found;
  }
  /// Strict: every name of the reference's state must be one of ours, and the other way round. Without those that begin
  /// with `without`, which the module does not have: the classifier of features, a later layer.
  void load_into(torch::nn::Module& module, const std::string& without = "") const {
    NamedTensors weights;
    for (const auto& [name, tensor] : all("weights/")) {
      if (without.empty() || !name.starts_with(without)) weights.emplace_back(name, tensor);
    }
    load_state(module, weights);
  }

 private:
  NamedTensors file_;
};

/// The gradients of Σ features ⊙ probe with respect to the module's parameters, of which the golden has `count`.
inline void check_gradients(const Golden& golden, torch::nn::Module& module, const Tensor& features,
                            const std::string& prefix = "", std::size_t count = 2) {
  module.zero_grad();
  (features * golden[prefix + "probe"]).sum().backward();
  const auto expected = golden.all(prefix + "gradient/");
  REQUIRE(expected.size() == count);
  const auto parameters = module.named_parameters();
  for (const auto& [name, gradient] : expected) {
    INFO(name);
    CHECK_THAT(parameters[name].grad(), AllCloseTo(gradient, fp32_gradient));
  }
}

}  // namespace sslmeme::test
