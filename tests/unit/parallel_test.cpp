#include "core/parallel.hpp"

#include "core/memory_pool.hpp"

#include <ATen/Parallel.h>
#include <catch2/catch_test_macros.hpp>

#include <atomic>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

namespace core = sslmeme::detail;

TEST_CASE("parallel_for goes over everything once, on more than one thread where there are more") {
  for (const std::int64_t n : {0, 1, 7, 64, 1001}) {
    for (const std::int64_t grain : {1, 16, 5000}) {
      std::vector<std::atomic<int>> visits(static_cast<std::size_t>(n));
      std::mutex mutex;
      std::set<std::thread::id> threads;
      core::parallel_for(n, grain, [&](std::int64_t begin, std::int64_t end) {
        for (auto i = begin; i < end; ++i) ++visits[static_cast<std::size_t>(i)];
        const std::scoped_lock lock{mutex};
        threads.insert(std::this_thread::get_id());
      });
      for (const auto& visit : visits) CHECK(visit == 1);
      if (n > 2 * grain && at::get_num_threads() > 1) CHECK(threads.size() > 1);
    }
  }
}

TEST_CASE("A pool gives the memory of a tensor that is gone to the next of its size") {
  const auto pool = std::make_shared<core::MemoryPool>();
  const auto address = [](const sslmeme::Tensor& t) { return t.const_data_ptr(); };
  auto first = pool->empty({3, 5});
  const auto* const memory = address(first);
  CHECK(first.sizes() == torch::IntArrayRef{3, 5});
  const auto second = pool->empty({3, 5});
  CHECK(address(second) != memory);
  first = sslmeme::Tensor{};
  CHECK(address(pool->empty({5, 3})) == memory);
  CHECK(pool->empty({4096, 4096}).fill_(1).sum().item<double>() == 4096.0 * 4096.0);
}

TEST_CASE("A tensor outlives its pool") {
  auto pool = std::make_shared<core::MemoryPool>();
  auto tensor = pool->empty({2000, 2000});
  pool.reset();
  CHECK(tensor.fill_(2).mean().item<double>() == 2);
}
