// Named tensors of a batch in several parts.
#pragma once

#include <sslmeme/loss/concepts.hpp>

#include <vector>

namespace sslmeme::detail {

/// The tensors of all parts by name, the rows of one part after those of another. All parts have the same names.
inline NamedTensors rows_of_all(const std::vector<NamedTensors>& parts) {
  NamedTensors all;
  for (const auto& [name, first] : parts.front()) {
    std::vector<Tensor> rows;
    for (const auto& part : parts) rows.push_back(find_tensor(part, name));
    all.emplace_back(name, torch::cat(rows));
  }
  return all;
}

}  // namespace sslmeme::detail
