#include <sslmeme/core/error.hpp>
#include <sslmeme/core/files.hpp>
#include <sslmeme/data/image_io.hpp>

#include "core/rethrow.hpp"
#include "data/decoders.hpp"
#include "data/files.hpp"

#include <fmt/format.h>
#include <png.h>

#include <string_view>
#include <utility>

namespace sslmeme {

namespace detail {

void check_limits(const DecodeLimits& limits) {
  const std::pair<const char*, std::int64_t> all[]{{"max_pixels", limits.max_pixels},
                                                   {"max_bytes", limits.max_bytes},
                                                   {"max_edge", limits.max_edge},
                                                   {"max_scan_pixels", limits.max_scan_pixels},
                                                   {"max_memory", limits.max_memory}};
  for (const auto& [name, value] : all) {
    if (value <= 0)
      throw InvalidArgument(
          fmt::format(".limits.{} is {}; it must be positive: leave it out for its default", name, value));
  }
}

PictureFormat format_of(std::string_view bytes) {
  using namespace std::string_view_literals;
  if (bytes.starts_with("\xFF\xD8\xFF"sv)) return PictureFormat::jpeg;
  if (bytes.starts_with("\x89PNG\r\n\x1A\n"sv)) return PictureFormat::png;
  if (bytes.starts_with("RIFF"sv) && bytes.size() >= 12 && bytes.substr(8, 4) == "WEBP"sv) return PictureFormat::webp;
  if (bytes.starts_with("GIF87a"sv) || bytes.starts_with("GIF89a"sv)) return PictureFormat::gif;
  return bytes.starts_with("BM"sv) ? PictureFormat::bmp : PictureFormat::unknown;
}

Image decode_named(std::span<const std::byte> bytes, const DecodeLimits& limits, const std::filesystem::path& path) {
  try {
    return decode_image(bytes, limits);
  } catch (const DataError&) {
    rethrow_named([&](std::string_view what) { return fmt::format("{}: {}", shown_path(path), what); });
  }
}

void check_bytes(std::int64_t bytes, const DecodeLimits& limits) {
  if (bytes <= limits.max_bytes) return;
  throw PictureError(
      PictureFault::too_large,
      fmt::format("{} bytes, more than the limit of {}: make the picture smaller or raise .limits.max_bytes", bytes,
                  limits.max_bytes));
}

void check_size(std::string_view format, std::int64_t width, std::int64_t height, const DecodeLimits& limits) {
  if (width <= 0 || height <= 0) {
    throw PictureError(PictureFault::corrupt,
                       fmt::format("{} of {} × {} pixels has no content", format, width, height));
  }
  if (width > limits.max_edge || height > limits.max_edge) {
    throw PictureError(PictureFault::too_large,
                       fmt::format("{} of {} × {} pixels has an edge over the limit of {}: make it smaller or raise "
                                   ".limits.max_edge",
                                   format, width, height, limits.max_edge));
  }
  if (width > limits.max_pixels / height) {
    throw PictureError(
        PictureFault::too_large,
        fmt::format("{} of {} × {} pixels is over the limit of {}: make it smaller or raise .limits.max_pixels", format,
                    width, height, limits.max_pixels));
  }
}

void check_memory(std::string_view format, std::int64_t bytes, const DecodeLimits& limits) {
  if (bytes <= limits.max_memory) return;
  throw PictureError(
      PictureFault::too_large,
      fmt::format("{} takes {} bytes of memory to decode, over the limit of {}: make it smaller or raise "
                  ".limits.max_memory",
                  format, bytes, limits.max_memory));
}

void fail(PictureFault fault, std::string_view format, std::string_view why) {
  throw PictureError(fault, fmt::format("damaged or truncated {}: {}", format, why));
}

void on_white(const std::uint8_t* rgba, std::size_t pixels, std::uint8_t* rgb) {
  for (std::size_t i = 0; i < pixels; ++i) {
    for (std::size_t c = 0; c < 3; ++c) rgb[3 * i + c] = on_white(rgba[4 * i + c], rgba[4 * i + 3]);
  }
}

}  // namespace detail

Image decode_image(std::span<const std::byte> bytes, const DecodeLimits& limits) {
  using namespace std::string_view_literals;
  detail::check_limits(limits);
  detail::check_bytes(static_cast<std::int64_t>(bytes.size()), limits);
  const std::string_view text{reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  switch (detail::format_of(text)) {
    case detail::PictureFormat::jpeg:
      return detail::decode_jpeg(bytes, limits);
    case detail::PictureFormat::png:
      return detail::decode_png(bytes, limits);
    case detail::PictureFormat::webp:
      return detail::decode_webp(bytes, limits);
    case detail::PictureFormat::gif:
      return detail::decode_gif(bytes, limits);
    case detail::PictureFormat::bmp:
      return detail::decode_bmp(bytes, limits);
    case detail::PictureFormat::unknown:
      break;
  }
  const auto format = text.starts_with("II*\0"sv) || text.starts_with("MM\0*"sv) ? "TIFF"sv : "unknown format"sv;
  if (text.empty()) throw PictureError(PictureFault::truncated, "no picture (empty file): replace the file");
  throw PictureError(PictureFault::unknown_format,
                     fmt::format("no JPEG, PNG, WebP, GIF or BMP picture ({}): convert it to PNG or JPEG", format));
}

Image read_image(const std::filesystem::path& path, const DecodeLimits& limits) {
  detail::check_limits(limits);
  return detail::decode_named(detail::read_bytes(detail::open_file(path), limits.max_bytes, path), limits, path);
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
