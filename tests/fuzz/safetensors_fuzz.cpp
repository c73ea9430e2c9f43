// safetensors files.
#include <sslmeme/nn/safetensors.hpp>

#include "fuzz/target.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sslmeme;
  static const fuzz::MemoryFile file;
  const auto path = file.write(fuzz::text_of(data, size));
  return fuzz::expect_errors([&] {
    std::size_t bytes = 0;
    for (const auto& [name, tensor] : read_safetensors(path).tensors) bytes += tensor.nbytes();
    fuzz::require(bytes <= size, "tensors of more bytes than the file");
  });
}
