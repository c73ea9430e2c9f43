// must fail with: sslmeme: the loss's call with PairInfo has the wrong signature
#include <sslmeme/testing/loss_contract.hpp>

namespace sm = sslmeme;

struct Distance {
  sm::Tensor operator()(const sm::Tensor& z_a, const sm::Tensor& z_b) const { return (z_a - z_b).pow(2).mean(); }
#ifdef MISTAKE
  sm::Tensor operator()(const sm::Tensor& z_a, const sm::Tensor& z_b, const sm::PairInfo& /*info*/) {
    return std::as_const(*this)(z_a, z_b);
  }
#else
  sm::Tensor operator()(const sm::Tensor& z_a, const sm::Tensor& z_b, const sm::PairInfo& /*info*/) const {
    return (*this)(z_a, z_b);
  }
#endif
};

bool keeps_contract() {
  return static_cast<bool>(sm::testing::check_pair_loss(Distance{}));
}
