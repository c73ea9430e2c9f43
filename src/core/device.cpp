#include "core/device.hpp"

#include <sslmeme/core/error.hpp>

#include <ATen/Context.h>
#include <fmt/format.h>
#include <torch/types.h>

namespace sslmeme::detail {

torch::Device parse_device(const std::string& name) {
  try {
    const torch::Device device{name};
    if (device.is_cuda() && !at::hasCUDA())
      throw InvalidArgument(fmt::format("the device is \"{}\", but this LibTorch sees no GPU: use \"cpu\"", name));
    return device;
  } catch (const c10::Error&) {
    throw InvalidArgument(fmt::format("\"{}\" is no device: use \"cpu\", \"cuda\" or \"cuda:1\"", name));
  }
}

}  // namespace sslmeme::detail
