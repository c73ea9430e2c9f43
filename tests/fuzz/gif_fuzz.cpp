// GIF pictures, of both versions.
#include "fuzz/target.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto bytes = sslmeme::fuzz::text_of(data, size);
  sslmeme::fuzz::overwrite(bytes, 0, bytes.starts_with("GIF87a") ? "GIF87a" : "GIF89a");
  return sslmeme::fuzz::decode(bytes);
}
