// must fail with: sslmeme: this is no PairLoss: it must be callable as `loss(z_a, z_b) const`
#include <sslmeme/method/modality_graph.hpp>

namespace sm = sslmeme;

struct Length {
#ifdef MISTAKE
  sm::Tensor operator()(const sm::Tensor& z) const { return z.pow(2).mean(); }
#else
  sm::Tensor operator()(const sm::Tensor& z_a, const sm::Tensor& z_b) const { return (z_a * z_b).mean(); }
#endif
};

sm::EdgeSpec edge() {
  return sm::edge("image", "text", Length{});
}
