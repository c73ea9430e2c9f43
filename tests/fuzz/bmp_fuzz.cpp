// BMP pictures.
#include "fuzz/target.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto bytes = sslmeme::fuzz::text_of(data, size);
  sslmeme::fuzz::overwrite(bytes, 0, "BM");
  return sslmeme::fuzz::decode(bytes);
}
