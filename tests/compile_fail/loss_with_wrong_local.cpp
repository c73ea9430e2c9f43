// must fail with: sslmeme: the loss's local() has the wrong signature
#include <sslmeme/testing/loss_contract.hpp>

namespace sm = sslmeme;

struct Distance {
  sm::Tensor operator()(const sm::Tensor& z_a, const sm::Tensor& z_b) const { return (z_a - z_b).pow(2).mean(); }
#ifdef MISTAKE
  sm::Tensor local(const sm::LocalPairs& pairs) { return (*this)(pairs.all_a, pairs.all_b); }
#else
  sm::Tensor local(const sm::LocalPairs& pairs) const { return (*this)(pairs.all_a, pairs.all_b); }
#endif
};

bool keeps_contract() {
  return static_cast<bool>(sm::testing::check_pair_loss(Distance{}));
}
