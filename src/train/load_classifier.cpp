#include <sslmeme/train/load_classifier.hpp>

#include <sslmeme/core/error.hpp>
#include <sslmeme/core/files.hpp>
#include <sslmeme/nn/weights.hpp>

#include "core/shown.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace sslmeme {
namespace {

/// config.json's "method", that of a Supervised.
nlohmann::json method_of(const std::filesystem::path& run) {
  const auto shown = detail::shown_path(run), file = detail::shown_path(run / "config.json");
  if (std::error_code error; !std::filesystem::exists(run / "config.json", error)) {
    throw IoError(fmt::format("{} is no run directory: it has no config.json; give the --out of a finetune", shown));
  }
  nlohmann::json method;
  try {
    method = nlohmann::json::parse(read_file(run / "config.json")).at("method");
    if (!method.at("method").is_string()) throw DataError(fmt::format("{} names no method", file));
  } catch (const nlohmann::json::exception& error) {
    throw DataError(fmt::format("{} cannot be read: {}", file, error.what()));
  }
  const auto name = method.at("method").get<std::string>();
  if (name != "supervised") {
    throw InvalidArgument(
        fmt::format("{} is no fine-tuned run, its method is {}: train a classifier from it by finetune --from {}",
                    shown, detail::in_quotes(name), shown));
  }
  return method;
}

}  // namespace

Supervised load_classifier(const std::filesystem::path& run, const BackboneRegistry& registry) {
  const auto method = method_of(run);
  if (std::error_code error; !std::filesystem::exists(run / "model.safetensors", error)) {
    throw InvalidArgument(
        fmt::format("{} is not finished: it has no model.safetensors; go on with --resume", detail::shown_path(run)));
  }
  auto classifier = supervised_from_json(method.dump(), registry);
  LoadOptions options{.format = WeightFormat::own};
  if (method.contains("retrieval_guided")) options.allow_unknown = {"memory.*"};  // RetrievalGuided's, beside the model
  load_weights(run / "model.safetensors", *classifier.module(), options);
  classifier.module()->eval();
  return classifier;
}

}  // namespace sslmeme
