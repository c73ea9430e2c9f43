// Damaged pictures by the thousand: each is a picture or a PictureError, never a crash, never another exception. Build
// with -fsanitize=address,undefined to see reads beyond the end.
#include "data/decoders.hpp"

#include <sslmeme/core/error.hpp>
#include <sslmeme/core/random.hpp>
#include <sslmeme/data/image_io.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <zlib.h>

#include "files.hpp"

namespace sslmeme {
namespace {

namespace fs = std::filesystem;

using Bytes = std::vector<std::byte>;

const DecodeLimits small{.max_pixels = 1 << 20, .max_memory = 64 << 20};  // a large size claimed costs no time

/// Files beside which there is an expected one, and orientations.
std::map<std::string, Bytes> seeds() {
  std::map<std::string, Bytes> all;
  for (const auto& entry : fs::directory_iterator{fs::path{SSLMEME_TEST_DATA} / "pictures"}) {
    const auto name = entry.path().filename().string();
    if (name.ends_with(".expected.png") || name.ends_with("VERSIONS")) continue;
    const auto text = test::bytes_of(entry.path());
    const auto bytes = std::as_bytes(std::span{text});
    all[name] = {bytes.begin(), bytes.end()};
  }
  return all;
}

/// A few bytes changed, mostly near the start where headers are, or some removed, doubled or cut off.
Bytes mutated(Bytes bytes, Rng& rng) {
  const auto place = [&] {
    const auto n = bytes.size();
    return rng.below(rng.below(3) == 0 ? n : std::min<std::size_t>(n, 160));
  };
  const auto changes = 1 + rng.below(4);
  for (std::uint64_t i = 0; i < changes && bytes.size() > 20; ++i) {
    const auto at = place();
    const auto iterator = bytes.begin() + static_cast<std::ptrdiff_t>(at);
    constexpr std::array<int, 8> telling{0, 1, 2, 0x7F, 0x80, 0xFE, 0xFF, 0x10};
    switch (rng.below(6)) {
      case 0:
        *iterator ^= static_cast<std::byte>(1 << rng.below(8));
        break;
      case 1:
        *iterator = static_cast<std::byte>(rng.below(256));
        break;
      case 2:
        *iterator = static_cast<std::byte>(telling[rng.below(telling.size())]);
        break;
      case 3:
        bytes.resize(std::max<std::size_t>(1, at));
        break;
      case 4:
        bytes.erase(iterator, iterator + static_cast<std::ptrdiff_t>(rng.below(bytes.size() - at)));
        break;
      default: {
        const auto n = std::min<std::size_t>(bytes.size() - at, 1 + rng.below(40));
        const Bytes piece(iterator, iterator + static_cast<std::ptrdiff_t>(n));
        bytes.insert(iterator, piece.begin(), piece.end());
      }
    }
  }
  return bytes;
}

/// The CRCs of a PNG's chunks put right, so that what they guard is reached.
void mend_png(Bytes& bytes) {
  auto* data = reinterpret_cast<unsigned char*>(bytes.data());
  for (std::size_t at = 8; at + 12 <= bytes.size();) {
    const std::size_t length =
        std::size_t{data[at]} << 24 | std::size_t{data[at + 1]} << 16 | std::size_t{data[at + 2]} << 8 | data[at + 3];
    if (length > bytes.size() - at - 12) return;
    const auto crc = crc32(0, data + at + 4, static_cast<unsigned>(length + 4));
    for (std::size_t i = 0; i < 4; ++i) data[at + 8 + length + i] = static_cast<unsigned char>(crc >> (24 - 8 * i));
    at += 12 + length;
  }
}

/// Whether it is a picture; copied to its exact size, so that a sanitizer sees a read beyond it.
template <class Decode>
std::optional<Image> decoded(const Bytes& mutant, Decode decode) {
  const Bytes exact(mutant.begin(), mutant.end());
  try {
    auto image = decode(std::span{exact});
    if (image)
      CHECK(image->pixels.size() ==
            static_cast<std::size_t>(image->width) * static_cast<std::size_t>(image->height) * 3);
    return image;
  } catch (const PictureError&) {
    return std::nullopt;
  }
}

}  // namespace

TEST_CASE("A mutated picture of any kind is a picture or a PictureError") {
  std::map<std::string, std::array<int, 2>> outcomes;
  for (const auto& [name, bytes] : seeds()) {
    CAPTURE(name);
    const auto format = fs::path{name}.extension().string();
    for (std::uint64_t i = 0; i < 300; ++i) {
      Rng rng{derive_seed({i, bytes.size()})};
      auto mutant = mutated(bytes, rng);
      if (format == ".png" && i % 4 != 0) mend_png(mutant);
      CAPTURE(i);
      const auto image = decoded(mutant, [](auto view) { return std::optional{decode_image(view, small)}; });
      ++outcomes[format][image ? 1 : 0];
    }
  }
  // Both happen, so the test reaches past the first bytes.
  for (const auto& [format, counts] : outcomes) {
    CAPTURE(format, counts[0], counts[1]);
    CHECK(counts[0] > 50);
    if (format != ".webp" || detail::has_webp()) CHECK(counts[1] > 20);
  }
}

TEST_CASE("Where the fast way of PNG gives a picture, libpng gives the same") {
  constexpr std::array<std::string_view, 20> kinds{"gAMA", "cHRM", "sRGB", "iCCP", "sBIT", "bKGD", "pHYs",
                                                   "tIME", "tEXt", "zTXt", "iTXt", "tRNS", "PLTE", "eXIf",
                                                   "hIST", "sPLT", "IDAT", "abCd", "ABcd", "IEND"};
  int same = 0;
  for (const std::string name : {"rgb.png", "grey.png", "rgba.png", "grey.png.expected.png"}) {
    CAPTURE(name);
    const auto text = test::bytes_of(fs::path{SSLMEME_TEST_DATA} / "pictures" / name);
    const auto seed = std::as_bytes(std::span{text});
    for (std::uint64_t i = 0; i < 1000; ++i) {
      Rng rng{derive_seed({i, 7})};
      Bytes mutant(seed.begin(), seed.end());
      if (i % 2 == 0) {
        mutant = mutated(std::move(mutant), rng);
      } else {                                                                         // a chunk more, of any content
        const auto border = rng.below(2) == 0 ? std::size_t{33} : mutant.size() - 12;  // behind IHDR, before IEND
        Bytes chunk(12 + rng.below(40));
        chunk[3] = static_cast<std::byte>(chunk.size() - 12);
        for (std::size_t b = 8; b < chunk.size(); ++b) chunk[b] = static_cast<std::byte>(rng.below(256));
        std::memcpy(chunk.data() + 4, kinds[rng.below(kinds.size())].data(), 4);
        for (std::uint64_t copies = 1 + rng.below(2); copies > 0; --copies)
          mutant.insert(mutant.begin() + static_cast<std::ptrdiff_t>(border), chunk.begin(), chunk.end());
      }
      if (mutant.size() < 8) continue;
      std::copy_n(seed.begin(), 8, mutant.begin());
      if (i % 8 != 0) mend_png(mutant);
      CAPTURE(i);
      const auto fast = decoded(mutant, [](auto view) { return detail::decode_plain_png(view, small); });
      if (!fast) continue;
      const auto slow = decoded(mutant, [](auto view) { return std::optional{detail::decode_any_png(view, small)}; });
      REQUIRE(slow);
      CHECK(*fast == *slow);
      ++same;
    }
  }
  const auto text = test::bytes_of(fs::path{SSLMEME_TEST_DATA} / "pictures" / "rgb.png");
  if (detail::decode_plain_png(std::as_bytes(std::span{text}), small)) CHECK(same > 500);
}

}  // namespace sslmeme
