// The usual kind of PNG at once: inflated whole by libdeflate, then unfiltered row by row into the picture.
#include "data/decoders.hpp"

#ifndef SSLMEME_LIBDEFLATE

namespace sslmeme::detail {

std::optional<Image> decode_plain_png(std::span<const std::byte>, const DecodeLimits&) {
  return std::nullopt;
}

}  // namespace sslmeme::detail

#else

#include "data/png_filters.hpp"

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include <libdeflate.h>

namespace sslmeme::detail {

namespace {

using Bytes = std::span<const std::uint8_t>;

std::uint32_t u32(const std::uint8_t* from) {
  return std::uint32_t{from[0]} << 24 | std::uint32_t{from[1]} << 16 | std::uint32_t{from[2]} << 8 | from[3];
}

struct Chunk {
  std::string_view kind;
  Bytes data;
  bool intact = false;  ///< its CRC is right
};

/// The next chunk, taken from `rest`; none where the file ends within it.
std::optional<Chunk> next_chunk(Bytes& rest) {
  constexpr std::size_t frame = 12;  // length, kind, CRC
  if (rest.size() < frame) return std::nullopt;
  const std::size_t length = u32(rest.data());
  if (length > rest.size() - frame) return std::nullopt;
  const auto* kind = rest.data() + 4;
  Chunk chunk{{reinterpret_cast<const char*>(kind), 4}, rest.subspan(8, length)};
  chunk.intact = libdeflate_crc32(0, kind, length + 4) == u32(kind + 4 + length);
  rest = rest.subspan(frame + length);
  return chunk;
}

/// Chunks that change no pixel, and of which libpng refuses no content.
bool is_harmless(const Chunk& chunk) {
  constexpr std::size_t most_bytes = 1 << 20;
  constexpr std::string_view kinds[]{"gAMA", "cHRM", "sRGB", "iCCP", "sBIT", "bKGD",
                                     "pHYs", "tIME", "tEXt", "zTXt", "iTXt"};
  return chunk.data.size() <= most_bytes &&
         std::find(std::begin(kinds), std::end(kinds), chunk.kind) != std::end(kinds);
}

struct PlainPng {
  std::size_t width = 0;
  std::size_t height = 0;
  std::size_t channels = 0;
  Bytes compressed;  ///< of `joined` if there is more than one IDAT
  std::vector<std::uint8_t> joined;

  std::size_t row_bytes() const { return width * channels; }
  std::size_t raw_bytes() const { return height * (1 + row_bytes()); }
};

bool read_header(Bytes& rest, PlainPng& png) {
  const auto header = next_chunk(rest);
  if (!header || !header->intact || header->kind != "IHDR" || header->data.size() != 13) return false;
  const auto* data = header->data.data();
  png.width = u32(data);
  png.height = u32(data + 4);
  const int depth = data[8], kind = data[9];
  png.channels = kind == 0 ? 1 : kind == 2 ? 3 : kind == 6 ? 4 : 0;
  constexpr std::size_t most = 0x7FFFFFFF;
  return depth == 8 && png.channels > 0 && data[10] == 0 && data[11] == 0 && data[12] == 0 && png.width > 0 &&
         png.width <= most && png.height > 0 && png.height <= most;
}

bool read_chunks(Bytes rest, PlainPng& png) {
  bool begun = false, ended = false;  // the run of IDAT
  for (;;) {
    const auto chunk = next_chunk(rest);
    if (!chunk) return false;
    if (chunk->kind == "IDAT") {
      if (ended || !chunk->intact) return false;
      if (!begun) {
        png.compressed = chunk->data;
      } else {
        if (png.joined.empty()) {
          png.joined.reserve(png.compressed.size() + chunk->data.size() + rest.size());
          png.joined.assign(png.compressed.begin(), png.compressed.end());
        }
        png.joined.insert(png.joined.end(), chunk->data.begin(), chunk->data.end());
      }
      begun = true;
      continue;
    }
    ended = begun;
    if (chunk->kind == "IEND") {
      if (!png.joined.empty()) png.compressed = png.joined;
      return begun && chunk->intact && chunk->data.empty();
    }
    if (!is_harmless(*chunk)) return false;
  }
}

/// Whether the rows came out whole, with nothing left over.
bool inflate(const PlainPng& png, std::uint8_t* rows) {
  if (png.compressed.size() < 2) return false;
  // libdeflate looks back as far as data asks; libpng only as far as the stream says that it will.
  const auto window = std::size_t{256} << (png.compressed[0] >> 4);
  if (window != 32768 && window < png.raw_bytes()) return false;
  const std::unique_ptr<libdeflate_decompressor, decltype(&libdeflate_free_decompressor)> decompressor{
      libdeflate_alloc_decompressor(), &libdeflate_free_decompressor};
  std::size_t used = 0, made = 0;
  return decompressor && window <= 32768 &&
         libdeflate_zlib_decompress_ex(decompressor.get(), png.compressed.data(), png.compressed.size(), rows,
                                       png.raw_bytes(), &used, &made) == LIBDEFLATE_SUCCESS &&
         used == png.compressed.size() && made == png.raw_bytes();
}

bool unfilter(const PlainPng& png, const std::uint8_t* rows, Image& image) {
  const auto n = png.row_bytes();
  const bool is_rgb = png.channels == 3;
  std::vector<std::uint8_t> lines((is_rgb ? 1 : 2) * n);  // zeros above the first row
  const auto* above = lines.data();
  for (std::size_t y = 0; y < png.height; ++y) {
    const auto* in = rows + y * (1 + n);
    auto* const out = image.row(static_cast<int>(y));
    auto* const line = is_rgb ? out : lines.data() + (y % 2 == 0 ? n : 0);
    if (!unfilter_row(in[0], png.channels, in + 1, above, n, line)) return false;
    if (png.channels == 4) on_white(line, png.width, out);
    if (png.channels == 1) {
      for (std::size_t x = 0; x < n; ++x) out[3 * x] = out[3 * x + 1] = out[3 * x + 2] = line[x];
    }
    above = line;
  }
  return true;
}

}  // namespace

std::optional<Image> decode_plain_png(std::span<const std::byte> bytes, const DecodeLimits& limits) {
  Bytes rest{reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()};
  rest = rest.subspan(8);  // the signature
  PlainPng png;
  if (!read_header(rest, png)) return std::nullopt;
  const auto width = static_cast<std::int64_t>(png.width), height = static_cast<std::int64_t>(png.height);
  check_size("PNG", width, height, limits);
  if (!read_chunks(rest, png)) return std::nullopt;
  // RGB is inflated where the picture is to be, which is unfiltered towards its start: fresh memory is what costs most.
  const bool in_place = png.channels == 3;
  const auto pixel_bytes = 3 * png.width * png.height;
  const auto held = png.raw_bytes() + png.joined.size() + (in_place ? 0 : pixel_bytes);
  if (std::cmp_greater(held, limits.max_memory)) return std::nullopt;

  Image image;
  image.width = static_cast<int>(width);
  image.height = static_cast<int>(height);
  image.pixels.resize(in_place ? png.raw_bytes() : pixel_bytes);
  const auto apart = in_place ? nullptr : std::make_unique_for_overwrite<std::uint8_t[]>(png.raw_bytes());
  auto* const rows = in_place ? image.pixels.data() : apart.get();
  if (!inflate(png, rows) || !unfilter(png, rows, image)) return std::nullopt;
  image.pixels.resize(pixel_bytes);
  return image;
}

}  // namespace sslmeme::detail

#endif  // SSLMEME_LIBDEFLATE
