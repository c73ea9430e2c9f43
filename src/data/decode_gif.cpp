// The first frame of a GIF (GIF89a specification, 1990), as Pillow shows it. Ours: decoders of GIF at hand either
// animate, or accept damaged files.
#include "data/decoders.hpp"

#include <sslmeme/core/error.hpp>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>
#include <vector>

#include <fmt/format.h>

namespace sslmeme::detail {

namespace {

using Bytes = std::span<const std::uint8_t>;

[[noreturn]] void corrupt(std::string_view why) {
  fail(PictureFault::corrupt, "GIF", why);
}

class Reader {
 public:
  explicit Reader(Bytes bytes) : rest_{bytes} {}

  Bytes take(std::size_t count) {
    if (rest_.size() < count) fail(PictureFault::truncated, "GIF", "the file ends too early");
    const auto taken = rest_.first(count);
    rest_ = rest_.subspan(count);
    return taken;
  }
  std::uint8_t u8() { return take(1)[0]; }
  int u16() {
    const auto two = take(2);
    return two[0] | two[1] << 8;
  }
  /// The next of the blocks that data comes in; empty after the last.
  Bytes block() { return take(u8()); }
  bool at_end() const { return rest_.empty(); }

 private:
  Bytes rest_;
};

/// Bits of the first frame's descriptor and of the screen's.
constexpr int has_palette = 0x80, interlaced = 0x40, palette_size = 0x07;

Bytes read_palette(Reader& in, int flags) {
  return (flags & has_palette) != 0 ? in.take(std::size_t{3} << ((flags & palette_size) + 1)) : Bytes{};
}

/// Codes of `size` bits, the lowest first.
class Codes {
 public:
  explicit Codes(Bytes bytes) : bytes_{bytes} {}

  std::optional<unsigned> next(int size) {
    while (held_ < size) {
      if (at_ == bytes_.size()) return std::nullopt;
      bits_ |= static_cast<unsigned>(bytes_[at_++]) << held_;
      held_ += 8;
    }
    const auto code = bits_ & ((1U << size) - 1);
    bits_ >>= size;
    held_ -= size;
    return code;
  }

 private:
  Bytes bytes_;
  std::size_t at_ = 0;
  unsigned bits_ = 0;
  int held_ = 0;
};

/// `count` palette indices out of LZW data. What a code stands for is a piece of the indices before it: the piece of
/// the code before, and one index more.
std::vector<std::uint8_t> unpacked(Bytes data, int first_size, std::size_t count) {
  constexpr unsigned most_codes = 4096;
  constexpr int largest_size = 12;
  struct Piece {
    std::size_t start, length;
  };
  std::array<Piece, most_codes> pieces;
  std::vector<std::uint8_t> out(count);
  const unsigned clear = 1U << first_size, end = clear + 1;
  unsigned known = clear + 2;
  int size = first_size + 1;
  Piece before{0, 0};
  std::size_t filled = 0;
  Codes codes{data};
  while (filled < count) {
    const auto code = codes.next(size);
    if (!code || *code == end) corrupt(fmt::format("the first frame has {} of its {} pixels", filled, count));
    if (*code == clear) {
      known = clear + 2;
      size = first_size + 1;
      before = {0, 0};
      continue;
    }
    if (before.length > 0 && known < most_codes) {
      pieces[known++] = {before.start, before.length + 1};
      if (known == 1U << size && size < largest_size) ++size;
    }
    if (*code >= known) corrupt(fmt::format("code {} stands for nothing yet", *code));
    Piece piece{filled, 1};
    if (*code < clear) {
      out[filled] = static_cast<std::uint8_t>(*code);
    } else {
      const auto from = pieces[*code];
      piece.length = std::min(from.length, count - filled);
      // Byte by byte: a piece may reach into what it writes.
      for (std::size_t i = 0; i < piece.length; ++i) out[filled + i] = out[from.start + i];
    }
    filled += piece.length;
    before = piece;
  }
  return out;
}

/// The row of the frame that the i-th stored one is.
int frame_row(int i, int height, bool is_interlaced) {
  if (!is_interlaced) return i;
  constexpr std::array<std::array<int, 2>, 4> passes{{{0, 8}, {4, 8}, {2, 4}, {1, 2}}};  // first row, step
  for (const auto& [first, step] : passes) {
    const int rows = height > first ? (height - first + step - 1) / step : 0;
    if (i < rows) return first + i * step;
    i -= rows;
  }
  return height - 1;
}

}  // namespace

Image decode_gif(std::span<const std::byte> bytes, const DecodeLimits& limits) {
  Reader in{{reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()}};
  in.take(6);  // the signature
  const int screen_width = in.u16(), screen_height = in.u16(), screen_flags = in.u8();
  in.take(2);  // the background, which nobody shows, and the shape of pixels
  auto palette = read_palette(in, screen_flags);

  std::optional<int> transparent;
  for (;;) {
    const int kind = in.u8();
    if (kind == 0x2C) break;
    if (kind == 0x3B) corrupt("it ends without a frame");
    if (kind != 0x21) corrupt(fmt::format("a block of unknown kind {:#04x}", kind));
    const bool is_control = in.u8() == 0xF9;
    for (auto block = in.block(); !block.empty(); block = in.block()) {
      if (!is_control || block.size() != 4) continue;
      transparent = (block[0] & 1) != 0 ? std::optional<int>{block[3]} : std::nullopt;
    }
  }
  const int left = in.u16(), top = in.u16(), width = in.u16(), height = in.u16(), flags = in.u8();
  if (const auto own = read_palette(in, flags); !own.empty()) palette = own;
  if (palette.empty()) corrupt("it has no palette");
  if (width == 0 || height == 0)
    corrupt(fmt::format("its first frame of {} × {} pixels has no content", width, height));
  // A frame that leaves the screen widens it, as in Pillow and browsers.
  const int whole_width = std::max(screen_width, left + width), whole_height = std::max(screen_height, top + height);
  check_size("GIF", whole_width, whole_height, limits);
  const auto pixels = std::int64_t{width} * height;
  check_memory("GIF", std::int64_t{whole_width} * whole_height * 3 + pixels + std::ssize(bytes), limits);

  const int first_size = in.u8();
  if (first_size < 1 || first_size > 8) corrupt(fmt::format("codes of {} bits; GIF has 1 … 8", first_size));
  std::vector<std::uint8_t> data;
  for (auto block = in.block(); !block.empty(); block = in.block()) data.insert(data.end(), block.begin(), block.end());
  if (in.at_end()) fail(PictureFault::truncated, "GIF", "the file ends after its first frame, without an end mark");

  const auto indices = unpacked(data, first_size, static_cast<std::size_t>(pixels));
  Image image{whole_width, whole_height};
  std::fill(image.pixels.begin(), image.pixels.end(), std::uint8_t{255});
  for (int y = 0; y < height; ++y) {
    auto* out =
        image.row(top + frame_row(y, height, (flags & interlaced) != 0)) + 3 * static_cast<std::ptrdiff_t>(left);
    const auto* in_row = indices.data() + static_cast<std::ptrdiff_t>(y) * width;
    for (int x = 0; x < width; ++x, out += 3) {
      const std::size_t index = in_row[x];
      if (transparent && std::cmp_equal(index, *transparent)) continue;
      if (3 * index >= palette.size())
        corrupt(fmt::format("a pixel has colour {} of a palette of {}", index, palette.size() / 3));
      std::copy_n(palette.data() + 3 * index, 3, out);
    }
  }
  return image;
}

}  // namespace sslmeme::detail
