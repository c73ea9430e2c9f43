// Manifests of comma- and tab-separated values.
#include "fuzz/manifest_target.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sslmeme;
  static const fuzz::ManifestFolder folder;
  const auto content = fuzz::text_of(data, size);
  folder.read("train.csv", content, {.limits = fuzz::limits});
  return folder.read(
      "train.tsv", content,
      {.labels = {{"hateful", 1}, {"benign", 0}}, .duplicates = DuplicateIds::keep_first, .limits = fuzz::limits});
}
