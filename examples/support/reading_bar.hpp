// How far the reading of a dataset is: a bar on a terminal, nothing elsewhere.
#pragma once

#include <cstddef>
#include <functional>
#include <string>

namespace examples {

/// A progress callback, as InspectOptions has it: share, rate and time left, drawn over itself ten times a second.
/// verb: what is done, shown before the bar; unit: of what. The rate is that since the first call.
std::function<void(std::size_t done, std::size_t total)> reading_bar(const std::string& verb = "reading",
                                                                     const std::string& unit = "img");

}  // namespace examples
