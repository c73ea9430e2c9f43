// must fail 8 times with: sslmeme: this is no PairLoss: it must return a 0-d sslmeme::Tensor
#include <sslmeme/loss/compose.hpp>
#include <sslmeme/loss/cosine.hpp>

namespace sm = sslmeme;
using sm::operator+, sm::operator*;

#ifdef MISTAKE
using Result = double;
Result result(const sm::Tensor& value) {
  return value.item<double>();
}
#else
using Result = sm::Tensor;
Result result(const sm::Tensor& value) {
  return value;
}
#endif

/// Each way to misuse it has its own, since the compiler states once what is wrong with a type.
template <int way>
struct Distance {
  Result operator()(const sm::Tensor& z_a, const sm::Tensor& z_b) const { return result((z_a - z_b).pow(2).mean()); }
};

/// With several call operators.
template <int way>
struct Overloaded {
  sm::Tensor operator()(const sm::Tensor& z) const { return z.pow(2).mean(); }
  Result operator()(const sm::Tensor& z_a, const sm::Tensor& z_b) const { return result((*this)(z_a - z_b)); }
};

std::vector<sm::AnyPairLoss> sums() {
  return {Distance<0>{} + sm::CosineLoss{},
          Distance<1>{} + Distance<2>{},
          Distance<3>{} * 0.1,
          sm::LinearWeight{} * Distance<4>{},
          sm::LossWeight{0.5} * Distance<5>{},
          sm::CosineLoss{} + Overloaded<0>{},
          0.1 * Overloaded<1>{}};
}
