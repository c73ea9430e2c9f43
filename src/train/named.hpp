// Looking up by name what training records and saves.
#pragma once

#include <sslmeme/core/error.hpp>
#include <sslmeme/nn/safetensors.hpp>
#include <sslmeme/train/callback.hpp>

#include <fmt/format.h>

#include <optional>
#include <string>
#include <unordered_map>

namespace sslmeme::detail {

/// The value of that name; nothing where there is none.
inline std::optional<double> value_of(const NamedValues& values, const std::string& name) {
  for (const auto& [known, value] : values) {
    if (known == name) return value;
  }
  return {};
}

/// Copies into each of `own` the tensor of its name. Throws InvalidArgument, with `what` fits the model, unless names
/// and shapes are the same.
inline void copy_by_name(const NamedTensors& own, const NamedTensors& given, const char* what) {
  const std::unordered_map<std::string, Tensor> by_name{given.begin(), given.end()};
  for (const auto& [name, tensor] : own) {
    const auto found = by_name.find(name);
    if (found == by_name.end() || found->second.sizes() != tensor.sizes() || by_name.size() != own.size()) {
      throw InvalidArgument(
          fmt::format("{} does not fit the model at \"{}\": resume with the model it was saved from", what, name));
    }
  }
  const torch::NoGradGuard no_grad;
  for (const auto& [name, tensor] : own) tensor.copy_(by_name.at(name));
}

}  // namespace sslmeme::detail
