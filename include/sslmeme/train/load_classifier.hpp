// A fine-tuned classifier from its run directory.
#pragma once

#include <sslmeme/method/supervised.hpp>

#include <filesystem>

namespace sslmeme {

/// The classifier of a finished run that trained Supervised: the architecture comes from config.json, makers of its
/// encoders from `registry`, weights from model.safetensors. It is in evaluation mode.
///
/// Throws InvalidArgument for a run of another method, such as a pre-training, and one that is not finished, saying
/// what to do; IoError and DataError for files that are missing or cannot be used.
Supervised load_classifier(const std::filesystem::path& run,
                           const BackboneRegistry& registry = BackboneRegistry::built_in());

}  // namespace sslmeme
