#include "core/near_names.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

namespace sslmeme::detail {
namespace {

std::size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    auto diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const auto replace = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = std::exchange(row[j], std::min({replace, row[j] + 1, row[j - 1] + 1}));
    }
  }
  return row.back();
}

}  // namespace

std::string near_names(const std::string& name, const std::vector<std::string>& known) {
  std::vector<std::pair<std::size_t, std::string>> ranked;
  for (const auto& candidate : known) {
    const auto distance = edit_distance(name, candidate);
    const bool shares_start =
        !name.empty() && candidate.starts_with(name.substr(0, std::min<std::size_t>(4, name.size())));
    if (distance * 2 <= std::max(name.size(), candidate.size()) || shares_start)
      ranked.emplace_back(distance, candidate);
  }
  std::sort(ranked.begin(), ranked.end());
  if (ranked.size() > 3) ranked.resize(3);
  if (ranked.empty()) {
    for (const auto& candidate : known) ranked.emplace_back(0, candidate);
  }
  std::string text;
  for (const auto& [distance, candidate] : ranked) text += (text.empty() ? "" : ", ") + candidate;
  return text;
}

}  // namespace sslmeme::detail
