// The text encoders BERT (Devlin et al. 2018, arXiv:1810.04805) and DistilBERT (Sanh et al. 2019, arXiv:1910.01108)
// with transformers' parameter names.
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
  std::optional<double> attention_dropout = {};  ///< of attention weights; unset: `dropout`
  Pooling pooling = Pooling::first;              ///< first: the [CLS] token; mean: the average over real tokens
};

/// A post-norm text transformer with learned positions: transformers' BertModel without its pooler, all tokens of type
/// 0. D = width. forward() and encode() throw InvalidArgument for more than max_tokens and for ids that are not in the
/// vocabulary.
TextEncoder make_bert(const BertOptions& options);

/// The same without token types and without dropout behind attention's projection: transformers' DistilBertModel. As
/// published: depth 6.
TextEncoder make_distilbert(const BertOptions& options);

}  // namespace sslmeme
