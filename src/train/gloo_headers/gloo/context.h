// Forwards for <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>, which LibTorch ships without the headers of Gloo
// that it includes. Only the names that it uses; the definitions are inside libtorch_cpu.
#pragma once

#include <chrono>

namespace gloo {
class Context {
 public:
  void setTimeout(std::chrono::milliseconds timeout);
};
}  // namespace gloo
