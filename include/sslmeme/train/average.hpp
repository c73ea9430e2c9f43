// An exponential moving average of the weights, which often judges better than the weights themselves.
#pragma once

#include <sslmeme/nn/safetensors.hpp>

#include <torch/nn/module.h>

#include <cstdint>
#include <functional>
#include <vector>

namespace sslmeme {

/// average ← decay·average + (1−decay)·weight after every step (Polyak & Juditsky 1992), buffers included.
struct WeightAverage {
  double decay = 0.999;  ///< in [0, 1)
  bool warmup = true;    ///< no more than (1+step)/(10+step), as in TensorFlow's ExponentialMovingAverage

  /// The decay after the `step`-th step, from 0.
  double decay_at(std::int64_t step) const;
};

/// The average of a module's state. Counters, such as batch norm's, are copied.
class AveragedWeights {
 public:
  /// Begins with the present weights. Throws InvalidArgument for a decay out of range.
  AveragedWeights(const torch::nn::Module& module, const WeightAverage& options);

  /// After the `step`-th optimizer step, from 0.
  void update(std::int64_t step);
  /// By the names of the module's state. What has several names there, as the weights of a module that occurs twice,
  /// has them here too: one average, shared.
  const NamedTensors& state() const { return average_; }
  void load_state(const NamedTensors& tensors);
  /// Exchanges the module's weights for the average while `body` runs.
  void during(const std::function<void()>& body);

 private:
  /// A tensor of the module and its average; each tensor once, whatever its names.
  struct Averaged {
    Tensor weight, average;
  };
  void exchange();

  WeightAverage options_;
  NamedTensors average_;
  std::vector<Averaged> pairs_;
};

}  // namespace sslmeme
