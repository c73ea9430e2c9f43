// What intervals and bands by resampling share.
#pragma once

#include <sslmeme/core/error.hpp>
#include <sslmeme/eval/metrics.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <string_view>

namespace sslmeme::detail {

/// Throws InvalidArgument for resamples and a level that cannot be; `name` is that of the options.
template <class Options>
void check_resampling(const Options& options, std::string_view name) {
  if (options.resamples < 2)
    throw InvalidArgument{fmt::format("{}::resamples is {}; give at least 2", name, options.resamples)};
  if (!(options.level > 0 && options.level < 1)) {
    throw InvalidArgument{
        fmt::format("{}::level is {}; give a number between 0 and 1, such as 0.95", name, options.level)};
  }
}

/// The middle `level` of what draws gave, linear between neighbours. Sorts them.
inline Interval percentiles(std::span<double> draws, double level) {
  std::ranges::sort(draws);
  const auto quantile = [draws](double q) {
    const double at = q * static_cast<double>(draws.size() - 1);
    const auto below = static_cast<std::size_t>(at), above = std::min(below + 1, draws.size() - 1);
    return std::lerp(draws[below], draws[above], at - static_cast<double>(below));
  };
  const double tail = (1 - level) / 2;
  return {quantile(tail), quantile(1 - tail)};
}

}  // namespace sslmeme::detail
