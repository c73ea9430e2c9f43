// WebP through libwebp and libwebpdemux: of an animation, the first frame.
#include "data/decoders.hpp"
#include "data/orientation.hpp"

#include <sslmeme/core/error.hpp>

#ifndef SSLMEME_WEBP

namespace sslmeme::detail {

Image decode_webp(std::span<const std::byte>, const DecodeLimits&) {
  throw PictureError(PictureFault::unknown_format,
                     "WebP support is not built in: install libwebp-dev and build sslmeme again, or convert it to PNG");
}

bool has_webp() {
  return false;
}

}  // namespace sslmeme::detail

#else

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <webp/decode.h>
#include <webp/demux.h>

namespace sslmeme::detail {

namespace {

const std::uint8_t* data_of(std::span<const std::byte> bytes) {
  return reinterpret_cast<const std::uint8_t*>(bytes.data());
}

[[noreturn]] void give_up(VP8StatusCode status) {
  switch (status) {
    case VP8_STATUS_SUSPENDED:
    case VP8_STATUS_NOT_ENOUGH_DATA:
      fail(PictureFault::truncated, "WebP", "the file ends too early");
    case VP8_STATUS_UNSUPPORTED_FEATURE:
      fail(PictureFault::unknown_format, "WebP", "it uses what libwebp cannot read");
    case VP8_STATUS_OUT_OF_MEMORY:
      fail(PictureFault::too_large, "WebP", "no memory left");
    default:
      fail(PictureFault::corrupt, "WebP", "its data is no VP8 picture");
  }
}

struct Demuxer {
  WebPDemuxState state = WEBP_DEMUX_PARSE_ERROR;
  std::unique_ptr<WebPDemuxer, decltype(&WebPDemuxDelete)> parts{nullptr, &WebPDemuxDelete};
  WebPIterator frame{};
  WebPChunkIterator exif{};

  explicit Demuxer(const WebPData& data) { parts.reset(WebPDemuxPartial(&data, &state)); }
  Demuxer(const Demuxer&) = delete;
  Demuxer& operator=(const Demuxer&) = delete;
  ~Demuxer() {
    WebPDemuxReleaseChunkIterator(&exif);
    WebPDemuxReleaseIterator(&frame);
  }
};

/// The frame's pixels, RGB or RGBA: 3 or 4 bytes each.
void decode_frame(const WebPIterator& frame, int channels, std::uint8_t* out) {
  WebPDecoderConfig config;
  if (WebPInitDecoderConfig(&config) == 0) throw Error("WebP: the libwebp in use is not the one built against");
  config.output.colorspace = channels == 4 ? MODE_RGBA : MODE_RGB;
  config.output.is_external_memory = 1;
  config.output.u.RGBA.rgba = out;
  config.output.u.RGBA.stride = frame.width * channels;
  config.output.u.RGBA.size = static_cast<std::size_t>(frame.width) * static_cast<std::size_t>(frame.height * channels);
  const auto status = WebPDecode(frame.fragment.bytes, frame.fragment.size, &config);
  WebPFreeDecBuffer(&config.output);
  if (status != VP8_STATUS_OK) give_up(status);
}

}  // namespace

bool has_webp() {
  return true;
}

Image decode_webp(std::span<const std::byte> bytes, const DecodeLimits& limits) {
  const WebPData data{data_of(bytes), bytes.size()};
  WebPBitstreamFeatures features;
  if (const auto status = WebPGetFeatures(data.bytes, data.size, &features); status != VP8_STATUS_OK) give_up(status);
  check_size("WebP", features.width, features.height, limits);

  Demuxer demuxer{data};
  if (!demuxer.parts || demuxer.state == WEBP_DEMUX_PARSE_ERROR)
    fail(PictureFault::corrupt, "WebP", "its parts do not fit together");
  if (demuxer.state != WEBP_DEMUX_DONE) fail(PictureFault::truncated, "WebP", "the file ends too early");
  auto& frame = demuxer.frame;
  if (WebPDemuxGetFrame(demuxer.parts.get(), 1, &frame) == 0) fail(PictureFault::corrupt, "WebP", "it has no frame");
  const int width = static_cast<int>(WebPDemuxGetI(demuxer.parts.get(), WEBP_FF_CANVAS_WIDTH));
  const int height = static_cast<int>(WebPDemuxGetI(demuxer.parts.get(), WEBP_FF_CANVAS_HEIGHT));
  check_size("WebP", width, height, limits);
  if (frame.x_offset < 0 || frame.y_offset < 0 || frame.width <= 0 || frame.height <= 0 ||
      frame.width > width - frame.x_offset || frame.height > height - frame.y_offset) {
    fail(PictureFault::corrupt, "WebP",
         fmt::format("its first frame of {} × {} pixels lies outside of its {} × {}", frame.width, frame.height, width,
                     height));
  }
  // The frame's own header may tell of other sizes than its frame.
  if (const auto status = WebPGetFeatures(frame.fragment.bytes, frame.fragment.size, &features);
      status != VP8_STATUS_OK)
    give_up(status);
  if (features.width != frame.width || features.height != frame.height) {
    fail(PictureFault::corrupt, "WebP",
         fmt::format("its first frame is {} × {} pixels in one place and {} × {} in another", frame.width, frame.height,
                     features.width, features.height));
  }
  const auto frame_pixels = std::int64_t{frame.width} * frame.height;
  constexpr std::int64_t own = 5;  // bytes a pixel that libwebp holds: lossless ARGB, or a plane of alpha
  check_memory("WebP", std::int64_t{width} * height * 3 + frame_pixels * (own + 4), limits);

  Image image{width, height};
  const bool whole = frame.width == width && frame.height == height;
  if (whole && features.has_alpha == 0) {
    decode_frame(frame, 3, image.pixels.data());
  } else {
    std::vector<std::uint8_t> rgba(static_cast<std::size_t>(frame_pixels) * 4);
    decode_frame(frame, 4, rgba.data());
    if (!whole) std::fill(image.pixels.begin(), image.pixels.end(), std::uint8_t{255});
    const auto row_pixels = static_cast<std::size_t>(frame.width);
    for (int y = 0; y < frame.height; ++y) {
      on_white(rgba.data() + static_cast<std::size_t>(y) * row_pixels * 4, row_pixels,
               image.row(frame.y_offset + y) + 3 * static_cast<std::ptrdiff_t>(frame.x_offset));
    }
  }
  int orientation = 1;
  if (WebPDemuxGetChunk(demuxer.parts.get(), "EXIF", 1, &demuxer.exif) != 0) {
    orientation = exif_orientation({demuxer.exif.chunk.bytes, demuxer.exif.chunk.size});
  }
  return oriented(std::move(image), orientation);
}

}  // namespace sslmeme::detail

#endif  // SSLMEME_WEBP
