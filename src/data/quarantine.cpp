#include <sslmeme/data/quarantine.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace sslmeme {

std::vector<std::pair<std::string, std::int64_t>> Quarantine::counts() const {
  std::vector<std::pair<std::string, std::int64_t>> all;
  const auto add = [&](const std::string& name, std::optional<PictureFault> fault) {
    const auto n = std::ranges::count(samples, fault, &UnreadableSample::fault);
    if (n > 0) all.emplace_back(name, n);
  };
  using enum PictureFault;
  for (const auto fault : {unknown_format, too_large, truncated, corrupt, missing})
    add(std::string{name_of(fault)}, fault);
  add("other", std::nullopt);
  return all;
}

std::string quarantine_file(std::int64_t rank) {
  return rank == 0 ? "quarantine.jsonl" : fmt::format("quarantine.rank-{}.jsonl", rank);
}

}  // namespace sslmeme
