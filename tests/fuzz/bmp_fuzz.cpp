// BMP pictures.
#include "fuzz/target.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto bytes = sslmeme::fuzz::text_of(data, size);
  bytes.replace(0, 2, "BM");
  return sslmeme::fuzz::decode(bytes);
}
