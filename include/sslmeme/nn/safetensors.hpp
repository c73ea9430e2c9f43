// The safetensors file format: named tensors, no code in the file.
#pragma once

#include <sslmeme/core/files.hpp>
#include <sslmeme/core/tensor.hpp>

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace sslmeme {

using NamedTensors = std::vector<std::pair<std::string, Tensor>>;

struct Safetensors {
  NamedTensors tensors;                         ///< in the header's order, on the CPU, owning their memory
  std::map<std::string, std::string> metadata;  ///< the "__metadata__" entry
};

/// Reads a safetensors file into memory. Every rule of the format is checked before a tensor is made: a header of at
/// most 100,000,000 bytes that is JSON in UTF-8, known types, offsets contiguous from 0 to the end of the file, sizes
/// equal to shape × type, no duplicate names; and our own: at most 100,000 tensors, of at most 8 dimensions, with names
/// of at most 1024 bytes. Throws DataError naming the file and what is wrong, IoError when the file cannot be read.
/// Types: F64 F32 F16 BF16 F8_E4M3 F8_E5M2, I64 to I8, U64 to U8, BOOL.
Safetensors read_safetensors(const std::filesystem::path& path);

/// What the header says of one tensor.
struct SafetensorsEntry {
  std::string name;
  torch::ScalarType type = torch::kFloat;
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0;  ///< where its bytes begin and end, counted from the end of the header
  std::uint64_t end = 0;
};

/// A safetensors file in virtual memory: opening reads the header alone, and a tensor's bytes come from the disk when
/// they are first touched, so one tensor of a large file, or a file on its way to another device, costs no second copy.
///
///     const sm::SafetensorsFile file{"model.safetensors"};
///     for (const auto& entry : file.entries()) fmt::print("{} {}\n", entry.name, fmt::join(entry.shape, "×"));
///     const auto positions = file.tensor("pos_embed");
///
/// The mapping is private: what is written into a tensor stays in this process and never reaches the file. It lives as
/// long as a tensor of it. While it does, the file must not become shorter, which the system answers with SIGBUS, and
/// must not be written over in place: replace a file by renaming, as write_safetensors() does, and the mapping keeps
/// the old one. read_safetensors() has no such condition. Copies of this object share the mapping.
class SafetensorsFile {
 public:
  /// Checks what read_safetensors() checks, and throws the same.
  explicit SafetensorsFile(const std::filesystem::path& path);

  const std::vector<SafetensorsEntry>& entries() const;  ///< in the header's order
  const std::map<std::string, std::string>& metadata() const;
  bool contains(const std::string& name) const;

  /// The tensor `name` in the mapping; a copy in memory of its own where the file does not align it to its element's
  /// size. Throws InvalidArgument, with the nearest names, for one that is not there.
  Tensor tensor(const std::string& name) const;
  /// All of them, in the header's order.
  NamedTensors tensors() const;

 private:
  struct State;
  std::shared_ptr<const State> state_;
};

/// Writes one, whole or not at all. Tensors may live anywhere and have any strides; they are written contiguous, wide
/// types first so that every tensor is aligned, and named in the order they are given. Throws InvalidArgument for what
/// read_safetensors() would not take back: a type that the format lacks, a tensor without values (undefined, sparse,
/// meta), a name used twice, empty, reserved or too long, text that is not UTF-8; IoError when the system refuses.
FileDigest write_safetensors(const std::filesystem::path& path, const NamedTensors& tensors,
                             const std::map<std::string, std::string>& metadata = {});

}  // namespace sslmeme
