// The safetensors file format: named tensors, no code in the file.
#pragma once

#include <sslmeme/core/files.hpp>
#include <sslmeme/core/tensor.hpp>

#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace sslmeme {

using NamedTensors = std::vector<std::pair<std::string, Tensor>>;

struct Safetensors {
  NamedTensors tensors;                         ///< in the file's order, on the CPU, owning their memory
  std::map<std::string, std::string> metadata;  ///< the "__metadata__" entry
};

/// Reads a safetensors file. Every rule of the format is checked before a tensor is made: header length, JSON, known
/// types, offsets sorted and contiguous without holes, sizes equal to shape × type, no duplicate names. Throws
/// DataError naming the file and what is wrong, IoError when the file cannot be read.
Safetensors read_safetensors(const std::filesystem::path& path);

/// Writes one, whole or not at all. Tensors may live anywhere and have any strides; they are written contiguous. Throws
/// InvalidArgument for a type that the format lacks and for a name used twice, empty or reserved, IoError when the
/// system refuses.
FileDigest write_safetensors(const std::filesystem::path& path, const NamedTensors& tensors,
                             const std::map<std::string, std::string>& metadata = {});

}  // namespace sslmeme
