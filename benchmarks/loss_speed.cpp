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
#include <c10/core/CachingDeviceAllocator.h>
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

/// Memory of this process, or of its tensors on another device, in MB.
class Memory {
 public:
  explicit Memory(torch::Device device) : device_{device} {}

  double now() const { return on_cpu() ? of_process("VmRSS:") : of_tensors().current / mega; }
  double peak() const { return on_cpu() ? of_process("VmHWM:") : of_tensors().peak / mega; }
  /// From here on, the peak is that of what comes.
  void forget_peak() const {
    if (on_cpu()) {
      std::ofstream{"/proc/self/clear_refs"} << 5;
    } else {
      c10::getDeviceAllocator(device_.type())->resetPeakStats(0);
    }
  }

 private:
  struct Bytes {
    double current, peak;
  };
  static constexpr double mega = 1 << 20;

  bool on_cpu() const { return device_.is_cpu(); }
  Bytes of_tensors() const {
    const auto stats = c10::getDeviceAllocator(device_.type())->getDeviceStats(0);
    const auto& all = stats.allocated_bytes[0];
    return {static_cast<double>(all.current), static_cast<double>(all.peak)};
  }
  static double of_process(const std::string& key) {
    std::ifstream status{"/proc/self/status"};
    for (std::string line; std::getline(status, line);) {
      if (line.starts_with(key)) return std::atof(line.c_str() + key.size() + 1) / 1024;
    }
    return 0;
  }

  torch::Device device_;
};

/// The inputs that get a gradient, and the loss of them.
struct Run {
  std::vector<sm::Tensor> inputs;
  std::function<sm::Tensor()> loss;
};
/// What a run is made of: n vectors of d entries on a device.
struct Size {
  std::int64_t n, d;
  torch::Device device;
};
using Case = std::function<Run(const Size& size)>;

sm::Tensor noise(const Size& size) {
  return torch::randn({size.n, size.d}, size.device);
}
sm::Tensor cosines(const Size& size) {
  return torch::rand({size.n, size.d}, size.device) * 2 - 1;
}

template <class L>
Case pair(const L& loss, sm::Tensor (*make)(const Size&) = noise) {
  return [loss, make](const Size& size) {
    const auto a = make(size).requires_grad_(), b = make(size).requires_grad_();
    if constexpr (requires { loss.module()->to(size.device); }) loss.module()->to(size.device);
    return Run{{a, b}, [=] { return loss(a, b); }};
  };
}

/// Two global and eight local crops of n pictures, d prototypes.
Run dino(const Size& size) {
  const auto [n, d, device] = size;
  const auto student = torch::randn({10, n, d}, device).requires_grad_(), teacher = torch::randn({2, n, d}, device);
  const sm::DinoLoss of{{.prototypes = d}};
  of.module()->to(device);
  return {{student}, [=, loss = of]() mutable {
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
     [](const Size& size) {
       const auto a = noise(size).requires_grad_();
       return Run{{a}, [=] { return sm::koleo(a); }};
     }},
    {"swav", pair([](const auto& a, const auto& b) { return sm::SwavLoss{}(std::array{a, b}, 2); }, cosines)},
    {"dino", dino}};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5 || argc > 6 || !cases.contains(argv[1]) || std::atoll(argv[4]) < 1) {
    std::fprintf(stderr,
                 "usage: loss_speed LOSS N D REPETITIONS [DEVICE]\nExample:\n  loss_speed info_nce 16384 512 3\n");
    return 2;
  }
  const auto& make = cases.at(argv[1]);
  const auto n = std::atoll(argv[2]), d = std::atoll(argv[3]), repetitions = std::atoll(argv[4]);
  const auto differentiate = [](const Run& of) {
    const auto value = of.loss();
    torch::autograd::grad({value}, of.inputs);
    return value.item<double>();  // waits for the device
  };
  const torch::Device device{argc > 5 ? argv[5] : "cpu"};
  differentiate(make({2, 8, device}));  // thread pools and kernels are there before the clock starts
  auto run = make({n, d, device});
  const Memory memory{device};
  const auto before = memory.now();
  memory.forget_peak();
  double best = 1e30;
  for (std::int64_t i = 0; i < repetitions; ++i) {
    const auto start = std::chrono::steady_clock::now();
    const auto value = differentiate(run);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    if (!std::isfinite(value)) return std::fprintf(stderr, "loss_speed: the loss is not finite\n"), 1;
    best = std::min(best, seconds.count());
  }
  std::printf("{\"seconds\": %.6f, \"extra_megabytes\": %.1f, \"threads\": %d}\n", best, memory.peak() - before,
              at::get_num_threads());
}
