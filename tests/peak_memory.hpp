// How far the memory of this process grows while something runs.
#pragma once

#include <cstdint>
#include <fstream>
#include <string>

namespace sslmeme::test {

/// A line of /proc/self/status in KiB, like "VmRSS:"; 0 where there is none.
inline std::int64_t kibibytes(const std::string& name) {
  std::ifstream file{"/proc/self/status"};
  for (std::string word; file >> word;) {
    std::int64_t value = 0;
    if (word == name && file >> value) return value;
  }
  return 0;
}

/// By how many KiB the resident memory was higher while `body` ran than before, at its peak.
template <class Body>
std::int64_t peak_growth(const Body& body) {
  std::ofstream{"/proc/self/clear_refs"} << 5;  // the peak is that of what comes
  const auto before = kibibytes("VmRSS:");
  body();
  return kibibytes("VmHWM:") - before;
}

}  // namespace sslmeme::test
