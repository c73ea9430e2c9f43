// JPEG through libjpeg-turbo. Its errors jump: each function that sets a jump target holds nothing that needs
// destruction.
#include "data/decoders.hpp"

#include <sslmeme/core/error.hpp>

#include <algorithm>
#include <csetjmp>
#include <cstdio>  // jpeglib.h needs it first
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <jpeglib.h>

namespace sslmeme::detail {

namespace {

constexpr int max_scans = 100;  // a few hundred bytes can claim thousands of passes over a large picture

struct Decoder {
  jpeg_decompress_struct info{};
  jpeg_error_mgr errors{};
  jpeg_progress_mgr progress{};
  std::jmp_buf target{};
  char message[JMSG_LENGTH_MAX]{};

  Decoder() = default;
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;
  ~Decoder() { jpeg_destroy_decompress(&info); }
};

Decoder& decoder_of(j_common_ptr info) {
  return *static_cast<Decoder*>(info->client_data);
}

[[noreturn]] void on_error(j_common_ptr info) {
  auto& decoder = decoder_of(info);
  info->err->format_message(info, decoder.message);
  std::longjmp(decoder.target, 1);
}

void on_message(j_common_ptr info, int level) {
  if (level >= 0) return;  // a trace
  if (info->err->num_warnings++ == 0) info->err->format_message(info, decoder_of(info).message);
}

void on_progress(j_common_ptr info) {
  auto& decoder = decoder_of(info);
  if (decoder.info.input_scan_number <= max_scans) return;
  std::snprintf(decoder.message, sizeof decoder.message, "more than %d progressive scans", max_scans);
  std::longjmp(decoder.target, 1);
}

bool read_header(Decoder& decoder, const unsigned char* bytes, unsigned long size) {
  if (setjmp(decoder.target) != 0) return false;
  jpeg_create_decompress(&decoder.info);
  decoder.info.client_data = &decoder;
  decoder.info.progress = &decoder.progress;
  jpeg_mem_src(&decoder.info, bytes, size);
  jpeg_save_markers(&decoder.info, JPEG_APP0 + 1, 0xFFFF);
  jpeg_read_header(&decoder.info, TRUE);
  const auto space = decoder.info.jpeg_color_space;
  decoder.info.out_color_space = space == JCS_CMYK || space == JCS_YCCK ? JCS_CMYK : JCS_RGB;
  return true;
}

// CMYK rows go through `cmyk`, which holds one of them.
bool read_rows(Decoder& decoder, unsigned char* pixels, unsigned char* cmyk) {
  if (setjmp(decoder.target) != 0) return false;
  jpeg_start_decompress(&decoder.info);
  const std::size_t width = decoder.info.output_width;
  const unsigned char flip = decoder.info.saw_Adobe_marker ? 0 : 255;  // Adobe stores 255 − ink
  while (decoder.info.output_scanline < decoder.info.output_height) {
    unsigned char* row = pixels + decoder.info.output_scanline * width * 3;
    JSAMPROW target = cmyk != nullptr ? cmyk : row;
    jpeg_read_scanlines(&decoder.info, &target, 1);
    if (cmyk == nullptr) continue;
    for (std::size_t x = 0; x < width; ++x) {
      const int black = cmyk[4 * x + 3] ^ flip;
      for (std::size_t c = 0; c < 3; ++c) {
        row[3 * x + c] = static_cast<unsigned char>(((cmyk[4 * x + c] ^ flip) * black + 127) / 255);
      }
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
  const auto fail = [&] {
    throw DataError(fmt::format("damaged or truncated JPEG: {}", static_cast<const char*>(decoder.message)));
  };
  if (!read_header(decoder, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size())) fail();
  check_size("JPEG", decoder.info.image_width, decoder.info.image_height, limits);

  int orientation = 1;
  for (auto marker = decoder.info.marker_list; marker != nullptr && orientation == 1; marker = marker->next) {
    orientation = exif_orientation({marker->data, marker->data_length});
  }
  Image image{static_cast<int>(decoder.info.image_width), static_cast<int>(decoder.info.image_height)};
  const bool is_cmyk = decoder.info.out_color_space == JCS_CMYK;
  std::vector<unsigned char> cmyk(is_cmyk ? static_cast<std::size_t>(image.width) * 4 : 0);
  if (!read_rows(decoder, image.pixels.data(), is_cmyk ? cmyk.data() : nullptr)) fail();
  if (decoder.errors.num_warnings > 0) fail();  // libjpeg goes on with grey where data is missing; we do not
  return oriented(std::move(image), orientation);
}

int exif_orientation(std::span<const std::uint8_t> segment) {
  constexpr std::size_t start = 6;  // "Exif\0\0", then a TIFF file
  const std::string_view text{reinterpret_cast<const char*>(segment.data()), segment.size()};
  if (!text.starts_with(std::string_view{"Exif\0\0", start}) || segment.size() < start + 8) return 1;
  const auto tiff = segment.subspan(start);
  const bool little = tiff[0] == 'I';
  const auto u16 = [&](std::size_t at) -> std::uint32_t {
    return little ? tiff[at] | tiff[at + 1] << 8 : tiff[at] << 8 | tiff[at + 1];
  };
  const std::size_t low = u16(little ? 4 : 6), high = u16(little ? 6 : 4);
  const std::size_t directory = low | high << 16U;
  if (directory + 2 > tiff.size()) return 1;
  constexpr std::size_t entry_size = 12;
  for (std::size_t i = 0; i < u16(directory); ++i) {
    const auto entry = directory + 2 + i * entry_size;
    if (entry + entry_size > tiff.size()) return 1;
    if (u16(entry) != 0x0112) continue;
    const auto value = static_cast<int>(u16(entry + 8));
    return value >= 1 && value <= 8 ? value : 1;
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
  for (int y = 0; y < upright.height; ++y) {
    auto* out = upright.row(y);
    for (int x = 0; x < upright.width; ++x, out += 3) {
      const int across = transposed ? y : x, down = transposed ? x : y;
      const auto* in = image.row(from_bottom ? image.height - 1 - down : down) +
                       3 * (from_right ? image.width - 1 - across : across);
      std::copy_n(in, 3, out);
    }
  }
  return upright;
}

}  // namespace sslmeme::detail
