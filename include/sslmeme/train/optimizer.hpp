// AdamW through LibTorch's fused kernel, with state that goes into checkpoints.
#pragma once

#include <sslmeme/nn/safetensors.hpp>

#include <torch/nn/module.h>

#include <cstdint>
#include <string>
#include <vector>

namespace sslmeme {

/// AdamW (Loshchilov & Hutter 2017, arXiv:1711.05101). With weight_decay = 0 this is Adam.
struct AdamW {
  double lr = 1e-3;      ///< peak learning rate
  double beta1 = 0.9;    ///< in [0, 1)
  double beta2 = 0.999;  ///< in [0, 1)
  double eps = 1e-8;
  double weight_decay = 0.01;  ///< decoupled; never on biases, norms and other 0-d and 1-d parameters
};

/// The optimizer of a module's parameters. Parameters that got no gradient in a step are left alone.
class FusedAdamW {
 public:
  /// Throws InvalidArgument for options out of range or a module without parameters that need gradients.
  FusedAdamW(const torch::nn::Module& module, const AdamW& options);

  void zero_grad();
  /// The L2 norm over all gradients together, in fp32.
  double gradient_norm() const;
  /// Scales all gradients by `factor`.
  void scale_gradients(double factor);
  /// One update with learning rate `lr`.
  void step(double lr);

  /// Moments and step counts by parameter name; load_state() throws InvalidArgument when the names or shapes differ.
  NamedTensors state() const;
  void load_state(const NamedTensors& tensors);

 private:
  struct Slot {
    std::string name;
    Tensor parameter, first_moment, second_moment, steps;
    bool decay;
  };
  std::vector<Tensor> gradients() const;

  AdamW options_;
  std::vector<Slot> slots_;
};

}  // namespace sslmeme
