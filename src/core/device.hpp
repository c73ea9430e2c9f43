// Devices by name.
#pragma once

#include <c10/core/Device.h>

#include <string>

namespace sslmeme::detail {

/// "cpu", "cuda", "cuda:1". Throws InvalidArgument for another name, and for a GPU where this LibTorch sees none.
torch::Device parse_device(const std::string& name);

}  // namespace sslmeme::detail
