// The tensor type and the few tensor helpers that every layer shares.
#pragma once

#include <torch/types.h>

#include <string>

namespace sslmeme {

using Tensor = torch::Tensor;

/// The shape of a tensor as people write it: "(16, 128)", "()" for 0-d, "undefined" for an undefined tensor.
std::string shape_string(const Tensor& tensor);

/// x / ‖x‖₂ over the last dimension, computed in fp32 for half types. x: (…, D) float. A zero vector stays zero
/// (the norm is clamped at 1e-12, as torch.nn.functional.normalize does). Unlike there, a vector shorter than that gets
/// no gradient: 10¹² times the incoming one overflows fp16 and drowns all others. Vectors of any finite length are
/// normalised, also where their squares overflow. Returns x's shape, fp32 or fp64.
Tensor l2_normalize(const Tensor& x);

}  // namespace sslmeme
