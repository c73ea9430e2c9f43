// Sample and Batch: what flows from a dataset to a method. Shapes are documented here, once.
#pragma once

#include <sslmeme/core/image.hpp>
#include <sslmeme/core/tensor.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace sslmeme {

/// One meme as a dataset returns it.
struct Sample {
  Image picture;                      ///< 8-bit RGB
  std::string text;                   ///< UTF-8; empty where there are no words
  std::optional<std::int64_t> label;  ///< 1 harmful, 0 not; absent in blind splits
  std::int64_t id = 0;                ///< stable over runs: seeds and messages use it
};

/// N samples, transformed, tokenized and collated.
struct Batch {
  std::vector<Tensor> views;  ///< V tensors, f32 (N, 3, S, S); sizes may differ between views
  Tensor tokens;              ///< i64 (N, L); undefined when the loader has no tokenizer
  Tensor mask;                ///< bool (N, L): true on real tokens, false on padding
  Tensor labels;              ///< i64 (N); −1 where a sample has no label
  Tensor ids;                 ///< i64 (N)
  std::int64_t padding = 0;   ///< so many rows at the end only fill up the batch: samples that other batches hold too

  /// N.
  std::int64_t size() const { return ids.defined() ? ids.size(0) : 0; }
  /// The same batch on another device; tensors already there are shared. Out of pinned memory to a GPU it does not wait
  /// for the copy: what the GPU does later has it, and the pinned tensors must not be written to before.
  Batch to(torch::Device device) const;
};

}  // namespace sslmeme
