#include <sslmeme/nn/weights.hpp>

#include <sslmeme/core/error.hpp>

#include <fmt/format.h>

#include <unordered_map>

namespace sslmeme {
namespace {

/// "a, b, c and 7 more"
std::string some_of(const std::vector<std::string>& names) {
  constexpr std::size_t shown = 3;
  std::string text;
  for (std::size_t i = 0; i < std::min(shown, names.size()); ++i) text += (i == 0 ? "" : ", ") + names[i];
  if (names.size() > shown) text += fmt::format(" and {} more", names.size() - shown);
  return text;
}

}  // namespace

NamedTensors state_of(const torch::nn::Module& module) {
  NamedTensors state;
  for (const auto& item : module.named_parameters()) state.emplace_back(item.key(), item.value());
  for (const auto& item : module.named_buffers()) state.emplace_back(item.key(), item.value());
  return state;
}

void load_state(torch::nn::Module& module, const NamedTensors& tensors, const std::string& prefix) {
  std::unordered_map<std::string, Tensor> given;
  for (const auto& [name, tensor] : tensors) {
    if (name.starts_with(prefix)) given.emplace(name.substr(prefix.size()), tensor);
  }
  const auto state = state_of(module);
  std::vector<std::string> missing, reshaped;
  for (const auto& [name, tensor] : state) {
    const auto found = given.find(name);
    if (found == given.end()) {
      missing.push_back(name);
    } else if (found->second.sizes() != tensor.sizes()) {
      reshaped.push_back(fmt::format("{} is {} in the file, {} in the model", name, shape_string(found->second),
                                     shape_string(tensor)));
    }
  }
  if (given.size() + missing.size() > state.size() || !missing.empty() || !reshaped.empty()) {
    std::vector<std::string> unknown;
    for (const auto& [name, tensor] : given) {
      if (std::none_of(state.begin(), state.end(), [&](const auto& own) { return own.first == name; }))
        unknown.push_back(name);
    }
    std::sort(unknown.begin(), unknown.end());
    std::string problems;
    const auto report = [&](const char* what, const std::vector<std::string>& names) {
      if (!names.empty()) problems += fmt::format("{}{}: {}", problems.empty() ? "" : "; ", what, some_of(names));
    };
    report("missing", missing);
    report("unknown", unknown);
    report("of another shape", reshaped);
    throw InvalidArgument(fmt::format(
        "the weights do not fit the model ({}): make the model with the options they were trained with", problems));
  }
  const torch::NoGradGuard no_grad;
  for (const auto& [name, tensor] : state) tensor.copy_(given.at(name));
}

void save_weights(const std::filesystem::path& path, const torch::nn::Module& module,
                  const std::map<std::string, std::string>& metadata) {
  write_safetensors(path, state_of(module), metadata);
}

void load_weights(const std::filesystem::path& path, torch::nn::Module& module, const std::string& prefix) {
  try {
    load_state(module, read_safetensors(path).tensors, prefix);
  } catch (const InvalidArgument& error) {
    throw InvalidArgument(fmt::format("{}: {}", path.string(), error.what()));
  }
}

}  // namespace sslmeme
