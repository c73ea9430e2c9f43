// AdamW through LibTorch's fused kernel, with state that goes into checkpoints.
#pragma once

#include <sslmeme/nn/safetensors.hpp>

#include <torch/nn/module.h>

#include <cstdint>
#include <optional>
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
  std::optional<double> final_weight_decay = {};  ///< reached at the end, along half a cosine (DINO: 0.04 to 0.4)

  /// The decay of the `step`-th optimizer step (from 0) of `total_steps`.
  double decay_at(std::int64_t step, std::int64_t total_steps) const;
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
  /// Scales each parameter's gradient that is longer than max_norm down to it by itself, as DINO's code does.
  void clip_each_gradient(double max_norm);
  /// One update with learning rate `lr` and weight decay `decay`.
  void step(double lr, double decay);
  void step(double lr) { step(lr, options_.weight_decay); }

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
