// PNG through libpng's full interface. Its errors jump: each function that sets a jump target holds nothing that needs
// destruction.
#include "data/decoders.hpp"
#include "data/orientation.hpp"

#include <sslmeme/core/error.hpp>

#include <csetjmp>
#include <cstring>
#include <utility>
#include <vector>

#include <png.h>

namespace sslmeme::detail {

namespace {

struct Decoder {
  std::span<const std::byte> rest;
  png_structp png = nullptr;
  png_infop info = nullptr;
  std::jmp_buf target{};
  PictureFault fault = PictureFault::corrupt;
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
  if (decoder.rest.size() < count) {
    decoder.fault = PictureFault::truncated;
    png_error(png, "the file ends too early");
  }
  std::memcpy(out, decoder.rest.data(), count);
  decoder.rest = decoder.rest.subspan(count);
}

bool read_header(Decoder& decoder) {
  if (setjmp(decoder.target) != 0) return false;
  decoder.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &decoder, on_error, on_warning);
  if (decoder.png == nullptr) return false;
  decoder.info = png_create_info_struct(decoder.png);
  if (decoder.info == nullptr) return false;
  png_set_user_limits(decoder.png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);  // check_size says more about it
  // Of the chunks that change no pixel only EXIF is read: libpng would inflate and keep all others, a thousand times
  // their size, before the header is checked.
  png_set_keep_unknown_chunks(decoder.png, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
  png_set_keep_unknown_chunks(decoder.png, PNG_HANDLE_CHUNK_AS_DEFAULT, reinterpret_cast<png_const_bytep>("eXIf"), 1);
  png_set_chunk_malloc_max(decoder.png, 8 << 20);
  png_set_read_fn(decoder.png, &decoder, read_bytes);
  png_read_info(decoder.png, decoder.info);
  png_set_expand(decoder.png);  // palettes, fewer than 8 bits, tRNS
  png_set_scale_16(decoder.png);
  png_set_gray_to_rgb(decoder.png);
  return true;
}

// Rows with alpha go through `rgba`: of an interlaced picture all of them, else one at a time.
bool read_rows(Decoder& decoder, unsigned char* pixels, unsigned char* rgba) {
  if (setjmp(decoder.target) != 0) return false;
  const int passes = png_set_interlace_handling(decoder.png);
  png_read_update_info(decoder.png, decoder.info);
  const std::size_t width = png_get_image_width(decoder.png, decoder.info);
  const std::size_t height = png_get_image_height(decoder.png, decoder.info);
  const std::size_t kept = rgba != nullptr && passes == 1 ? 0 : png_get_rowbytes(decoder.png, decoder.info);
  for (int pass = 0; pass < passes; ++pass) {
    for (std::size_t y = 0; y < height; ++y) {
      unsigned char* row = (rgba != nullptr ? rgba : pixels) + y * kept;
      png_read_row(decoder.png, row, nullptr);
      if (rgba != nullptr && pass == passes - 1) on_white(row, width, pixels + y * width * 3);
    }
  }
  png_read_end(decoder.png, decoder.info);
  return true;
}

int orientation_of(Decoder& decoder) {
  png_uint_32 size = 0;
  png_bytep exif = nullptr;
  if (png_get_eXIf_1(decoder.png, decoder.info, &size, &exif) == 0) return 1;
  return exif_orientation({exif, size});
}

}  // namespace

Image decode_any_png(std::span<const std::byte> bytes, const DecodeLimits& limits) {
  Decoder decoder{bytes};
  const auto give_up = [&] { fail(decoder.fault, "PNG", static_cast<const char*>(decoder.message)); };
  if (!read_header(decoder)) give_up();
  const auto width = png_get_image_width(decoder.png, decoder.info);
  const auto height = png_get_image_height(decoder.png, decoder.info);
  check_size("PNG", width, height, limits);

  const bool has_alpha = (png_get_color_type(decoder.png, decoder.info) & PNG_COLOR_MASK_ALPHA) != 0 ||
                         png_get_valid(decoder.png, decoder.info, PNG_INFO_tRNS) != 0;
  const bool interlaced = png_get_interlace_type(decoder.png, decoder.info) != PNG_INTERLACE_NONE;
  const std::int64_t pixels = std::int64_t{width} * height;
  check_memory("PNG", (has_alpha && interlaced ? 7 : 3) * pixels, limits);
  std::vector<unsigned char> rgba(has_alpha ? std::size_t{width} * (interlaced ? height : 1) * 4 : 0);
  Image image{static_cast<int>(width), static_cast<int>(height)};
  if (!read_rows(decoder, image.pixels.data(), has_alpha ? rgba.data() : nullptr)) give_up();
  const int orientation = orientation_of(decoder);
  if (orientation != 1) check_memory("PNG", 6 * pixels, limits);
  return oriented(std::move(image), orientation);
}

Image decode_png(std::span<const std::byte> bytes, const DecodeLimits& limits) {
  if (auto image = decode_plain_png(bytes, limits)) return *std::move(image);
  return decode_any_png(bytes, limits);
}

}  // namespace sslmeme::detail
