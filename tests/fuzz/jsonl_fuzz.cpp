// Manifests of JSON lines.
#include "fuzz/manifest_target.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const sslmeme::fuzz::ManifestFolder folder;
  return folder.read("train.jsonl", sslmeme::fuzz::text_of(data, size), {.limits = sslmeme::fuzz::limits});
}
