// PNG through libpng's full interface. Its errors jump: each function that sets a jump target holds nothing that needs
// destruction.
#include "data/decoders.hpp"

#include <sslmeme/core/error.hpp>

#include <algorithm>
#include <csetjmp>
#include <cstring>
#include <vector>

#include <fmt/format.h>
#include <png.h>

namespace sslmeme::detail {

namespace {

struct Decoder {
  std::span<const std::byte> rest;
  png_structp png = nullptr;
  png_infop info = nullptr;
  std::jmp_buf target{};
  char message[200]{};

  explicit Decoder(std::span<const std::byte> bytes) : rest{bytes} {}
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;
  ~Decoder() { png_destroy_read_struct(&png, &info, nullptr); }
};

[[noreturn]] void on_error(png_structp png, png_const_charp message) {
  auto& decoder = *static_cast<Decoder*>(png_get_error_ptr(png));
  std::strncpy(decoder.message, message, sizeof decoder.message - 1);
  std::longjmp(decoder.target, 1);
}

void on_warning(png_structp, png_const_charp) {}

void read_bytes(png_structp png, png_bytep out, std::size_t count) {
  auto& decoder = *static_cast<Decoder*>(png_get_io_ptr(png));
  if (decoder.rest.size() < count) png_error(png, "the file ends too early");
  std::memcpy(out, decoder.rest.data(), count);
  decoder.rest = decoder.rest.subspan(count);
}

bool read_header(Decoder& decoder, png_uint_32 max_edge) {
  if (setjmp(decoder.target) != 0) return false;
  decoder.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &decoder, on_error, on_warning);
  if (decoder.png == nullptr) return false;
  decoder.info = png_create_info_struct(decoder.png);
  if (decoder.info == nullptr) return false;
  png_set_user_limits(decoder.png, max_edge, max_edge);
  png_set_chunk_cache_max(decoder.png, 128);
  png_set_chunk_malloc_max(decoder.png, 8 << 20);
  png_set_read_fn(decoder.png, &decoder, read_bytes);
  png_read_info(decoder.png, decoder.info);
  png_set_expand(decoder.png);  // palettes, fewer than 8 bits, tRNS
  png_set_scale_16(decoder.png);
  png_set_gray_to_rgb(decoder.png);
  return true;
}

bool read_rows(Decoder& decoder, unsigned char* pixels) {
  if (setjmp(decoder.target) != 0) return false;
  const int passes = png_set_interlace_handling(decoder.png);
  png_read_update_info(decoder.png, decoder.info);
  const auto row_bytes = png_get_rowbytes(decoder.png, decoder.info);
  const auto height = png_get_image_height(decoder.png, decoder.info);
  for (int pass = 0; pass < passes; ++pass) {
    for (png_uint_32 y = 0; y < height; ++y) png_read_row(decoder.png, pixels + y * row_bytes, nullptr);
  }
  png_read_end(decoder.png, nullptr);
  return true;
}

Image on_white(const std::vector<unsigned char>& rgba, int width, int height) {
  Image image{width, height};
  for (std::size_t i = 0; i < rgba.size() / 4; ++i) {
    const int alpha = rgba[4 * i + 3];
    for (std::size_t c = 0; c < 3; ++c) {
      image.pixels[3 * i + c] = static_cast<unsigned char>((rgba[4 * i + c] * alpha + 255 * (255 - alpha) + 127) / 255);
    }
  }
  return image;
}

}  // namespace

Image decode_png(std::span<const std::byte> bytes, const DecodeLimits& limits) {
  Decoder decoder{bytes};
  const auto fail = [&] {
    throw DataError(fmt::format("damaged or truncated PNG: {}", static_cast<const char*>(decoder.message)));
  };
  const auto max_edge = std::min<std::int64_t>(limits.max_pixels, PNG_UINT_31_MAX);
  if (!read_header(decoder, static_cast<png_uint_32>(max_edge))) fail();
  const auto width = png_get_image_width(decoder.png, decoder.info);
  const auto height = png_get_image_height(decoder.png, decoder.info);
  check_size("PNG", width, height, limits);

  const bool has_alpha = (png_get_color_type(decoder.png, decoder.info) & PNG_COLOR_MASK_ALPHA) != 0 ||
                         png_get_valid(decoder.png, decoder.info, PNG_INFO_tRNS) != 0;
  const int w = static_cast<int>(width), h = static_cast<int>(height);
  if (has_alpha) {
    std::vector<unsigned char> rgba(std::size_t{width} * height * 4);
    if (!read_rows(decoder, rgba.data())) fail();
    return on_white(rgba, w, h);
  }
  Image image{w, h};
  if (!read_rows(decoder, image.pixels.data())) fail();
  return image;
}

}  // namespace sslmeme::detail
