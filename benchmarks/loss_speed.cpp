// loss_speed: seconds and peak memory of one loss, forward and backward; benchmarks/peers/compare_losses.py sets it
// beside its Python peer.
#include <sslmeme/loss/barlow_twins.hpp>
#include <sslmeme/loss/dino.hpp>
#include <sslmeme/loss/info_nce.hpp>
#include <sslmeme/loss/koleo.hpp>
#include <sslmeme/loss/nt_xent.hpp>
#include <sslmeme/loss/sigmoid.hpp>
#include <sslmeme/loss/swav.hpp>
#include <sslmeme/loss/vicreg.hpp>

#include <ATen/Parallel.h>
#include <torch/autograd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <map>
#include <string>
#include <vector>

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

/// The inputs that get a gradient, and the loss of them.
struct Run {
  std::vector<sm::Tensor> inputs;
  std::function<sm::Tensor()> loss;
};
/// Makes a run of n vectors of d entries.
using Case = std::function<Run(std::int64_t n, std::int64_t d)>;

sm::Tensor noise(std::int64_t n, std::int64_t d) {
  return torch::randn({n, d});
}
sm::Tensor cosines(std::int64_t n, std::int64_t d) {
  return torch::rand({n, d}) * 2 - 1;
}

template <class L>
Case pair(const L& loss, sm::Tensor (*make)(std::int64_t, std::int64_t) = noise) {
  return [loss, make](std::int64_t n, std::int64_t d) {
    const auto a = make(n, d).requires_grad_(), b = make(n, d).requires_grad_();
    return Run{{a, b}, [=] { return loss(a, b); }};
  };
}

/// Two global and eight local crops of n pictures, d prototypes.
Run dino(std::int64_t n, std::int64_t d) {
  const auto student = torch::randn({10, n, d}).requires_grad_(), teacher = torch::randn({2, n, d});
  return {{student}, [=, loss = sm::DinoLoss{{.prototypes = d}}]() mutable {
            const auto output = loss(student, teacher);
            loss.update({}, output.observed);
            return output.total;
          }};
}

const std::map<std::string, Case> cases{
    {"info_nce", pair(sm::InfoNce{})},
    {"nt_xent", pair(sm::NtXent{})},
    {"sigmoid", pair(sm::SigmoidLoss{})},
    {"barlow_twins", pair(sm::BarlowTwins{})},
    {"vicreg", pair([](const auto& a, const auto& b) { return sm::VicReg{}(a, b).total; })},
    {"koleo",
     [](auto n, auto d) {
       const auto a = noise(n, d).requires_grad_();
       return Run{{a}, [=] { return sm::koleo(a); }};
     }},
    {"swav", pair([](const auto& a, const auto& b) { return sm::SwavLoss{}(std::array{a, b}, 2); }, cosines)},
    {"dino", dino}};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5 || !cases.contains(argv[1]) || std::atoll(argv[4]) < 1) {
    std::fprintf(stderr, "usage: loss_speed LOSS N D REPETITIONS\nExample:\n  loss_speed info_nce 16384 512 3\n");
    return 2;
  }
  const auto& make = cases.at(argv[1]);
  const auto n = std::atoll(argv[2]), d = std::atoll(argv[3]), repetitions = std::atoll(argv[4]);
  const auto differentiate = [](const Run& of) {
    const auto value = of.loss();
    torch::autograd::grad({value}, of.inputs);
    return value.item<double>();
  };
  differentiate(make(2, 8));  // thread pools and kernels are there before the clock starts
  auto run = make(n, d);
  const auto before = megabytes("VmRSS:");
  forget_peak();
  double best = 1e30;
  for (std::int64_t i = 0; i < repetitions; ++i) {
    const auto start = std::chrono::steady_clock::now();
    const auto value = differentiate(run);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    if (!std::isfinite(value)) return std::fprintf(stderr, "loss_speed: the loss is not finite\n"), 1;
    best = std::min(best, seconds.count());
  }
  std::printf("{\"seconds\": %.6f, \"extra_megabytes\": %.1f, \"threads\": %d}\n", best, megabytes("VmHWM:") - before,
              at::get_num_threads());
}
