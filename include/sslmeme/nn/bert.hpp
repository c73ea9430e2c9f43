// The BERT text encoder (Devlin et al. 2018, arXiv:1810.04805) with transformers' parameter names.
#pragma once

#include <sslmeme/nn/backbone.hpp>

namespace sslmeme {

struct BertOptions {
  std::int64_t vocabulary_size = 30522;
  std::int64_t max_tokens = 512;
  std::int64_t width = 768;  ///< hidden size; a multiple of heads
  std::int64_t depth = 12;
  std::int64_t heads = 12;
  std::int64_t mlp_width = 3072;
  double dropout = 0.1;
  Pooling pooling = Pooling::first;  ///< first: the [CLS] token; mean: the average over real tokens
};

/// A post-norm text transformer with learned positions. D = width.
TextEncoder make_bert(const BertOptions& options);

}  // namespace sslmeme
