// safetensors files, as they are and with a length that fits their header, which mutations seldom leave; read, mapped
// and written again.
#include <sslmeme/nn/safetensors.hpp>

#include <cstring>

#include "files.hpp"
#include "fuzz/target.hpp"

namespace {

using namespace sslmeme;

void require_same(const Tensor& a, const Tensor& b) {
  fuzz::require(a.sizes() == b.sizes() && a.scalar_type() == b.scalar_type(), "a tensor of another shape or type");
  fuzz::require(a.nbytes() == 0 || std::memcmp(a.data_ptr(), b.data_ptr(), a.nbytes()) == 0, "a tensor of other bytes");
}

void check_written(const Safetensors& content) {
  static const test::TemporaryFolder folder;
  const auto path = folder / "again.safetensors";
  try {
    write_safetensors(path, content.tensors, content.metadata);
  } catch (const InvalidArgument& error) {
    fuzz::require(false, fmt::format("what was read cannot be written: {}", error.what()));
  }
  const auto again = read_safetensors(path);
  fuzz::require(again.metadata == content.metadata, "other metadata when written");
  for (std::size_t i = 0; i < content.tensors.size(); ++i) {
    fuzz::require(again.tensors.at(i).first == content.tensors[i].first, "another name when written");
    require_same(again.tensors[i].second, content.tensors[i].second);
  }
}

void read_all(const std::string& bytes, bool write) {
  static const fuzz::MemoryFile file;
  const auto path = file.write(bytes);
  fuzz::expect_errors([&] {
    const auto content = read_safetensors(path);
    const SafetensorsFile mapped{path};
    fuzz::require(mapped.entries().size() == content.tensors.size() && mapped.metadata() == content.metadata,
                  "a mapped file that is not the one that was read");
    std::size_t total = 0;
    for (const auto& [name, tensor] : content.tensors) {
      total += tensor.nbytes();
      require_same(mapped.tensor(name), tensor);
    }
    fuzz::require(total <= bytes.size(), "tensors of more bytes than the file");
    if (write) check_written(content);
  });
}

/// The length of what stands between the first { and the last } of the first kilobyte.
void repair_length(std::string& bytes) {
  constexpr std::size_t begin = 8;
  if (bytes.size() <= begin) return;
  const auto last = bytes.rfind('}', 1024);
  if (last == std::string::npos || last < begin) return;
  const auto length = last + 1 - begin;
  for (std::size_t i = 0; i < begin; ++i) bytes[i] = static_cast<char>(length >> (8 * i));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto bytes = fuzz::text_of(data, size);
  read_all(bytes, /*write=*/false);
  repair_length(bytes);
  // Writing waits for the disk: one in sixteen.
  read_all(bytes, !bytes.empty() && static_cast<unsigned char>(bytes.back()) % 16 == 0);
  return 0;
}
