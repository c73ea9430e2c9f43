// What an encoder knows, without training anything on top: its embeddings, and their nearest neighbours' labels.
#pragma once

#include <sslmeme/data/loader.hpp>
#include <sslmeme/nn/backbone.hpp>
#include <sslmeme/text/tokenizer.hpp>

#include <cstdint>
#include <span>
#include <string>

namespace sslmeme {

/// Features of a whole dataset, in its order.
struct Embeddings {
  Tensor features;  ///< f32 (N, D), on the CPU
  Tensor labels;    ///< i64 (N); −1 where a sample has none
  Tensor ids;       ///< i64 (N)
};

/// Runs the encoder over one epoch of `loader` (made with shuffle = false and drop_last = false, one view), in
/// evaluation mode and without gradients, which are as before at the end; rows that only fill up a batch are left out.
/// Throws InvalidArgument for a loader that would leave samples out or put others in the place of unreadable ones,
/// NonFiniteError naming the id of a feature that is not finite.
Embeddings embed(ImageBackbone& encoder, DataLoader& loader);

struct TextEmbedOptions {
  std::int64_t max_tokens = 0;  ///< longest text, special tokens included; 0: what the encoder takes
  std::int64_t batch_size = 64;
};

/// Features f32 (N, D) of N texts, on the CPU, in evaluation mode and without gradients, as above. Throws
/// InvalidArgument for options that cannot work, NonFiniteError naming the position of a feature that is not finite.
Tensor embed(TextBackbone& encoder, const Tokenizer& tokenizer, std::span<const std::string> texts,
             const TextEmbedOptions& options = {});

struct KnnOptions {
  std::int64_t k = 20;        ///< neighbours that vote; fewer where there are fewer
  double temperature = 0.07;  ///< a neighbour of cosine s votes with weight exp(s / temperature)
};

/// The labels (M) i64 that the nearest of `known` give to the rows of `queries` (M, D), by a vote weighted by cosine
/// similarity (Wu et al. 2018, arXiv:1805.01978, section 3.4, as DINO evaluates). Exact, in chunks: memory grows with N
/// and M, not with their product. Of labels with equal votes the smallest wins. Throws InvalidArgument for options that
/// are not positive, shapes that do not fit, and known samples without label.
Tensor knn_classify(const Embeddings& known, const Tensor& queries, const KnnOptions& options = {});

/// The share of `queries` that get their own label, in [0, 1]. Throws as knn_classify(), and InvalidArgument for no
/// query or one without a label.
double knn_accuracy(const Embeddings& known, const Embeddings& queries, const KnnOptions& options = {});

}  // namespace sslmeme
