// The collapse monitor: are the learned features still spread out, or has every picture become the same vector?
#pragma once

#include <sslmeme/core/tensor.hpp>

#include <string>

namespace sslmeme {

/// How healthy the features of one node are.
struct FeatureHealth {
  std::string name;
  double deviation = 0;       ///< mean over dimensions of the standard deviation of z/‖z‖, times √d: near 1 spread, 0
                              ///< collapsed (Chen & He 2020, arXiv:2011.10566, section 4.1)
  double effective_rank = 0;  ///< exp of the entropy of the normalised singular values of the centred z/‖z‖, in [1,
                              ///< min(N, d)] (Roy & Vetterli 2007); 0 when there is no variation at all
  std::string warning;        ///< empty while healthy
};

/// z: (N, d) float, N ≥ 2.
FeatureHealth measure_features(const std::string& name, const Tensor& z);

}  // namespace sslmeme
