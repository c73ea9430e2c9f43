// What every figure about given features asks of them.
#pragma once

#include <sslmeme/core/error.hpp>
#include <sslmeme/core/tensor.hpp>

#include <fmt/format.h>

namespace sslmeme::detail {

/// Throws InvalidArgument naming the first row of x, (N, D), that is not finite; `what` names x.
inline void require_finite_rows(const Tensor& x, const char* what) {
  const auto finite = torch::isfinite(x.detach()).all(1);
  if (finite.all().item<bool>()) return;
  throw InvalidArgument(fmt::format("row {} of {} is not finite; leave it out or mend what made it",
                                    finite.logical_not().nonzero()[0][0].item<std::int64_t>(), what));
}

}  // namespace sslmeme::detail
