// A module's buffers as they were: running statistics move in every forward pass, wanted or not.
#pragma once

#include <sslmeme/core/tensor.hpp>

#include <torch/nn/module.h>

#include <vector>

namespace sslmeme::detail {

class BufferSnapshot {
 public:
  explicit BufferSnapshot(const torch::nn::Module& module) : buffers_{module.buffers()} {
    for (const auto& buffer : buffers_) copies_.push_back(buffer.clone());
  }
  void restore() {
    const torch::NoGradGuard no_grad;
    for (std::size_t i = 0; i < buffers_.size(); ++i) buffers_[i].copy_(copies_[i]);
  }

 private:
  std::vector<Tensor> buffers_, copies_;
};

}  // namespace sslmeme::detail
