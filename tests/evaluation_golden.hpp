// What scripts/golden/evaluation.py wrote.
#pragma once

#include <sslmeme/core/tensor.hpp>

#include <cstdint>
#include <string>
#include <vector>

#include "json_files.hpp"

namespace sslmeme::test {

inline nlohmann::json evaluation_golden(const std::string& part) {
  return json_of(SSLMEME_TEST_DATA "/metrics/evaluation.json").at(part);
}

/// f64 (N, D) of N rows.
inline Tensor matrix(const nlohmann::json& rows) {
  std::vector<Tensor> all;
  for (const auto& row : rows) all.push_back(torch::tensor(row.get<std::vector<double>>(), torch::kDouble));
  return torch::stack(all);
}

/// i64 (N).
inline Tensor integers(const nlohmann::json& values) {
  return torch::tensor(values.get<std::vector<std::int64_t>>(), torch::kLong);
}

}  // namespace sslmeme::test
