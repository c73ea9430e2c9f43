// MemoryPool: large CPU tensors of the same size, made step after step, in the same memory. The system otherwise takes
// the pages back and zeroes new ones, which costs more than to fill them.
#pragma once

#include <sslmeme/core/tensor.hpp>

#include <cstddef>
#include <memory>
#include <mutex>
#include <vector>

namespace sslmeme::detail {

class MemoryPool : public std::enable_shared_from_this<MemoryPool> {
 public:
  MemoryPool() = default;
  MemoryPool(const MemoryPool&) = delete;
  MemoryPool& operator=(const MemoryPool&) = delete;
  ~MemoryPool();

  /// Uninitialised, fp32 or bf16, in memory that comes back here when the tensor is gone; what tensors held at once is
  /// kept, two blocks at most. From any thread.
  Tensor empty(torch::IntArrayRef shape, torch::ScalarType type = torch::kFloat);

 private:
  struct Block {
    void* data;
    std::size_t bytes;
  };
  static Block allocate(std::size_t bytes);
  Block take(std::size_t bytes);
  void give_back(Block block);

  std::mutex mutex_;
  std::vector<Block> free_;
};

}  // namespace sslmeme::detail
