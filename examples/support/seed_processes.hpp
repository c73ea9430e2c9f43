// Runs the same work for several seeds at once, one process each, and shows how far they are.
#pragma once

#include <sslmeme/train/callback.hpp>

#include <atomic>
#include <functional>
#include <string>

namespace examples {

namespace sm = sslmeme;

/// What a seed's process tells the parent, in shared memory.
struct SeedProgress {
  std::atomic<long> steps_done{0}, steps_total{0};
  std::atomic<int> fits_done{0}, fits_total{0};
  char doing[64] = {};   ///< name of the fit under way
  char error[512] = {};  ///< why the process failed

  void begin_fit(const std::string& name);
};

/// Callback that keeps SeedProgress up to date.
struct ProgressReporter {
  SeedProgress* progress;
  void on_step_end(const sm::StepInfo& info) const {
    progress->steps_done = info.step;
    progress->steps_total = info.total_steps;
  }
};

/// Runs body(seed, progress) for seed = 0 … seeds − 1, each in a process of its own, `at_once` of them side by side (0:
/// all): LibTorch on one core each trains two small networks faster than one network on two cores. Shows a bar on a
/// terminal and a line a fit elsewhere. Throws sslmeme::Error with the message of the first seed that failed; the
/// others are ended. Call before this process has started LibTorch's threads.
void run_seed_processes(int seeds, const std::function<void(int, SeedProgress&)>& body, int at_once = 0);

/// Runs `body` in a process of its own and waits for it: for what would start LibTorch's threads, which do not survive
/// the forks of run_seed_processes(). Throws sslmeme::Error with its message if it failed.
void run_apart(const std::function<void()>& body);

}  // namespace examples
