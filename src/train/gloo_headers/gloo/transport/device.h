// Forwards for <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>, which LibTorch ships without the headers of Gloo
// that it includes. Only the names that it uses; the definitions are inside libtorch_cpu.
#pragma once

namespace gloo::transport {
class Device;
class UnboundBuffer {
 public:
  virtual ~UnboundBuffer() = default;
};
}  // namespace gloo::transport
