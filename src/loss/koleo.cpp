#include <sslmeme/loss/koleo.hpp>

#include <sslmeme/core/error.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace sslmeme {
namespace {

constexpr std::int64_t slice_rows = 1024;

/// For each row of x the position of another with the largest cosine.
Tensor nearest_neighbours(const Tensor& x) {
  const torch::NoGradGuard no_grad;
  const auto n = x.size(0);
  auto nearest = torch::empty({n}, x.options().dtype(torch::kLong));
  for (std::int64_t first = 0; first < n; first += slice_rows) {
    const auto rows = std::min(slice_rows, n - first);
    auto cosines = torch::matmul(x.narrow(0, first, rows), x.t());
    cosines.diagonal(first).fill_(-2);
    nearest.narrow(0, first, rows).copy_(cosines.argmax(1));
  }
  return nearest;
}

}  // namespace

Tensor koleo(const Tensor& z, double epsilon) {
  if (!z.defined() || z.dim() != 2 || !z.is_floating_point())
    throw InvalidArgument(fmt::format("koleo: z is {}; it must be floating (N, D)", shape_string(z)));
  detail::check_statistics(z, "koleo");
  detail::check_positive(epsilon, "koleo: epsilon");
  const auto x = l2_normalize(z);
  // ε inside the norm keeps its gradient finite at distance 0.
  const auto distance = (x - x.index_select(0, nearest_neighbours(x)) + epsilon).norm(2, 1);
  return -(distance + epsilon).log().mean();
}

}  // namespace sslmeme
