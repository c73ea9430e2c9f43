// What every figure about given features asks of them.
#pragma once

#include <sslmeme/core/error.hpp>
#include <sslmeme/core/tensor.hpp>

#include <fmt/format.h>

#include <cstdint>
#include <optional>

namespace sslmeme::detail {

/// The first row of x, (N, D), that is not finite.
inline std::optional<std::int64_t> first_row_not_finite(const Tensor& x) {
  const auto finite = torch::isfinite(x.detach()).all(1);
  if (finite.all().item<bool>()) return {};
  return finite.logical_not().nonzero()[0][0].item<std::int64_t>();
}

/// Throws InvalidArgument naming the first row of x, (N, D), that is not finite; `what` names x.
inline void require_finite_rows(const Tensor& x, const char* what) {
  if (const auto row = first_row_not_finite(x))
    throw InvalidArgument(fmt::format("row {} of {} is not finite; leave it out or mend what made it", *row, what));
}

}  // namespace sslmeme::detail
