// The collapse monitor: are the learned features still spread out, or has every picture become the same vector?
#pragma once

#include <sslmeme/core/tensor.hpp>

#include <string>
#include <utility>
#include <vector>

namespace sslmeme {

/// How healthy the features of one node are.
struct FeatureHealth {
  std::string name;
  double deviation = 0;       ///< mean over dimensions of the standard deviation of z/‖z‖, times √d: near 1 spread, 0
                              ///< collapsed (Chen & He 2020, arXiv:2011.10566, section 4.1)
  double effective_rank = 0;  ///< exp of the entropy of the normalised singular values of the centred z/‖z‖, in [1,
                              ///< min(N, d)] (Roy & Vetterli 2007); 0 when there is no variation at all
  std::string warning = {};   ///< empty while healthy
};

/// z: (N, d) float, N ≥ 2.
FeatureHealth measure_features(const std::string& name, const Tensor& z);

/// DINO's two failures, seen in the entropy of what the teacher says (Caron et al. 2021, arXiv:2104.14294, section
/// 5.3): ln K, it says nothing, and 0, it says one thing always. parts: of the loss, among them
/// "teacher_entropy_share", the entropy over ln K, where a method has it; the warning goes to the features called
/// "teacher" unless they have one. done: share of the run's steps that are done. Nothing is warned of in the first
/// fifth, where a teacher knows nothing yet.
void judge_teacher(std::vector<FeatureHealth>& health, const std::vector<std::pair<std::string, double>>& parts,
                   double done);

}  // namespace sslmeme
