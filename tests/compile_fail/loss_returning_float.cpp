// must fail with: sslmeme: this is no PairLoss: it must return a 0-d sslmeme::Tensor (or a LossOutput)
#include <sslmeme/method/siamese.hpp>

namespace sm = sslmeme;

struct Distance {
#ifdef MISTAKE
  float operator()(const sm::Tensor& z_a, const sm::Tensor& z_b) const {
    return (z_a - z_b).pow(2).mean().item<float>();
  }
#else
  sm::Tensor operator()(const sm::Tensor& z_a, const sm::Tensor& z_b) const { return (z_a - z_b).pow(2).mean(); }
#endif
};

sm::Siamese method(sm::ImageEncoder encoder) {
  return {std::move(encoder), sm::projection({.out = 8}), Distance{}};
}
