// JSON of tests: files that hold a document, and files that hold one a line.
#pragma once

#include <nlohmann/json.hpp>

#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include "files.hpp"

namespace sslmeme::test {

inline nlohmann::json json_of(const std::filesystem::path& path) {
  return nlohmann::json::parse(bytes_of(path));
}

inline std::vector<nlohmann::json> json_lines_of(const std::filesystem::path& path) {
  std::vector<nlohmann::json> lines;
  std::istringstream file{bytes_of(path)};
  for (std::string line; std::getline(file, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

/// The log of a run without what tells of time and memory.
inline std::vector<nlohmann::json> timeless_log_of(const std::filesystem::path& run) {
  auto log = json_lines_of(run / "log.jsonl");
  for (auto& line : log) {
    for (const auto* key : {"samples_per_second", "data_wait_share", "resident_mb"}) line.erase(key);
  }
  return log;
}

}  // namespace sslmeme::test
