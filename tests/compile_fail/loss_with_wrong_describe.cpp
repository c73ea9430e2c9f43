// must fail with: sslmeme: the loss's describe() has the wrong signature
#include <sslmeme/testing/loss_contract.hpp>

namespace sm = sslmeme;

struct Distance {
  sm::Tensor operator()(const sm::Tensor& z_a, const sm::Tensor& z_b) const { return (z_a - z_b).pow(2).mean(); }
#ifdef MISTAKE
  double describe() const { return 0.5; }
#else
  std::string describe() const { return R"({"power": 2})"; }
#endif
};

bool keeps_contract() {
  return static_cast<bool>(sm::testing::check_pair_loss(Distance{}));
}
