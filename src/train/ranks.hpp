// What the processes of one training run agree on. Without a group there is one, and nothing is sent.
#pragma once

#include <sslmeme/core/process_group.hpp>
#include <sslmeme/nn/safetensors.hpp>

#include <torch/nn/module.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace sslmeme::detail {

/// But for rank() and size(), members are collective operations: every rank calls the same ones in the same order.
class Ranks {
 public:
  explicit Ranks(std::shared_ptr<const ProcessGroup> group) : group_{std::move(group)} {}

  std::int64_t rank() const { return group_ ? group_->rank() : 0; }
  std::int64_t size() const { return group_ ? group_->size() : 1; }

  /// The value of each rank, in their order.
  std::vector<double> all(double value) const;
  /// The means over ranks, one for each of the values.
  std::vector<double> means(std::vector<double> values) const;
  /// Every gradient becomes its mean over ranks, in which those who have none count as zero. A parameter of which no
  /// rank has a gradient keeps none.
  void average_gradients(const torch::nn::Module& module) const;
  /// Gives the tensors, the same names, shapes and types on every rank, the values that the first rank has.
  void take_first(const NamedTensors& tensors) const;
  /// The text that the first rank has.
  std::string first(const std::string& text) const;

 private:
  Tensor first(const Tensor& tensor) const;

  std::shared_ptr<const ProcessGroup> group_;
};

}  // namespace sslmeme::detail
