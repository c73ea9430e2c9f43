// BMP. The header, palettes, run lengths and alpha are read here: stb_image takes zeros for what is missing, leaves
// colours beyond the palette uninitialised and knows neither run lengths nor alpha on white. Plain pixels of 16, 24 and
// 32 bits are stb_image's, in a file made anew from what has been checked. It holds no other decoder here: those for
// JPEG and PNG accept damaged files, and that for GIF is unsafe.
#include "data/decoders.hpp"

#include <sslmeme/core/error.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <vector>

#include <fmt/format.h>

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_BMP
#define STBI_NO_STDIO
#define STBI_NO_HDR
#define STBI_NO_LINEAR
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#include <stb/stb_image.h>
#pragma GCC diagnostic pop

namespace sslmeme::detail {

namespace {

using Bytes = std::span<const std::uint8_t>;

enum Compression : std::uint32_t { none = 0, rle8 = 1, rle4 = 2, bit_fields = 3 };

[[noreturn]] void corrupt(std::string_view why) {
  fail(PictureFault::corrupt, "BMP", why);
}

[[noreturn]] void ends_early() {
  fail(PictureFault::truncated, "BMP", "the file ends too early");
}

std::uint32_t number(Bytes bytes, std::size_t at, std::size_t size) {
  if (at > bytes.size() || size > bytes.size() - at) ends_early();
  std::uint32_t value = 0;
  for (std::size_t i = size; i-- > 0;) value = value << 8 | bytes[at + i];
  return value;
}

/// What the header says, checked.
struct Header {
  int width = 0;
  int height = 0;
  bool top_down = false;
  int bits = 0;
  std::uint32_t compression = none;
  std::array<std::uint32_t, 4> masks{};  ///< of red, green, blue and alpha; 0: no such
  Bytes palette;                         ///< blue, green, red and a byte unused, or the first three
  std::size_t palette_entry = 4;         ///< bytes of a colour
  Bytes pixels;                          ///< to the end of the file

