// How far the reading of a dataset is: a bar on a terminal, nothing elsewhere.
#pragma once

#include <cstddef>
#include <functional>

namespace examples {

/// A progress callback for InspectOptions: share, rate and time left, drawn over itself ten times a second.
std::function<void(std::size_t done, std::size_t total)> reading_bar();

}  // namespace examples
