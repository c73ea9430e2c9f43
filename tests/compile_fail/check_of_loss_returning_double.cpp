// must fail with: sslmeme: check_loss() takes no such loss
#include <sslmeme/testing/loss_contract.hpp>

namespace sm = sslmeme;

bool keeps_contract() {
  const auto hinge = [](std::span<const sm::Tensor> x) {
    const auto mean = torch::relu(1 - x[0]).mean();
#ifdef MISTAKE
    return mean.item<double>();
#else
    return mean;
#endif
  };
  return static_cast<bool>(sm::testing::check_loss(hinge, {{.name = "logits", .value = torch::randn({8})}}));
}
