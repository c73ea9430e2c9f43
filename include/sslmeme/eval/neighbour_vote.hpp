// A classifier judged by its embedding: the labels of the nearest known memes vote. New memes count without training.
#pragma once

#include <sslmeme/eval/knn.hpp>
#include <sslmeme/eval/predict.hpp>
#include <sslmeme/method/retrieval_guided.hpp>

#include <cstdint>

namespace sslmeme {

/// FusionOutput::embedding of every sample of `loader`, which is made and refused as predict() says.
Embeddings embed(Supervised& classifier, DataLoader& loader);

struct VoteOptions {
  std::int64_t k = 20;  ///< how many of the nearest vote; fewer where there are fewer
};

/// For each row of `queries` (M, E) how harmful its neighbours are: f64 (M) in [0, 1]; 0.5 is a tie. ½ + ½ Σᵣ wᵣ (2yᵣ −
/// 1) cosᵣ / Σᵣ wᵣ over the k nearest of `known` by cosine, the r-th of weight wᵣ = k + 1 − r: the vote of RGCL's code
/// (majority_voting "arithmetic", weighed by similarity), which has the same sign and order. Exact, of equally near
/// ones the first; k M N comparisons beside M N E products, in chunks. Throws InvalidArgument for k below 1, shapes
/// that do not fit, rows that are not finite, and known labels other than 0 and 1.
Tensor neighbour_vote(const Embeddings& known, const Tensor& queries, const VoteOptions& options = {});

/// predict() by the vote of what `method` remembers: scores are votes, and there are no logits. Throws InvalidArgument
/// while it remembers nothing.
Predictions predict_by_vote(const RetrievalGuided& method, DataLoader& loader, const VoteOptions& options = {});

}  // namespace sslmeme
