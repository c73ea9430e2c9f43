// must fail with: sslmeme: this is no PairLoss: it must be callable as `loss(z_a, z_b) const`
#include <sslmeme/testing/loss_contract.hpp>

namespace sm = sslmeme;

struct Distance {
#ifdef MISTAKE
  sm::Tensor operator()(const sm::Tensor& z_a, const sm::Tensor& z_b) { return (z_a - z_b).pow(2).mean(); }
#else
  sm::Tensor operator()(const sm::Tensor& z_a, const sm::Tensor& z_b) const { return (z_a - z_b).pow(2).mean(); }
#endif
};

bool keeps_contract() {
  return static_cast<bool>(sm::testing::check_pair_loss(Distance{}));
}
