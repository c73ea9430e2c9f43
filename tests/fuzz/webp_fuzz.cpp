// WebP pictures, as they are and with a file length that fits, which mutations seldom leave.
#include "fuzz/target.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto bytes = sslmeme::fuzz::text_of(data, size);
  constexpr std::size_t start = 12;  // "RIFF", the length of what follows it, "WEBP"
  bytes.resize(std::max(bytes.size(), start));
  sslmeme::fuzz::overwrite(bytes, 0, "RIFF");
  sslmeme::fuzz::overwrite(bytes, 8, "WEBP");
  sslmeme::fuzz::decode(bytes);
  for (std::size_t i = 0; i < 4; ++i) bytes[4 + i] = static_cast<char>((bytes.size() - 8) >> (8 * i));
  return sslmeme::fuzz::decode(bytes);
}
