// must fail with: sslmeme: the loss's module() has the wrong signature
#include <sslmeme/testing/loss_contract.hpp>

#include <torch/nn/modules/linear.h>

namespace sm = sslmeme;

struct Distance {
  sm::Tensor operator()(const sm::Tensor& z_a, const sm::Tensor& z_b) const { return (z_a - z_b).pow(2).mean(); }
#ifdef MISTAKE
  torch::nn::Linear layer{2, 2};
  torch::nn::Linear module() const { return layer; }
#else
  torch::nn::Linear layer{2, 2};
  std::shared_ptr<torch::nn::Module> module() const { return layer.ptr(); }
#endif
};

bool keeps_contract() {
  return static_cast<bool>(sm::testing::check_pair_loss(Distance{}));
}
