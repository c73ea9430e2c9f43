#include "train/run_config.hpp"

#include <sslmeme/core/error.hpp>
#include <sslmeme/data/loader.hpp>
#include <sslmeme/version.hpp>

#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <torch/version.h>

namespace sslmeme::detail {
namespace {

const char* name_of(Precision precision) {
  switch (precision) {
    case Precision::bf16:
      return "bf16";
    case Precision::fp16:
      return "fp16";
    case Precision::fp32:
      break;
  }
  return "fp32";
}

void check_share(const ProcessGroup& ranks, const LoaderOptions& loader) {
  if (loader.rank == ranks.rank() && loader.ranks == ranks.size()) return;
  throw InvalidArgument(
      fmt::format("the loader gives the share of rank {} of {}, and this is rank {} of {}: set LoaderOptions::rank and "
                  "ranks to those of TrainerOptions::ranks",
                  loader.rank, loader.ranks, ranks.rank(), ranks.size()));
}

/// What decides which samples a step has, and how long its texts are; not how they are prepared.
nlohmann::json loader_json(const LoaderOptions& o) {
  nlohmann::json json{{"batch_size", o.batch_size},
                      {"seed", o.seed},
                      {"shuffle", o.shuffle},
                      {"drop_last", o.drop_last},
                      {"pad_last", o.pad_last}};
  if (o.tokenizer) json["max_tokens"] = o.max_tokens;
  return json;
}

}  // namespace

void check_options(const TrainerOptions& o, std::int64_t batches_per_epoch, const LoaderOptions* loader) {
  if (o.epochs < 1) throw InvalidArgument(fmt::format("TrainerOptions::epochs is {}; it must be at least 1", o.epochs));
  if (batches_per_epoch < 1)
    throw InvalidArgument("the loader has no batch: give it more samples or a smaller batch_size");
  if (o.accumulate < 1)
    throw InvalidArgument(fmt::format("TrainerOptions::accumulate is {}; it must be at least 1", o.accumulate));
  if (!(o.clip_norm >= 0))
    throw InvalidArgument(fmt::format("TrainerOptions::clip_norm is {}; it must be zero or more", o.clip_norm));
  if (o.monitor_every < 1)
    throw InvalidArgument(fmt::format("TrainerOptions::monitor_every is {}; it must be at least 1", o.monitor_every));
  if (o.skip_non_finite < 0) {
    throw InvalidArgument(
        fmt::format("TrainerOptions::skip_non_finite is {}; it must be zero or more", o.skip_non_finite));
  }
  o.schedule.check();
  if (o.ranks && loader != nullptr) check_share(*o.ranks, *loader);
}

nlohmann::json config_json(const TrainerOptions& o, std::int64_t batches_per_epoch, const std::string& method_json,
                           const LoaderOptions* loader) {
  nlohmann::json average;
  if (o.average) average = {{"decay", o.average->decay}, {"warmup", o.average->warmup}};
  nlohmann::json config{{"trainer",
                         {{"epochs", o.epochs},
                          {"accumulate", o.accumulate},
                          {"optimizer", nlohmann::json::parse(describe(o.optimizer))},
                          {"parameters", nlohmann::json::parse(describe(o.parameters))},
                          {"schedule", nlohmann::json::parse(o.schedule.describe())},
                          {"precision", name_of(o.precision)},
                          {"average", average},
                          {"clip_norm", o.clip_norm},
                          {"clip_scope", o.clip_scope == ClipScope::each ? "each" : "all"},
                          {"skip_non_finite", o.skip_non_finite},
                          {"seed", o.seed},
                          {"device", o.device},
                          {"batches_per_epoch", batches_per_epoch},
                          {"threads", at::get_num_threads()}}},
                        {"method", method_json.empty() ? nlohmann::json{} : nlohmann::json::parse(method_json)},
                        {"versions", {{"sslmeme", SSLMEME_VERSION}, {"libtorch", TORCH_VERSION}}}};
  if (loader != nullptr) config["loader"] = loader_json(*loader);
  if (o.ranks && o.ranks->size() > 1) config["trainer"]["ranks"] = o.ranks->size();
  return config;
}

std::vector<Difference> differences(const nlohmann::json& first, const nlohmann::json& second) {
  const auto a = first.flatten(), b = second.flatten();
  std::vector<Difference> all;
  for (const auto& [key, value] : a.items()) {
    const auto other = b.value(key, nlohmann::json{});
    if (!b.contains(key) || other != value) all.push_back({key.substr(1), value, other});
  }
  for (const auto& [key, value] : b.items()) {
    if (!a.contains(key)) all.push_back({key.substr(1), {}, value});
  }
  return all;
}

}  // namespace sslmeme::detail
