// Tar shards: every sample of an archive, as it is and with checksums that fit, which mutations seldom leave.
#include <sslmeme/data/tar_shards.hpp>

#include "fuzz/target.hpp"

namespace {

using namespace sslmeme;

void read_all(const std::string& bytes, const TarShardOptions& options) {
  static const fuzz::MemoryFile file;
  const auto path = file.write(bytes);
  fuzz::expect_errors([&] {
    const TarShards data{{path}, options};
    fuzz::require(data.size() > 0 && data.shard_sizes() == std::vector{data.size()}, "a shard that does not add up");
    for (std::size_t i = 0; i < std::min<std::size_t>(data.size(), 4); ++i) {
      fuzz::require(data.id(i) >= 0, "a negative id");
      fuzz::check_message(data.source(i));
      fuzz::expect_errors([&] { data.text(i); });
      fuzz::expect_errors([&] { fuzz::require(data.label(i).value_or(0) >= 0, "a negative label"); });
      fuzz::expect_errors([&] { fuzz::require(data.bytes(i).size() <= bytes.size(), "more bytes than the archive"); });
      fuzz::expect_errors([&] { fuzz::check_image(data.get(i).picture); });
    }
  });
}

/// Headers lie at multiples of 512; content that looks like none stays as it is.
void repair_checksums(std::string& bytes) {
  for (std::size_t at = 0; at + 512 <= bytes.size(); at += 512) {
    if (bytes.compare(at + 257, 5, "ustar") != 0) continue;
    unsigned sum = 8 * ' ';
    for (std::size_t i = 0; i < 512; ++i)
      if (i < 148 || i >= 156) sum += static_cast<unsigned char>(bytes[at + i]);
    bytes.replace(at + 148, 8, fmt::format("{:06o}", sum) + std::string{"\0 ", 2});
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto bytes = fuzz::text_of(data, size);
  const TarShardOptions options{.limits = fuzz::limits, .max_members = 1000, .max_text_bytes = 10'000};
  read_all(bytes, options);
  repair_checksums(bytes);
  read_all(bytes, options);
  return 0;
}
