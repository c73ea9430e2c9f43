#include "parallel.hpp"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace sslmeme {

void parallel_for(int count, int threads, const std::function<void(int)>& work,
                  const std::function<void(int, int)>& progress) {
  if (threads == 0) threads = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  std::atomic<int> next{0}, done{0};
  std::mutex mutex;
  std::exception_ptr failure;
  const auto run = [&](bool reports) {
    try {
      for (int i = next++; i < count; i = next++) {
        work(i);
        const int finished = ++done;
        if (reports && progress && finished < count) progress(finished, count);
      }
    } catch (...) {
      next = count;
      const std::lock_guard lock{mutex};
      if (!failure) failure = std::current_exception();
    }
  };
  {
    std::vector<std::jthread> helpers;
    for (int i = 1; i < std::min(threads, count); ++i) helpers.emplace_back(run, false);
    run(true);
  }
  if (failure) std::rethrow_exception(failure);
  if (progress) progress(count, count);
}

}  // namespace sslmeme
