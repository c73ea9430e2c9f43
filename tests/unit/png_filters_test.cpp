// PNG's filters undone on every instruction set of this machine against the definition, and whole PNGs made with each
// filter read both ways.
#include "data/png_filters.hpp"
#include "data/decoders.hpp"

#include <sslmeme/core/random.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cstdlib>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <zlib.h>

#include "instruction_sets.hpp"

namespace sm = sslmeme;

namespace {

using Bytes = std::vector<std::uint8_t>;

Bytes random_bytes(std::size_t n, sm::Rng& rng) {
  Bytes bytes(n);
  for (auto& value : bytes) value = static_cast<std::uint8_t>(rng.below(256));
  return bytes;
}

/// PNG specification, 3rd edition, 9.2, the other way round: what an encoder writes for a row.
Bytes filtered(int filter, std::size_t pixel_bytes, const Bytes& row, const Bytes& above) {
  Bytes out;
  for (std::size_t i = 0; i < row.size(); ++i) {
    const int a = i < pixel_bytes ? 0 : row[i - pixel_bytes], b = above[i],
              c = i < pixel_bytes ? 0 : above[i - pixel_bytes];
    const int p = a + b - c, pa = std::abs(p - a), pb = std::abs(p - b), pc = std::abs(p - c);
    const int paeth = pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
    const int guesses[]{0, a, b, (a + b) / 2, paeth};
    out.push_back(static_cast<std::uint8_t>(row[i] - guesses[filter]));
  }
  return out;
}

void append(Bytes& png, std::uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) png.push_back(static_cast<std::uint8_t>(value >> shift));
}

void append_chunk(Bytes& png, std::string_view kind, std::span<const std::uint8_t> data) {
  append(png, static_cast<std::uint32_t>(data.size()));
  Bytes guarded(kind.begin(), kind.end());
  guarded.insert(guarded.end(), data.begin(), data.end());
  png.insert(png.end(), guarded.begin(), guarded.end());
  append(png, static_cast<std::uint32_t>(crc32(0, guarded.data(), static_cast<unsigned>(guarded.size()))));
}

struct Png {
  std::uint32_t width = 9, height = 12;
  std::uint8_t colour_type = 2;
  std::size_t channels = 3;
  std::size_t pieces = 1;  ///< IDAT chunks
  int window_bits = 15;
  Bytes tail{};                 ///< behind the zlib stream
  std::uint8_t bad_filter = 0;  ///< of the last row, if not 0

