// The header of a safetensors file: read with every rule checked, and made.
#pragma once

#include <sslmeme/nn/safetensors.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace sslmeme::detail {

inline constexpr std::uint64_t max_header_bytes = 100'000'000;  // the format's own
inline constexpr std::uint64_t max_file_bytes = std::uint64_t{1} << 40U;
inline constexpr std::size_t max_tensors = 100'000;
inline constexpr std::size_t max_name_bytes = 1024;
inline constexpr std::size_t max_rank = 8;

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> entries;
  std::map<std::string, std::string> metadata;
};

/// Throws DataError: `path` is no valid safetensors file for the reason `what`, which may hold the file's own text.
[[noreturn]] void reject_safetensors(const std::filesystem::path& path, std::string_view what);

/// Reads the header `text` of the file `path`, in which `data_bytes` follow. Throws DataError.
SafetensorsHeader parse_safetensors_header(const std::filesystem::path& path, std::string_view text,
                                           std::uint64_t data_bytes);

/// The header of a file of these tensors, padded to a multiple of 8, and the order in which their bytes follow. Throws
/// InvalidArgument for what the reader would refuse.
struct SafetensorsLayout {
  std::string header;
  std::vector<std::size_t> order;
};
SafetensorsLayout lay_out_safetensors(const NamedTensors& tensors, const std::map<std::string, std::string>& metadata);

}  // namespace sslmeme::detail
