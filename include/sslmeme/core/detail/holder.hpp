// Holder: a module that is nothing but the names of what is registered in it.
#pragma once

#include <torch/nn/module.h>

namespace sslmeme::detail {

struct Holder : torch::nn::Module {};

}  // namespace sslmeme::detail
