// must fail with: sslmeme: the loss's update() has the wrong signature
#include <sslmeme/testing/loss_contract.hpp>

namespace sm = sslmeme;

struct Distance {
  sm::Tensor operator()(const sm::Tensor& z_a, const sm::Tensor& z_b) const { return (z_a - z_b).pow(2).mean(); }
#ifdef MISTAKE
  void update(int step) { steps = step; }
  int steps = 0;
#else
  void update(const sm::StepContext& context) { steps = context.step; }
  std::int64_t steps = 0;
#endif
};

bool keeps_contract() {
  return static_cast<bool>(sm::testing::check_pair_loss(Distance{}));
}
