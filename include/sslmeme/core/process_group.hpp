// ProcessGroup: what the processes of one training run, its ranks, say to each other.
#pragma once

#include <sslmeme/core/tensor.hpp>

#include <cstdint>

namespace sslmeme {

/// Collective operations: every rank calls the same ones in the same order with tensors of the same shape and type, and
/// waits for the others. None of them carries gradients (loss/gather.hpp has one that does). They throw Error when a
/// rank is lost or brings another shape. connect_ranks() (train/distributed.hpp) makes one over Gloo.
class ProcessGroup {
 public:
  virtual ~ProcessGroup() = default;

  /// 0 … size() − 1.
  virtual std::int64_t rank() const = 0;
  virtual std::int64_t size() const = 0;
  /// x: (N, …) of each rank. Returns (size()·N, …), in the order of ranks.
  virtual Tensor all_gather(const Tensor& x) const = 0;
  /// The sum over ranks of x, any shape.
  virtual Tensor all_reduce_sum(const Tensor& x) const = 0;
  /// x: (size()·N, …). Returns this rank's (N, …) of the sum over ranks.
  virtual Tensor reduce_scatter_sum(const Tensor& x) const = 0;

 protected:
  ProcessGroup() = default;
  ProcessGroup(const ProcessGroup&) = default;
  ProcessGroup& operator=(const ProcessGroup&) = default;
};

}  // namespace sslmeme
