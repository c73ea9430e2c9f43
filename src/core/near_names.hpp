// "did you mean": the known names nearest to one that is unknown.
#pragma once

#include <string>
#include <vector>

namespace sslmeme::detail {

/// Up to three of `known`, nearest first by edit distance, as "a, b, c"; falls back to listing all when none is near.
std::string near_names(const std::string& name, const std::vector<std::string>& known);

}  // namespace sslmeme::detail
