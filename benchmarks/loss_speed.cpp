// loss_speed: seconds and peak memory of one loss, forward and backward; benchmarks/peers/compare_losses.py sets it
// beside its Python peer.
#include <sslmeme/loss/any_pair_loss.hpp>
#include <sslmeme/loss/barlow_twins.hpp>
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

using Call = std::function<sm::Tensor(const sm::Tensor&, const sm::Tensor&)>;

const std::map<std::string, Call> losses{
    {"info_nce", [loss = sm::InfoNce{}](const auto& a, const auto& b) { return loss(a, b); }},
    {"nt_xent", sm::NtXent{}},
    {"barlow_twins", sm::BarlowTwins{}},
    {"vicreg", [](const auto& a, const auto& b) { return sm::VicReg{}(a, b).total; }},
    {"koleo", [](const auto& a, const auto& /*b*/) { return sm::koleo(a); }},
    {"swav", [](const auto& a, const auto& b) { return sm::SwavLoss{}(std::array{a, b}, 2); }}};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5 || !losses.contains(argv[1])) {
    std::fprintf(stderr, "usage: loss_speed LOSS N D REPETITIONS\nExample:\n  loss_speed info_nce 16384 512 3\n");
    return 2;
  }
  const auto& loss = losses.at(argv[1]);
  const auto n = std::atoll(argv[2]), d = std::atoll(argv[3]), repetitions = std::atoll(argv[4]);
  const auto a = torch::randn({n, d}).requires_grad_(), b = torch::randn({n, d}).requires_grad_();
  loss(torch::randn({2, d}), torch::randn({2, d}));  // thread pools and kernels are there before the clock starts
  const auto before = megabytes("VmRSS:");
  forget_peak();
  double best = 1e30;
  for (std::int64_t i = 0; i < repetitions; ++i) {
    a.mutable_grad() = {};
    b.mutable_grad() = {};
    const auto start = std::chrono::steady_clock::now();
    loss(a, b).backward();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  std::printf("{\"seconds\": %.6f, \"extra_megabytes\": %.1f, \"threads\": %d}\n", best, megabytes("VmHWM:") - before,
              at::get_num_threads());
}
