// Embeddings as points in the plane, to look at: PCA and t-SNE.
#pragma once

#include <sslmeme/core/tensor.hpp>

#include <cstdint>

namespace sslmeme {

struct PcaMap {
  Tensor points;     ///< f64 (N, 2): centred features · axesᵀ
  Tensor axes;       ///< f64 (2, D), orthonormal; the component of largest magnitude is positive
  Tensor explained;  ///< f64 (2), the part of the variance along each axis, in [0, 1]; 0 when there is no variance
};

/// The two directions of most variance (principal component analysis), from the covariance's eigenvectors. features:
/// (N, D) float, N ≥ 2 and D ≥ 2. O(N D² + D³). Throws InvalidArgument for other shapes and rows that are not finite.
PcaMap pca_map(const Tensor& features);

struct TsneOptions {
  double perplexity = 30;          ///< about how many neighbours count; at least 1 and less than N − 1
  std::int64_t iterations = 1000;  ///< at least 250, the first of which are exaggerated
  double learning_rate = 0;        ///< 0: max(N / 48, 50), as scikit-learn's "auto"
};

struct TsneMap {
  Tensor points;  ///< f64 (N, 2)
  double kl = 0;  ///< KL(P ‖ Q) of neighbourhoods in space and in the plane, in nats, 0 best
};

/// Points whose neighbours are those of the features, by exact t-SNE (van der Maaten & Hinton 2008): minimises
///   Σ pᵢⱼ log(pᵢⱼ / qᵢⱼ), pᵢⱼ = (p(j|i) + p(i|j)) / 2N, qᵢⱼ ∝ 1 / (1 + ‖yᵢ − yⱼ‖²),
/// with p(j|i) Gaussian of the given perplexity (its log to 1e-5), by gradient descent with gains, from PCA scaled to a
/// deviation of 1e-4, 250 iterations with P times 12 and momentum 0.5, then 0.8: scikit-learn's TSNE(method = "exact",
/// init = "pca"), whose early stop it has not. Deterministic. Distances between clusters, their sizes and densities
/// mean nothing. features: (N, D) float, 4 ≤ N ≤ 5000, D ≥ 2. O(N²) an iteration, memory 16 N² bytes. Throws
/// InvalidArgument for options out of range, other shapes, rows that are not finite or all the same.
TsneMap tsne_map(const Tensor& features, const TsneOptions& options = {});

}  // namespace sslmeme
