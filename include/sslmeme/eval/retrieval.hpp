// Do pictures find their words, and classes their pictures? Retrieval, zero-shot classification, and how embeddings
// spread over the sphere.
#pragma once

#include <sslmeme/core/tensor.hpp>

#include <cstdint>
#include <vector>

namespace sslmeme {

struct RetrievalOptions {
  std::vector<std::int64_t> k{1, 5, 10};  ///< how many of the best found are looked at
  Tensor image_ids{};                     ///< i64 (N); a picture and a text of the same id match
  Tensor text_ids{};                      ///< i64 (M)
};

/// How well queries find what matches them. The rank of a query is 1 + the candidates that do not match and are at
/// least as similar as the best one that does.
struct Recall {
  std::vector<double> at;  ///< for each of RetrievalOptions::k the part of queries of a rank ≤ k, in [0, 1]
  double median_rank = 0;  ///< 1 is best; the mean of the middle two of an even number
};

struct Retrieval {
  Recall image_to_text;
  Recall text_to_image;
};

/// Ranks all texts for each picture, and all pictures for each text, by cosine similarity. images: (N, D), texts:
/// (M, D) float, of any length. Row i of one matches row i of the other, or, with ids, all rows of the same id, as
/// several captions of a picture have. Ties, within 1e-12, count as lost: embeddings that have collapsed find nothing.
/// Computed in double, in chunks: O(N M D) time, memory that grows with N + M. Throws InvalidArgument for shapes that
/// do not fit, rows that are not finite, k below 1, and a row without match.
Retrieval retrieve(const Tensor& images, const Tensor& texts, const RetrievalOptions& options = {});

/// One embedding a class from those of its prompts ("a photo of a dog", "a drawing of a dog", …): their mean, each
/// prompt being normalised first, normalised again (Radford et al. 2021, arXiv:2103.00020, section 3.1.4). prompts: for
/// each of K classes (P_k, D) float, P_k ≥ 1. Returns f64 (K, D). Throws InvalidArgument for shapes that do not fit
/// and rows that are not finite.
Tensor zero_shot_classes(const std::vector<Tensor>& prompts);

/// Logits f64 (N, K) of pictures (N, D) for classes (K, D): `scale` times their cosine. scale: that of training, 100
/// in CLIP. Throws InvalidArgument for shapes that do not fit and rows that are not finite.
///
///     const auto labels = zero_shot_logits(images, zero_shot_classes({harmless, harmful})).argmax(1);
Tensor zero_shot_logits(const Tensor& images, const Tensor& classes, double scale = 100);

/// How far apart pairs lie: the mean of ‖a/‖a‖ − b/‖b‖‖₂^alpha over rows, 0 best (Wang & Isola 2020, arXiv:2005.10242,
/// section 4.1). a, b: (N, D) float. Throws InvalidArgument for shapes that differ, no row, and rows not finite.
double alignment(const Tensor& a, const Tensor& b, double alpha = 2);

/// How evenly vectors cover the sphere: log of the mean of exp(−t ‖x/‖x‖ − y/‖y‖‖²) over all pairs of different rows,
/// the lower the better, at most 0 (Wang & Isola 2020, section 4.1). x: (N, D) float, N ≥ 2. In chunks: O(N² D) time,
/// memory that grows with N. Throws InvalidArgument for other shapes and rows that are not finite.
double uniformity(const Tensor& x, double t = 2);

}  // namespace sslmeme
