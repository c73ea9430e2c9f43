#include <sslmeme/core/error.hpp>
#include <sslmeme/nn/weights.hpp>
#include <sslmeme/train/session.hpp>

#include "train/run_directory.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace sslmeme {
namespace {

template <class Make>
auto load_encoder(const std::filesystem::path& run, const std::string& node, Make make) {
  const auto config = detail::read_config(run);
  const auto nodes = config.value("/method/nodes"_json_pointer, nlohmann::json::object());
  if (!nodes.contains(node) || !nodes.at(node).contains("encoder")) {
    std::vector<std::string> names;
    for (const auto& [name, value] : nodes.items()) {
      if (value.contains("encoder")) names.push_back(name);
    }
    throw InvalidArgument(
        fmt::format("{} has no node \"{}\" with an encoder; it has: {}", run.string(), node, fmt::join(names, ", ")));
  }
  auto encoder = make(nodes.at(node).at("encoder").dump());
  load_weights(run / "model.safetensors", *encoder,
               {.format = WeightFormat::own, .prefix = "nodes." + node + ".encoder."});
  return encoder;
}

}  // namespace

ImageEncoder load_image_encoder(const std::filesystem::path& run, const std::string& node,
                                const BackboneRegistry& registry) {
  return load_encoder(run, node, [&](const std::string& json) { return image_encoder_from_json(json, registry); });
}

TextEncoder load_text_encoder(const std::filesystem::path& run, const std::string& node,
                              const BackboneRegistry& registry) {
  return load_encoder(run, node, [&](const std::string& json) { return text_encoder_from_json(json, registry); });
}

}  // namespace sslmeme
