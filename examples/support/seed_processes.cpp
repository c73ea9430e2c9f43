#include "support/seed_processes.hpp"

#include <sslmeme/core/error.hpp>
#include <sslmeme/train/progress.hpp>

#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstring>
#include <iostream>
#include <map>
#include <memory>
#include <new>
#include <span>
#include <thread>
#include <utility>
#include <vector>

namespace examples {
namespace {

using Clock = std::chrono::steady_clock;

void copy_text(std::span<char> to, std::string_view text) {
  const auto n = std::min(text.size(), to.size() - 1);
  std::memcpy(to.data(), text.data(), n);
  to[n] = '\0';
}

/// An array of SeedProgress that parent and children share.
class SharedProgress {
 public:
  explicit SharedProgress(std::size_t n) : bytes_{n * sizeof(SeedProgress)} {
    void* memory = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw sm::IoError("cannot share memory between the seeds' processes");
    seeds_ = {new (memory) SeedProgress[n], n};
  }
  ~SharedProgress() { ::munmap(seeds_.data(), bytes_); }
  SharedProgress(const SharedProgress&) = delete;
  SharedProgress& operator=(const SharedProgress&) = delete;

  SeedProgress& operator[](std::size_t i) { return seeds_[i]; }
  std::span<SeedProgress> all() { return seeds_; }

 private:
  std::size_t bytes_;
  std::span<SeedProgress> seeds_;
};

double share_done(const SeedProgress& p) {
  const double total = std::max(1, p.fits_total.load());
  const auto steps = static_cast<double>(std::max(1L, p.steps_total.load()));
  return std::min(1.0, (p.fits_done + std::min(1.0, static_cast<double>(p.steps_done) / steps)) / total);
}

/// Draws how far all seeds are: a bar on a terminal, else a line whenever a seed begins another fit.
class Display {
 public:
  explicit Display(std::span<SeedProgress> seeds)
      : seeds_{seeds}, terminal_{::isatty(STDERR_FILENO) == 1}, said_(seeds.size(), -1) {}

  void draw() {
    const double elapsed = std::chrono::duration<double>(Clock::now() - began_).count();
    double share = 0;
    for (const auto& seed : seeds_) share += share_done(seed) / static_cast<double>(seeds_.size());
    if (!terminal_) return say_new_fits(elapsed);
    std::string bar;
    for (int i = 0; i < 24; ++i) bar += i < share * 24 ? "█" : " ";
    auto line = fmt::format("training {:3.0f}%|{}| {:.0f} s, {:.0f} s left", share * 100, bar, elapsed,
                            share > 0.02 ? elapsed / share - elapsed : 0);
    for (std::size_t i = 0; i < seeds_.size(); ++i) line += fmt::format("  [seed {}: {}]", i, seeds_[i].doing);
    std::cerr << '\r' << sm::fit_columns(line, sm::terminal_columns()) << "\033[K" << std::flush;
  }

  void finish() {
    if (terminal_) std::cerr << '\n';
  }

 private:
  void say_new_fits(double elapsed) {
    for (std::size_t i = 0; i < seeds_.size(); ++i) {
      const int fit = seeds_[i].fits_done;
      if (fit == said_[i] || seeds_[i].doing[0] == '\0' || fit >= seeds_[i].fits_total) continue;
      said_[i] = fit;
      std::cerr << fmt::format("{:5.0f} s  seed {}: {} ({} of {})\n", elapsed, i, seeds_[i].doing, fit + 1,
                               seeds_[i].fits_total.load());
    }
  }

  std::span<SeedProgress> seeds_;
  bool terminal_;
  std::vector<int> said_;
  Clock::time_point began_ = Clock::now();
};

[[noreturn]] void run_child(int seed, SeedProgress& progress, const std::function<void(int, SeedProgress&)>& body) {
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);  // a child does not outlive the program that a person stopped
  int code = 0;
  try {
    body(seed, progress);
  } catch (const std::exception& error) {
    const std::string_view message = error.what();
    copy_text(progress.error, message.substr(0, message.find('\n')));
    code = 1;
  }
  std::cout.flush();
  ::_exit(code);  // no destructors of the parent's objects, no flushing of its streams
}

pid_t start_child(int seed, SeedProgress& progress, const std::function<void(int, SeedProgress&)>& body) {
  std::cout.flush();  // or the child would write it again
  const auto pid = ::fork();
  if (pid == 0) run_child(seed, progress, body);
  return pid;
}

/// Why a child failed, which ended with `status`.
std::string failure_of(const SeedProgress& progress, int status) {
  const std::string said = progress.error;
  return said.empty() ? fmt::format("its process ended by signal {}", WTERMSIG(status)) : said;
}

}  // namespace

void SeedProgress::begin_fit(const std::string& name) {
  steps_done = 0;
  copy_text(doing, name);
}

void run_seed_processes(int seeds, const std::function<void(int, SeedProgress&)>& body, int at_once) {
  SharedProgress progress{static_cast<std::size_t>(seeds)};
  std::map<pid_t, int> running;  // the seed of each process
  std::string failure;
  const auto stop_all = [&] {
    for (const auto& [pid, seed] : running) ::kill(pid, SIGTERM);
  };
  const auto start = [&](int seed) {
    const auto pid = start_child(seed, progress[static_cast<std::size_t>(seed)], body);
    if (pid < 0) {
      stop_all();
      throw sm::IoError(fmt::format("cannot start a process for seed {}: {}", seed, std::strerror(errno)));
    }
    running.emplace(pid, seed);
  };
  Display display{progress.all()};
  int next = 0;
  while (!running.empty() || (next < seeds && failure.empty())) {
    while (next < seeds && failure.empty() && (at_once == 0 || std::cmp_less(running.size(), at_once))) start(next++);
    int status = 0;
    const auto found = running.find(::waitpid(-1, &status, WNOHANG));
    if (found == running.end()) {
      display.draw();
      std::this_thread::sleep_for(std::chrono::milliseconds{200});
      continue;
    }
    const auto seed = found->second;
    running.erase(found);
    if (status == 0 || !failure.empty()) continue;
    failure = fmt::format("seed {}: {}", seed, failure_of(progress[static_cast<std::size_t>(seed)], status));
    stop_all();
  }
  display.finish();
  if (!failure.empty()) throw sm::Error(failure);
}

void run_apart(const std::function<void()>& body) {
  SharedProgress progress{1};
  const auto pid = start_child(0, progress[0], [&](int, SeedProgress&) { body(); });
  if (pid < 0) throw sm::IoError(fmt::format("cannot start a process: {}", std::strerror(errno)));
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (status != 0) throw sm::Error(failure_of(progress[0], status));
}

}  // namespace examples
