// must fail with: sslmeme: this is no PairLoss: it must return a 0-d sslmeme::Tensor
#include <sslmeme/loss/compose.hpp>

namespace sm = sslmeme;
using sm::operator*;

struct Distance {
#ifdef MISTAKE
  double operator()(const sm::Tensor& z_a, const sm::Tensor& z_b) const {
    return (z_a - z_b).pow(2).mean().item<double>();
  }
#else
  sm::Tensor operator()(const sm::Tensor& z_a, const sm::Tensor& z_b) const { return (z_a - z_b).pow(2).mean(); }
#endif
};

sm::AnyPairLoss weighted() {
  return 0.1 * Distance{};
}
