#include "data/orientation.hpp"

#include <algorithm>
#include <cstddef>
#include <string_view>

namespace sslmeme::detail {

int exif_orientation(std::span<const std::uint8_t> exif) {
  using namespace std::string_view_literals;
  std::string_view tiff{reinterpret_cast<const char*>(exif.data()), exif.size()};
  if (tiff.starts_with("Exif\0\0"sv)) tiff.remove_prefix(6);
  const bool little = tiff.starts_with("II*\0"sv);
  if ((!little && !tiff.starts_with("MM\0*"sv)) || tiff.size() < 8) return 1;
  const auto byte = [&](std::size_t at) -> std::size_t { return static_cast<unsigned char>(tiff[at]); };
  const auto u16 = [&](std::size_t at) { return little ? byte(at) | byte(at + 1) << 8 : byte(at) << 8 | byte(at + 1); };
  const auto u32 = [&](std::size_t at) { return little ? u16(at) | u16(at + 2) << 16 : u16(at) << 16 | u16(at + 2); };
  const auto directory = u32(4);
  if (directory > tiff.size() - 2) return 1;
  constexpr std::size_t entry_size = 12, tag = 0x0112, type_short = 3, type_long = 4;
  const auto entries = std::min(u16(directory), (tiff.size() - 2 - directory) / entry_size);
  for (std::size_t i = 0; i < entries; ++i) {
    const auto entry = directory + 2 + i * entry_size;
    if (u16(entry) != tag) continue;
    const auto type = u16(entry + 2);
    const auto value = type == type_short ? u16(entry + 8) : type == type_long ? u32(entry + 8) : 1;
    return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

Image oriented(Image image, int orientation) {
  if (orientation == 1) return image;
  const bool transposed = orientation >= 5;
  Image upright{transposed ? image.height : image.width, transposed ? image.width : image.height};
  // Where the upright picture's left and top lie in the stored one: EXIF 2.32, 4.6.4 A.
  const bool from_right = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const bool from_bottom = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  const std::ptrdiff_t stride = std::ptrdiff_t{3} * image.width;
  const std::ptrdiff_t across = from_right ? -3 : 3, down = from_bottom ? -stride : stride;
  const std::ptrdiff_t step_x = transposed ? down : across, step_y = transposed ? across : down;
  const auto* base = image.row(from_bottom ? image.height - 1 : 0) + (from_right ? stride - 3 : 0);
  for (int y = 0; y < upright.height; ++y) {
    auto* out = upright.row(y);
    for (int x = 0; x < upright.width; ++x, out += 3) std::copy_n(base + y * step_y + x * step_x, 3, out);
  }
  return upright;
}

}  // namespace sslmeme::detail
