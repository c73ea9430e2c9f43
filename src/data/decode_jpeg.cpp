// JPEG through libjpeg-turbo. Its errors jump: each function that sets a jump target holds nothing that needs
// destruction.
#include "data/decoders.hpp"
#include "data/orientation.hpp"

#include <sslmeme/core/error.hpp>

#include <algorithm>
#include <csetjmp>
#include <cstdio>  // jpeglib.h needs it first
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <jpeglib.h>

#include <jerror.h>

namespace sslmeme::detail {

namespace {

constexpr int most_scans = 100;  // a few hundred bytes can claim thousands of passes over a large picture

struct Decoder {
  jpeg_decompress_struct info{};
  jpeg_error_mgr errors{};
  jpeg_progress_mgr progress{};
  std::jmp_buf target{};
  int max_scans = most_scans;
  int orientation = 1;
  PictureFault fault = PictureFault::corrupt;
  char message[JMSG_LENGTH_MAX]{};

  Decoder() = default;
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;
  ~Decoder() { jpeg_destroy_decompress(&info); }
};

Decoder& decoder_of(j_common_ptr info) {
  return *static_cast<Decoder*>(info->client_data);
}

void note_message(j_common_ptr info) {
  auto& decoder = decoder_of(info);
  info->err->format_message(info, decoder.message);
  switch (info->err->msg_code) {
    case JWRN_JPEG_EOF:
    case JERR_INPUT_EOF:
    case JERR_INPUT_EMPTY:
      decoder.fault = PictureFault::truncated;
      break;
    case JERR_SOF_UNSUPPORTED:
#if JPEG_LIB_VERSION < 70  // later interfaces have no such code
    case JERR_ARITH_NOTIMPL:
#endif
    case JERR_BAD_PRECISION:
    case JERR_CONVERSION_NOTIMPL:
      decoder.fault = PictureFault::unknown_format;
      break;
    case JERR_OUT_OF_MEMORY:
    case JERR_NO_BACKING_STORE:  // libjpeg would go to a file
    case JERR_IMAGE_TOO_BIG:
      decoder.fault = PictureFault::too_large;
      break;
    default:
      decoder.fault = PictureFault::corrupt;
  }
}

[[noreturn]] void on_error(j_common_ptr info) {
  note_message(info);
  std::longjmp(decoder_of(info).target, 1);
}

void on_message(j_common_ptr info, int level) {
  if (level >= 0) return;  // a trace
  if (info->err->num_warnings++ == 0) note_message(info);
}

void on_progress(j_common_ptr info) {
  auto& decoder = decoder_of(info);
  if (decoder.info.input_scan_number <= decoder.max_scans) return;
  std::snprintf(
      decoder.message, sizeof decoder.message, "more than %d progressive scans%s", decoder.max_scans,
      decoder.max_scans < most_scans ? " of so many pixels: make it smaller or raise .limits.max_scan_pixels" : "");
  decoder.fault = PictureFault::too_large;
  std::longjmp(decoder.target, 1);
}

// APP1, where EXIF stands: read in its place, since libjpeg would keep every one of them, up to the file's length.
boolean on_app1(j_decompress_ptr info) {
  auto& source = *info->src;      // holds the whole file
  constexpr std::size_t own = 2;  // bytes of the length, which counts itself
  if (source.bytes_in_buffer < own) ERREXIT(info, JERR_INPUT_EOF);
  const auto* const bytes = source.next_input_byte;
  const auto length = std::max(own, std::size_t{bytes[0]} << 8U | bytes[1]);
  if (source.bytes_in_buffer < length) ERREXIT(info, JERR_INPUT_EOF);
  auto& decoder = decoder_of(reinterpret_cast<j_common_ptr>(info));
  if (decoder.orientation == 1) decoder.orientation = exif_orientation({bytes + own, length - own});
  source.next_input_byte += length;
  source.bytes_in_buffer -= length;
  return TRUE;
}

bool read_header(Decoder& decoder, const unsigned char* bytes, unsigned long size, std::int64_t max_memory) {
  if (setjmp(decoder.target) != 0) return false;
  jpeg_create_decompress(&decoder.info);  // which keeps err and client_data
  decoder.info.progress = &decoder.progress;
  decoder.info.mem->max_memory_to_use = static_cast<long>(max_memory);
  jpeg_mem_src(&decoder.info, bytes, size);
  jpeg_set_marker_processor(&decoder.info, JPEG_APP0 + 1, on_app1);
  jpeg_read_header(&decoder.info, TRUE);
  const auto space = decoder.info.jpeg_color_space;
  decoder.info.out_color_space = space == JCS_CMYK || space == JCS_YCCK ? JCS_CMYK : JCS_RGB;
  return true;
}

// What a progressive picture keeps until its last scan; one scan needs a few rows.
std::int64_t coefficient_bytes(jpeg_decompress_struct& info) {
  if (!jpeg_has_multiple_scans(&info)) return 0;
  std::int64_t blocks = 0;
  for (int i = 0; i < info.num_components; ++i) {
    const auto& component = info.comp_info[i];
    blocks += std::int64_t{component.width_in_blocks + 3} * (component.height_in_blocks + 3);  // whole groups of them
  }
  return blocks * static_cast<std::int64_t>(sizeof(JBLOCK));
}

// CMYK rows go through `cmyk`, which holds one of them.
bool read_rows(Decoder& decoder, unsigned char* pixels, unsigned char* cmyk) {
  if (setjmp(decoder.target) != 0) return false;
  jpeg_start_decompress(&decoder.info);
  const std::size_t width = decoder.info.output_width;
  while (decoder.info.output_scanline < decoder.info.output_height) {
    unsigned char* row = pixels + decoder.info.output_scanline * width * 3;
    JSAMPROW target = cmyk != nullptr ? cmyk : row;
    jpeg_read_scanlines(&decoder.info, &target, 1);
    if (cmyk == nullptr) continue;
    for (std::size_t x = 0; x < width; ++x) {  // 255 − ink is what is stored, whether Adobe's marker is there or not
      const int black = cmyk[4 * x + 3];
      for (std::size_t c = 0; c < 3; ++c)
        row[3 * x + c] = static_cast<unsigned char>((cmyk[4 * x + c] * black + 127) / 255);
    }
  }
  jpeg_finish_decompress(&decoder.info);
  return true;
}

}  // namespace

Image decode_jpeg(std::span<const std::byte> bytes, const DecodeLimits& limits) {
  Decoder decoder;
  decoder.info.err = jpeg_std_error(&decoder.errors);
  decoder.errors.error_exit = on_error;
  decoder.errors.emit_message = on_message;
  decoder.progress.progress_monitor = on_progress;
  decoder.info.client_data = &decoder;
  const auto give_up = [&] { fail(decoder.fault, "JPEG", static_cast<const char*>(decoder.message)); };
  const auto* data = reinterpret_cast<const unsigned char*>(bytes.data());
  if (!read_header(decoder, data, bytes.size(), limits.max_memory)) give_up();
  const std::int64_t width = decoder.info.image_width, height = decoder.info.image_height;
  check_size("JPEG", width, height, limits);
  const auto scans = limits.max_scan_pixels / (width * height);
  decoder.max_scans = static_cast<int>(std::clamp<std::int64_t>(scans, 1, most_scans));

  const int orientation = decoder.orientation;
  const auto held = (orientation == 1 ? 3 : 6) * width * height + coefficient_bytes(decoder.info);
  check_memory("JPEG", held, limits);
  Image image{static_cast<int>(width), static_cast<int>(height)};
  const bool is_cmyk = decoder.info.out_color_space == JCS_CMYK;
  std::vector<unsigned char> cmyk(is_cmyk ? static_cast<std::size_t>(width) * 4 : 0);
  if (!read_rows(decoder, image.pixels.data(), is_cmyk ? cmyk.data() : nullptr)) give_up();
  if (decoder.errors.num_warnings > 0) give_up();  // libjpeg goes on with grey where data is missing; we do not
  return oriented(std::move(image), orientation);
}

}  // namespace sslmeme::detail
