#include "core/memory_pool.hpp"

#include <sys/mman.h>

#include <cstdlib>
#include <new>
#include <utility>

namespace sslmeme::detail {
namespace {
constexpr std::size_t most_free_blocks = 2;
constexpr std::size_t huge_page = std::size_t{1} << 21U, cache_line = 64;
}  // namespace

MemoryPool::~MemoryPool() {
  for (const auto& block : free_) std::free(block.data);
}

MemoryPool::Block MemoryPool::allocate(std::size_t bytes) {
  const bool large = bytes >= 2 * huge_page;
  const auto alignment = large ? huge_page : cache_line;
  const auto rounded = (bytes + alignment - 1) / alignment * alignment;
  auto* const data = std::aligned_alloc(alignment, rounded);
  if (data == nullptr) throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
  if (large) ::madvise(data, rounded, MADV_HUGEPAGE);  // advice: where it is not taken, nothing is lost
#endif
  return {data, rounded};
}

MemoryPool::Block MemoryPool::take(std::size_t bytes) {
  std::vector<Block> too_small_or_large;
  {
    const std::scoped_lock lock{mutex_};
    for (auto& block : free_) {
      if (block.bytes < bytes || block.bytes > 2 * bytes + huge_page) continue;
      const auto found = block;
      block = free_.back();
      free_.pop_back();
      return found;
    }
    too_small_or_large.swap(free_);
  }
  for (const auto& block : too_small_or_large) std::free(block.data);
  return allocate(bytes);
}

void MemoryPool::give_back(Block block) {
  {
    const std::scoped_lock lock{mutex_};
    if (free_.size() < most_free_blocks) {
      free_.push_back(block);
      return;
    }
  }
  std::free(block.data);
}

Tensor MemoryPool::empty(torch::IntArrayRef shape, torch::ScalarType type) {
  std::size_t bytes = c10::elementSize(type);
  for (const auto n : shape) bytes *= static_cast<std::size_t>(n);
  const auto block = take(bytes);
  return torch::from_blob(
      block.data, shape, [pool = shared_from_this(), block](void* /*data*/) { pool->give_back(block); }, type);
}

}  // namespace sslmeme::detail
