#include "core/device.hpp"

#include <sslmeme/core/error.hpp>

#include <fmt/format.h>
#include <torch/cuda.h>
#include <torch/types.h>

namespace sslmeme::detail {

torch::Device parse_device(const std::string& name) {
  try {
    const torch::Device device{name};
    if (!device.is_cuda()) return device;
    const auto gpus = static_cast<int>(torch::cuda::device_count());
    if (gpus == 0)
      throw InvalidArgument(fmt::format("the device is \"{}\", but this LibTorch sees no GPU: use \"cpu\"", name));
    if (device.index() >= gpus)
      throw InvalidArgument(fmt::format("the device is \"{}\", but the last one is \"cuda:{}\"", name, gpus - 1));
    return device;
  } catch (const c10::Error&) {
    throw InvalidArgument(fmt::format("\"{}\" is no device: use \"cpu\", \"cuda\" or \"cuda:1\"", name));
  }
}

}  // namespace sslmeme::detail
