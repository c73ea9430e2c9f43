// Tar archives of tests, byte by byte, so that bad ones can be made too.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <numeric>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "json_files.hpp"

namespace sslmeme::test {

/// The bytes of a member whose header, the first 512, gets its checksum.
inline std::string checked(std::string bytes) {
  bytes.replace(148, 8, 8, ' ');
  const auto sum = std::accumulate(bytes.begin(), bytes.begin() + 512, 0U,
                                   [](unsigned total, char c) { return total + static_cast<unsigned char>(c); });
  char digits[8];
  std::snprintf(digits, sizeof digits, "%06o", sum);
  return bytes.replace(148, 7, digits, 7);
}

/// A member: its ustar header and its content, filled up to whole blocks. name: at most 100 bytes.
inline std::string member(const std::string& name, std::string_view content, char kind = '0') {
  std::string bytes(512, '\0');
  bytes.replace(0, name.size(), name);
  bytes.replace(100, 7, "0000644");
  char digits[12];
  std::snprintf(digits, sizeof digits, "%011zo", content.size());
  bytes.replace(124, 11, digits);
  bytes.replace(136, 11, "00000000000");
  bytes[156] = kind;
  bytes.replace(257, 8,
                std::string{"ustar\0"
                            "00",
                            8});
  bytes += content;
  bytes.resize((bytes.size() + 511) / 512 * 512);
  return checked(bytes);
}

/// An archive of such members.
inline std::string tar(const std::string& members) {
  return members + std::string(1024, '\0');
}

/// "LENGTH KEY=VALUE\n", where the length counts itself.
inline std::string pax_record(const std::string& key, const std::string& value) {
  const auto rest = " " + key + "=" + value + "\n";
  auto length = rest.size() + 1;
  while (std::to_string(length).size() + rest.size() != length) ++length;
  return std::to_string(length) + rest;
}

struct GoldenSample {
  std::string key, text;
  std::optional<std::int64_t> label;
  std::size_t picture_bytes = 0;
};

/// What scripts/golden/tar_shards.py expects of an archive.
inline std::vector<GoldenSample> golden_samples(const std::filesystem::path& path, const std::string& format) {
  std::vector<GoldenSample> samples;
  const auto all = json_of(path);
  for (const auto& value : all.at(format)) {
    GoldenSample sample{value.at("key"), value.at("text"), {}, value.at("picture_bytes")};
    if (!value.at("label").is_null()) sample.label = value.at("label").get<std::int64_t>();
    samples.push_back(std::move(sample));
  }
  return samples;
}

}  // namespace sslmeme::test