  std::size_t row_bytes() const {
    return (static_cast<std::size_t>(width) * static_cast<std::size_t>(bits) + 31) / 32 * 4;
  }
  std::size_t colours() const { return palette.size() / palette_entry; }
  /// The row of the picture that the i-th stored one is.
  int row(int i) const { return top_down ? i : height - 1 - i; }
  std::uint8_t* paint(std::size_t colour, std::uint8_t* out) const {
    if (colour >= colours()) corrupt(fmt::format("a pixel has colour {} of a palette of {}", colour, colours()));
    const auto* entry = palette.data() + colour * palette_entry;
    for (std::size_t c = 0; c < 3; ++c) out[c] = entry[2 - c];
    return out + 3;
  }
};

void read_masks(Header& header, Bytes bytes, std::size_t header_size) {
  constexpr std::size_t after = 54;  // a header of 40 bytes has the masks behind it, longer ones in the same place
  constexpr std::size_t with_alpha = 56;
  for (std::size_t c = 0; c < (header_size >= with_alpha ? 4U : 3U); ++c) {
    auto& mask = header.masks[c] = number(bytes, after + 4 * c, 4);
    const int width = std::popcount(mask), top = static_cast<int>(std::bit_width(mask));
    if (c < 3 && width == 0) corrupt("a colour without bits");
    if (width > 0 && width != top - std::countr_zero(mask)) corrupt("a colour of scattered bits");
    if (width > 8 || top > header.bits)
      fail(PictureFault::unknown_format, "BMP", fmt::format("a colour of mask {:#010x}: up to 8 bits are read", mask));
  }
}

void read_palette(Header& header, Bytes bytes, std::size_t start, std::size_t pixels_at, std::uint32_t used) {
  const auto most = std::size_t{1} << header.bits;
  const auto room = (std::min(pixels_at, bytes.size()) - std::min(start, bytes.size())) / header.palette_entry;
  const auto colours = std::min({used == 0 ? most : std::size_t{used}, most, room});
  header.palette = bytes.subspan(std::min(start, bytes.size()), colours * header.palette_entry);
}

Header read_header(Bytes bytes, const DecodeLimits& limits) {
  Header header;
  const std::size_t pixels_at = number(bytes, 10, 4), size = number(bytes, 14, 4);
  constexpr std::array<std::size_t, 7> sizes{12, 40, 52, 56, 64, 108, 124};
  const bool is_core = size == 12, is_os2 = is_core || size == 64;
  if (std::find(sizes.begin(), sizes.end(), size) == sizes.end())
    fail(PictureFault::unknown_format, "BMP", fmt::format("a header of {} bytes", size));
  number(bytes, 14 + size - 4, 4);  // the header's last bytes are there
  const auto field = [&](std::size_t at, std::size_t core_at) {
    return is_core ? static_cast<std::int32_t>(number(bytes, core_at, 2))
                   : static_cast<std::int32_t>(number(bytes, at, 4));
  };
  const std::int64_t width = field(18, 18), height = field(22, 20);
  header.top_down = height < 0;
  check_size("BMP", width, std::abs(height), limits);
  header.width = static_cast<int>(width);
  header.height = static_cast<int>(std::abs(height));
  header.bits = static_cast<int>(number(bytes, is_core ? 24 : 28, 2));
  header.compression = is_core ? std::uint32_t{none} : number(bytes, 30, 4);

  const int bits = header.bits;
  const auto compression = header.compression;
  const bool known_bits = bits == 1 || bits == 4 || bits == 8 || bits == 24 || ((bits == 16 || bits == 32) && !is_os2);
  if (compression > bit_fields || !known_bits || (compression == bit_fields && is_os2))
    fail(PictureFault::unknown_format, "BMP", fmt::format("{} bits of compression {}", bits, compression));
  const bool fits = compression == none || (compression == rle8 && bits == 8) || (compression == rle4 && bits == 4) ||
                    (compression == bit_fields && (bits == 16 || bits == 32));
  if (!fits) corrupt(fmt::format("{} bits of compression {}, which is for others", bits, compression));
  if (header.top_down && (compression == rle4 || compression == rle8)) corrupt("run lengths from the top down");
  if (compression == bit_fields) read_masks(header, bytes, size);

  const auto end = 14 + size + (compression == bit_fields && size == 40 ? 12 : 0);
  if (pixels_at < end) corrupt("its pixels begin within its header");
  if (is_core) header.palette_entry = 3;
  if (bits <= 8) read_palette(header, bytes, end, pixels_at, is_core ? 0 : number(bytes, 46, 4));
  if (pixels_at > bytes.size()) ends_early();
  header.pixels = bytes.subspan(pixels_at);
  const auto last_row = (static_cast<std::size_t>(width) * static_cast<std::size_t>(bits) + 7) / 8;  // padding may lack
  const auto needed = header.row_bytes() * static_cast<std::size_t>(header.height - 1) + last_row;
  if ((compression == none || compression == bit_fields) && header.pixels.size() < needed) ends_early();
  return header;
}

/// 1, 4 or 8 bits a pixel, the highest first.
void read_indices(const Header& header, Image& image) {
  const auto bits = static_cast<unsigned>(header.bits), mask = (1U << bits) - 1;
  for (int i = 0; i < header.height; ++i) {
    const auto* in = header.pixels.data() + header.row_bytes() * static_cast<std::size_t>(i);
    auto* out = image.row(header.row(i));
    for (std::size_t x = 0, width = static_cast<std::size_t>(header.width); x < width; ++x) {
      const auto bit = x * bits;
      out = header.paint(in[bit / 8] >> (8 - bits - bit % 8) & mask, out);
    }
  }
}

/// Runs of 4 or 8 bits a pixel ([MS-WMF] 3.1.6). What they skip keeps colour 0.
void read_runs(const Header& header, Image& image) {
  const bool half = header.compression == rle4;
  std::size_t at = 0;
  const auto byte = [&] {
    if (at == header.pixels.size()) ends_early();
    return std::size_t{header.pixels[at++]};
  };
  for (int y = 0; y < header.height; ++y) {
    auto* out = image.row(y);
    for (int x = 0; x < header.width; ++x) out = header.paint(0, out);
  }
  const auto width = static_cast<std::size_t>(header.width), height = static_cast<std::size_t>(header.height);
  std::size_t x = 0, y = 0;
  const auto put = [&](std::size_t colour) {
    if (x >= width || y >= height) corrupt("a run leaves the picture");
    header.paint(colour, image.row(header.row(static_cast<int>(y))) + 3 * x);
    ++x;
  };
  for (;;) {
    const auto count = byte(), value = byte();
    if (count > 0) {
      for (std::size_t i = 0; i < count; ++i) put(!half ? value : i % 2 == 0 ? value >> 4 : value & 15);
    } else if (value == 0) {  // the row ends
      x = 0;
      ++y;
    } else if (value == 1) {  // the picture ends
      return;
    } else if (value == 2) {  // some pixels are skipped
      x += byte();
      y += byte();
      if (x > width || y > height) corrupt("a run leaves the picture");
    } else {  // pixels one by one
      std::size_t both = 0;
      for (std::size_t i = 0; i < value; ++i) {
        if (!half || i % 2 == 0) both = byte();
        put(!half ? both : i % 2 == 0 ? both >> 4 : both & 15);
      }
      if ((half ? (value + 1) / 2 : value) % 2 == 1) byte();
    }
  }
}

/// 16 or 32 bits a pixel, with alpha.
void read_fields(const Header& header, Image& image) {
  const auto pixel_bytes = static_cast<std::size_t>(header.bits / 8);
  const auto scaled = [&](std::uint32_t pixel, std::size_t c) {
    const auto mask = header.masks[c] >> std::countr_zero(header.masks[c]);
    return static_cast<int>(((pixel & header.masks[c]) >> std::countr_zero(header.masks[c])) * 255 / mask);
  };
  for (int i = 0; i < header.height; ++i) {
    const auto* in = header.pixels.data() + header.row_bytes() * static_cast<std::size_t>(i);
    auto* out = image.row(header.row(i));
    for (int x = 0; x < header.width; ++x, in += pixel_bytes) {
      const auto pixel = number({in, pixel_bytes}, 0, pixel_bytes);
      const int alpha = scaled(pixel, 3);
      for (std::size_t c = 0; c < 3; ++c) *out++ = on_white(scaled(pixel, c), alpha);
    }
  }
}

/// 16, 24 or 32 bits a pixel, without alpha, through stb_image.
void read_packed(const Header& header, Image& image) {
  constexpr std::size_t info_size = 40, plain_size = 14 + info_size;
  const bool has_masks = header.compression == bit_fields;
  const auto start = plain_size + (has_masks ? 12 : 0);
  const auto pixel_bytes = header.row_bytes() * static_cast<std::size_t>(header.height);
  if (start + pixel_bytes > static_cast<std::size_t>(std::numeric_limits<int>::max()))
    fail(PictureFault::too_large, "BMP", "more than 2 GiB of pixels");
  std::vector<std::uint8_t> file(start + pixel_bytes);
  const auto put = [&](std::size_t at, auto value) { std::memcpy(file.data() + at, &value, sizeof value); };
  file[0] = 'B';  // BMP is little-endian, as every machine that LibTorch runs on
  file[1] = 'M';
  put(10, static_cast<std::uint32_t>(start));
  put(14, static_cast<std::uint32_t>(info_size));
  put(18, header.width);
  put(22, header.top_down ? -header.height : header.height);
  put(26, std::uint16_t{1});
  put(28, static_cast<std::uint16_t>(header.bits));
  put(30, header.compression);
  for (std::size_t c = 0; has_masks && c < 3; ++c) put(plain_size + 4 * c, header.masks[c]);
  std::copy_n(header.pixels.data(), std::min(pixel_bytes, header.pixels.size()), file.data() + start);

  int width = 0, height = 0, channels = 0;
  const std::unique_ptr<stbi_uc, decltype(&std::free)> pixels{
      stbi_load_from_memory(file.data(), static_cast<int>(file.size()), &width, &height, &channels, 3), &std::free};
  if (!pixels || width != image.width || height != image.height) corrupt(pixels ? "its size" : stbi_failure_reason());
  std::copy_n(pixels.get(), image.pixels.size(), image.pixels.data());
}

}  // namespace

Image decode_bmp(std::span<const std::byte> bytes, const DecodeLimits& limits) {
  const auto header = read_header({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()}, limits);
  const auto rows = static_cast<std::int64_t>(header.row_bytes()) * header.height;
  const bool has_runs = header.compression == rle4 || header.compression == rle8;
  const bool is_packed = header.bits > 8 && header.masks[3] == 0;
  const auto pixels = std::int64_t{header.width} * header.height;
  check_memory("BMP", (is_packed ? 6 : 3) * pixels + (is_packed ? rows : 0), limits);
  Image image{header.width, header.height};
  if (has_runs)
    read_runs(header, image);
  else if (header.bits <= 8)
    read_indices(header, image);
  else if (is_packed)
    read_packed(header, image);
  else
    read_fields(header, image);
  return image;
}

}  // namespace sslmeme::detail
