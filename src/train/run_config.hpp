// What a run is made of: its options checked, and written down for config.json.
#pragma once

#include <sslmeme/train/session.hpp>

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace sslmeme::detail {

/// Throws InvalidArgument for options that cannot be, and for a loader that gives the share of another rank than this.
void check_options(const TrainerOptions& options, std::int64_t batches_per_epoch, const LoaderOptions* loader);

/// config.json. loader: null where batches come from something else.
nlohmann::json config_json(const TrainerOptions& options, std::int64_t batches_per_epoch,
                           const std::string& method_json, const LoaderOptions* loader);

/// A value that two configurations do not share; null where one has no such key.
struct Difference {
  std::string key;  ///< "trainer/clip_norm"
  nlohmann::json first, second;
};
std::vector<Difference> differences(const nlohmann::json& first, const nlohmann::json& second);

}  // namespace sslmeme::detail
