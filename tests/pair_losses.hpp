// Every pair loss that is shipped.
#pragma once

#include <sslmeme/loss/any_pair_loss.hpp>
#include <sslmeme/loss/barlow_twins.hpp>
#include <sslmeme/loss/cosine.hpp>
#include <sslmeme/loss/info_nce.hpp>
#include <sslmeme/loss/koleo.hpp>
#include <sslmeme/loss/moco.hpp>
#include <sslmeme/loss/nt_xent.hpp>
#include <sslmeme/loss/predictive.hpp>
#include <sslmeme/loss/sigmoid.hpp>
#include <sslmeme/loss/soft_target_clip.hpp>
#include <sslmeme/loss/vicreg.hpp>

#include <cstdint>
#include <vector>

namespace sslmeme::test {

/// For vectors of `dim` numbers.
inline std::vector<AnyPairLoss> pair_losses(std::int64_t dim) {
  return {CosineLoss{},     MocoLoss{{.queue = 8, .dim = dim}},
          InfoNce{},        NtXent{},
          SigmoidLoss{},    SimSiamLoss{},
          ByolLoss{},       BarlowTwins{},
          SoftTargetClip{}, VicReg{},
          KoLeo{},          MocoV3Loss{}};
}

}  // namespace sslmeme::test
