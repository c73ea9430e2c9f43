// One vector a sample, whatever makes it.
#pragma once

#include <sslmeme/core/batch.hpp>
#include <sslmeme/data/loader.hpp>
#include <sslmeme/eval/knn.hpp>

#include <functional>

namespace sslmeme::detail {

/// Runs `module` over one epoch of `loader`, of so many views, in evaluation mode and without gradients.
/// features_of(batch on the device of the module's parameters) gives (B, D); rows that only fill up a batch are left
/// out. Throws InvalidArgument as require_whole() does, and NonFiniteError naming the sample.
Embeddings embed_rows(torch::nn::Module& module, DataLoader& loader, int views,
                      const std::function<Tensor(const Batch&)>& features_of);

}  // namespace sslmeme::detail
