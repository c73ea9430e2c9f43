// Weights of modules, to and from safetensors files.
#pragma once

#include <sslmeme/nn/safetensors.hpp>

#include <torch/nn/module.h>

#include <filesystem>
#include <string>

namespace sslmeme {

/// Parameters, then buffers, of a module and its children by their full names: what Python's state_dict() holds. The
/// tensors are the module's own, not copies.
NamedTensors state_of(const torch::nn::Module& module);

/// Copies tensors into the module's state by name. Every name must match both ways and every shape be equal; throws
/// InvalidArgument listing what is missing, unknown or of another shape, and then nothing was changed. prefix: only
/// tensors whose name begins with it count, and it is cut off.
void load_state(torch::nn::Module& module, const NamedTensors& tensors, const std::string& prefix = "");

void save_weights(const std::filesystem::path& path, const torch::nn::Module& module,
                  const std::map<std::string, std::string>& metadata = {});
void load_weights(const std::filesystem::path& path, torch::nn::Module& module, const std::string& prefix = "");

}  // namespace sslmeme
