#include <sslmeme/core/error.hpp>
#include <sslmeme/core/files.hpp>
#include <sslmeme/data/image_io.hpp>

#include "data/decoders.hpp"
#include "data/files.hpp"

#include <fmt/format.h>
#include <png.h>

#include <limits>
#include <string_view>
#include <utility>

namespace sslmeme {

namespace detail {

void check_size(std::string_view format, std::int64_t width, std::int64_t height, const DecodeLimits& limits) {
  if (width <= 0 || height <= 0)
    throw DataError(fmt::format("{} of {} × {} pixels has no content", format, width, height));
  constexpr std::int64_t max_edge = std::numeric_limits<std::int32_t>::max() / 4;
  if (width > max_edge || height > max_edge || width * height > limits.max_pixels) {
    throw DataError(
        fmt::format("{} of {} × {} pixels is over the limit of {}: make it smaller or raise .limits.max_pixels", format,
                    width, height, limits.max_pixels));
  }
}

}  // namespace detail

Image decode_image(std::span<const std::byte> bytes, const DecodeLimits& limits) {
  using namespace std::string_view_literals;
  if (std::cmp_greater(bytes.size(), limits.max_bytes)) {
    throw DataError(
        fmt::format("{} bytes, more than the limit of {}: make the picture smaller or raise .limits.max_bytes",
                    bytes.size(), limits.max_bytes));
  }
  const std::string_view text{reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  if (text.starts_with("\xFF\xD8\xFF"sv)) return detail::decode_jpeg(bytes, limits);
  if (text.starts_with("\x89PNG\r\n\x1A\n"sv)) return detail::decode_png(bytes, limits);
  if (text.starts_with("BM"sv)) return detail::decode_bmp(bytes, limits);
  const auto format = text.empty()                                                 ? "empty file"sv
                      : text.starts_with("GIF8")                                   ? "GIF"sv
                      : text.starts_with("RIFF")                                   ? "WebP"sv
                      : text.starts_with("II*\0"sv) || text.starts_with("MM\0*"sv) ? "TIFF"sv
                                                                                   : "unknown format"sv;
  throw DataError(fmt::format("no JPEG, PNG or BMP picture ({}): convert it to PNG or JPEG", format));
}

Image read_image(const std::filesystem::path& path, const DecodeLimits& limits) {
  const auto bytes = detail::read_bytes(detail::open_file(path), limits.max_bytes, path);
  try {
    return decode_image(bytes, limits);
  } catch (const DataError& error) {
    throw DataError(fmt::format("{}: {}", path.string(), error.what()));
  }
}

std::vector<std::byte> encode_png(const Image& image) {
  if (image.empty()) throw InvalidArgument("encode_png: the picture is empty: give it at least one pixel");
  png_image header{};
  header.version = PNG_IMAGE_VERSION;
  header.width = static_cast<png_uint_32>(image.width);
  header.height = static_cast<png_uint_32>(image.height);
  header.format = PNG_FORMAT_RGB;
  header.flags = PNG_IMAGE_FLAG_FAST;  // a few times faster, for files somewhat larger
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(header);
  std::vector<std::byte> bytes(size);
  if (png_image_write_to_memory(&header, bytes.data(), &size, 0, image.pixels.data(), 0, nullptr) == 0) {
    throw Error(fmt::format("encode_png: libpng: {}", static_cast<const char*>(header.message)));
  }
  bytes.resize(size);
  return bytes;
}

void write_png(const std::filesystem::path& path, const Image& image) {
  const auto bytes = encode_png(image);
  write_atomically(path, [&](const ByteSink& sink) { sink(bytes); });
}

}  // namespace sslmeme