  Bytes bytes(sm::Rng& rng) const {
    Bytes raw, above(width * channels);
    for (std::uint32_t y = 0; y < height; ++y) {
      const auto row = random_bytes(width * channels, rng);
      const int filter = static_cast<int>((y + 3) % 5);
      raw.push_back(bad_filter != 0 && y + 1 == height ? bad_filter : static_cast<std::uint8_t>(filter));
      const auto some = filtered(filter, channels, row, above);
      raw.insert(raw.end(), some.begin(), some.end());
      above = row;
    }
    Bytes packed(compressBound(raw.size()) + 64);
    z_stream stream{};
    REQUIRE(deflateInit2(&stream, 6, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    stream.next_in = raw.data();
    stream.avail_in = static_cast<unsigned>(raw.size());
    stream.next_out = packed.data();
    stream.avail_out = static_cast<unsigned>(packed.size());
    REQUIRE(deflate(&stream, Z_FINISH) == Z_STREAM_END);
    packed.resize(stream.total_out);
    deflateEnd(&stream);
    packed.insert(packed.end(), tail.begin(), tail.end());

    Bytes png{0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'}, header;
    append(header, width);
    append(header, height);
    header.insert(header.end(), {8, colour_type, 0, 0, 0});
    append_chunk(png, "IHDR", header);
    for (std::size_t i = 0; i < pieces; ++i) {
      const auto begin = packed.size() * i / pieces, end = packed.size() * (i + 1) / pieces;
      append_chunk(png, "IDAT", std::span{packed}.subspan(begin, end - begin));
    }
    append_chunk(png, "IEND", {});
    return png;
  }
};

std::span<const std::byte> view(const Bytes& bytes) {
  return std::as_bytes(std::span{bytes});
}

}  // namespace

TEST_CASE("A filtered row comes out as it was, of any width") {
  sslmeme::test::on_every_instruction_set([] {
    for (const std::size_t pixel_bytes : {1U, 3U, 4U}) {
      for (const std::size_t width : {1U, 2U, 3U, 5U, 16U, 33U, 85U, 257U}) {
        for (int filter = 0; filter < 5; ++filter) {
          CAPTURE(pixel_bytes, width, filter);
          sm::Rng rng{1000 * width + pixel_bytes};
          const auto row = random_bytes(width * pixel_bytes, rng), above = random_bytes(width * pixel_bytes, rng);
          const auto in = filtered(filter, pixel_bytes, row, above);
          Bytes out(row.size());
          REQUIRE(sm::detail::unfilter_row(filter, pixel_bytes, in.data(), above.data(), in.size(), out.data()));
          CHECK(out == row);

          Bytes both(1 + in.size());  // from where a byte further on is
          std::copy(in.begin(), in.end(), both.begin() + 1);
          REQUIRE(sm::detail::unfilter_row(filter, pixel_bytes, both.data() + 1, above.data(), in.size(), both.data()));
          both.pop_back();
          CHECK(both == row);
        }
      }
    }
    Bytes out(3, 7);
    const Bytes zeros(3);
    for (const int filter : {-1, 5, 255}) {
      CHECK_FALSE(sm::detail::unfilter_row(filter, 3, zeros.data(), zeros.data(), 3, out.data()));
      CHECK(out == Bytes(3, 7));
    }
  });
}

TEST_CASE("Whole PNGs of every filter are read the same both ways") {
  sm::Rng rng{5};
  const bool has_fast = sm::detail::decode_plain_png(view(Png{}.bytes(rng)), {}).has_value();
  for (const auto& [colour_type, channels] : {std::pair{0, 1U}, {2, 3U}, {6, 4U}}) {
    for (const std::uint32_t width : {1U, 2U, 31U, 200U}) {
      for (const std::size_t pieces : {1U, 3U, 50U}) {
        CAPTURE(colour_type, width, pieces);
        const auto png = Png{.width = width,
                             .colour_type = static_cast<std::uint8_t>(colour_type),
                             .channels = channels,
                             .pieces = pieces}
                             .bytes(rng);
        const auto fast = sm::detail::decode_plain_png(view(png), {});
        CHECK(fast.has_value() == has_fast);
        const auto slow = sm::detail::decode_any_png(view(png), {});
        if (fast) CHECK(*fast == slow);
        CHECK(sm::decode_image(view(png)) == slow);
      }
    }
  }
}

TEST_CASE("What libpng refuses the fast way does not read, and what is odd it leaves to libpng") {
  sm::Rng rng{6};
  const auto refused = [](const Bytes& png) {
    CHECK_FALSE(sm::detail::decode_plain_png(view(png), {}).has_value());
    CHECK_THROWS_AS(sm::decode_image(view(png)), sm::PictureError);
  };
  refused(Png{.bad_filter = 5}.bytes(rng));
  auto flipped = Png{}.bytes(rng);
  flipped[flipped.size() - 20] ^= 1;  // within the pixels: the CRC is wrong
  refused(flipped);
  auto cut = Png{}.bytes(rng);
  cut.resize(cut.size() - 12);  // no IEND
  refused(cut);
  // A window smaller than the pixels, and bytes behind the stream: libpng decides.
  for (const auto& odd : {Png{.width = 300, .window_bits = 9}, Png{.tail = {1, 2, 3}}}) {
    const auto png = odd.bytes(rng);
    CHECK_FALSE(sm::detail::decode_plain_png(view(png), {}).has_value());
    CHECK(sm::decode_image(view(png)) == sm::detail::decode_any_png(view(png), {}));
  }
}
