// loss_speed: seconds and peak memory of one loss, forward and backward; benchmarks/peers/compare_losses.py sets it
// beside its Python peer.
#include <sslmeme/loss/barlow_twins.hpp>
#include <sslmeme/loss/dino.hpp>
#include <sslmeme/loss/info_nce.hpp>
#include <sslmeme/loss/koleo.hpp>
#include <sslmeme/loss/nt_xent.hpp>
#include <sslmeme/loss/swav.hpp>
#include <sslmeme/loss/vicreg.hpp>

#include <ATen/Parallel.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <map>
#include <string>

namespace sm = sslmeme;

namespace {

double megabytes(const std::string& key) {
  std::ifstream status{"/proc/self/status"};
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(key)) return std::atof(line.c_str() + key.size() + 1) / 1024;
  }
  return 0;
}

/// From here on, the peak is that of what comes.
void forget_peak() {
  std::ofstream{"/proc/self/clear_refs"} << 5;
}

/// Makes the inputs of a loss and gives what runs it once, forward and backward.
using Case = std::function<std::function<void()>(std::int64_t n, std::int64_t d)>;

template <class L>
Case pair(const L& loss) {
  return [loss](std::int64_t n, std::int64_t d) {
    const auto a = torch::randn({n, d}).requires_grad_(), b = torch::randn({n, d}).requires_grad_();
    return [=] {
      a.mutable_grad() = {};
      b.mutable_grad() = {};
      loss(a, b).backward();
    };
  };
}

/// Two global and eight local crops of n pictures, d prototypes.
std::function<void()> dino(std::int64_t n, std::int64_t d) {
  const auto student = torch::randn({10, n, d}).requires_grad_(), teacher = torch::randn({2, n, d});
  return [=, loss = sm::DinoLoss{{.prototypes = d}}]() mutable {
    student.mutable_grad() = {};
    const auto output = loss(student, teacher);
    output.total.backward();
    loss.update(output.observed);
  };
}

const std::map<std::string, Case> cases{
    {"info_nce", pair(sm::InfoNce{})},
    {"nt_xent", pair(sm::NtXent{})},
    {"barlow_twins", pair(sm::BarlowTwins{})},
    {"vicreg", pair([](const auto& a, const auto& b) { return sm::VicReg{}(a, b).total; })},
    {"koleo", pair([](const auto& a, const auto& /*b*/) { return sm::koleo(a); })},
    {"swav", pair([](const auto& a, const auto& b) { return sm::SwavLoss{}(std::array{a, b}, 2); })},
    {"dino", dino}};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5 || !cases.contains(argv[1])) {
    std::fprintf(stderr, "usage: loss_speed LOSS N D REPETITIONS\nExample:\n  loss_speed info_nce 16384 512 3\n");
    return 2;
  }
  const auto& make = cases.at(argv[1]);
  const auto n = std::atoll(argv[2]), d = std::atoll(argv[3]), repetitions = std::atoll(argv[4]);
  make(2, 8)();  // thread pools and kernels are there before the clock starts
  const auto run = make(n, d);
  const auto before = megabytes("VmRSS:");
  forget_peak();
  double best = 1e30;
  for (std::int64_t i = 0; i < repetitions; ++i) {
    const auto start = std::chrono::steady_clock::now();
    run();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  std::printf("{\"seconds\": %.6f, \"extra_megabytes\": %.1f, \"threads\": %d}\n", best, megabytes("VmHWM:") - before,
              at::get_num_threads());
}
