#include <sslmeme/loss/concepts.hpp>

#include <sslmeme/core/error.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>

namespace sslmeme::detail {
namespace {

nlohmann::json parsed(const OptionValue& value) {
  const auto* const text = std::get_if<std::string>(&value);
  if (text == nullptr) return std::visit([](const auto& plain) { return nlohmann::json(plain); }, value);
  const auto json = nlohmann::json::parse(*text, nullptr, /*allow_exceptions=*/false);
  return json.is_discarded() ? nlohmann::json(*text) : json;
}

}  // namespace

std::string json_of(const OptionValue& value) {
  return parsed(value).dump();
}

std::string options_json(const std::vector<std::pair<std::string, OptionValue>>& options) {
  auto json = nlohmann::json::object();
  for (const auto& [name, value] : options) json[name] = parsed(value);
  return json.dump();
}

std::string loss_json(const std::string& name, const std::string& options) {
  nlohmann::json json{{"loss", name}};
  if (!options.empty()) json["options"] = parsed(options);
  return json.dump();
}

void check_pair(const Tensor& z_a, const Tensor& z_b, const char* who) {
  const auto a = shape_string(z_a), b = shape_string(z_b);
  if (!z_a.defined() || !z_b.defined() || z_a.dim() != 2 || z_b.dim() != 2 || z_a.size(0) != z_b.size(0)) {
    throw InvalidArgument(fmt::format("{}: z_a is {}, z_b is {}; both must be (N, D)", who, a, b));
  }
  if (z_a.size(1) != z_b.size(1)) {
    throw InvalidArgument(
        fmt::format("{}: z_a is {}, z_b is {}; both must be (N, D): give both projections the same .out", who, a, b));
  }
  if (z_a.numel() == 0)
    throw InvalidArgument(fmt::format("{}: z_a is {}; a batch must hold at least one pair", who, a));
  if (!z_a.is_floating_point() || !z_b.is_floating_point()) {
    throw InvalidArgument(fmt::format("{}: z_a is {}, z_b is {}; both must be floating point", who,
                                      toString(z_a.scalar_type()), toString(z_b.scalar_type())));
  }
  if (computing_type(z_a) != computing_type(z_b)) {
    throw InvalidArgument(fmt::format("{}: z_a is {}, z_b is {}; convert one to the other's type", who,
                                      toString(z_a.scalar_type()), toString(z_b.scalar_type())));
  }
}

Tensor find_tensor(const NamedTensors& tensors, std::string_view name) {
  const auto found = std::find_if(tensors.begin(), tensors.end(), [&](const auto& t) { return t.first == name; });
  return found == tensors.end() ? Tensor{} : found->second;
}

void append_below(NamedTensors& all, const std::string& part, const NamedTensors& tensors) {
  for (const auto& [name, tensor] : tensors) all.emplace_back(part + "/" + name, tensor);
}

NamedTensors below(const NamedTensors& all, const std::string& part) {
  NamedTensors own;
  for (const auto& [name, tensor] : all) {
    if (name.starts_with(part + "/")) own.emplace_back(name.substr(part.size() + 1), tensor);
  }
  return own;
}

void require_first_derivative(const char* who) {
  if (torch::GradMode::is_enabled())
    throw Error(fmt::format("{} can be differentiated once only: do not ask for create_graph", who));
}

void check_positive(double value, const char* what) {
  if (!(value > 0 && std::isfinite(value)))
    throw InvalidArgument(fmt::format("{} is {}; it must be positive and finite", what, value));
}

void check_not_negative(double value, const char* what) {
  if (!(value >= 0 && std::isfinite(value)))
    throw InvalidArgument(fmt::format("{} is {}; it must be finite and not negative", what, value));
}

void check_statistics(const Tensor& z, const char* who) {
  if (z.size(0) < 2) {
    throw InvalidArgument(
        fmt::format("{}: z is {}; it compares the samples of a batch: give 2 or more", who, shape_string(z)));
  }
}

Tensor off_diagonal(const Tensor& matrix) {
  const auto d = matrix.size(0);
  // Without its last entry, row after row, each run of d + 1 entries begins with one of the diagonal.
  return matrix.flatten().narrow(0, 0, d * d - 1).view({d - 1, d + 1}).narrow(1, 1, d);
}

}  // namespace sslmeme::detail
