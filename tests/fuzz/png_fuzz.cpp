// PNG pictures, as they are and with checksums that fit, which mutations never leave.
#include <sslmeme/core/files.hpp>

#include "fuzz/target.hpp"

namespace {

std::uint32_t big_endian(std::string_view bytes) {
  std::uint32_t value = 0;
  for (const char c : bytes.substr(0, 4)) value = value << 8U | static_cast<unsigned char>(c);
  return value;
}

/// Each chunk: length, kind, content, checksum of kind and content.
void repair_checksums(std::string& bytes) {
  for (std::size_t at = 8; at + 12 <= bytes.size();) {
    const std::size_t length = big_endian(std::string_view{bytes}.substr(at));
    if (length > bytes.size() - at - 12) return;
    const auto covered = std::string_view{bytes}.substr(at + 4, length + 4);
    const auto sum = sslmeme::digest_of(std::as_bytes(std::span{covered})).crc32;
    for (std::size_t i = 0; i < 4; ++i) bytes[at + 8 + length + i] = static_cast<char>(sum >> (24 - 8 * i));
    at += length + 12;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto bytes = sslmeme::fuzz::text_of(data, size);
  sslmeme::fuzz::overwrite(bytes, 0, "\x89PNG\r\n\x1A\n");
  sslmeme::fuzz::decode(bytes);
  repair_checksums(bytes);
  return sslmeme::fuzz::decode(bytes);
}
