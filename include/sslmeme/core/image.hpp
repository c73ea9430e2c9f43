// An 8-bit RGB picture in memory.
#pragma once

#include <sslmeme/core/tensor.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace sslmeme {

/// 8-bit RGB, interleaved, row by row: what decoders give and what transforms work on until the last stage.
struct Image {
  int width = 0;
  int height = 0;
  std::vector<std::uint8_t> pixels;  ///< height × width × 3

  Image() = default;
  /// A black picture of width × height pixels.
  Image(int width_, int height_)
      : width{width_},
        height{height_},
        pixels(static_cast<std::size_t>(width_) * static_cast<std::size_t>(height_) * 3) {}

  bool empty() const { return pixels.empty(); }
  std::uint8_t* row(int y) { return pixels.data() + static_cast<std::size_t>(y) * static_cast<std::size_t>(width) * 3; }
  const std::uint8_t* row(int y) const {
    return pixels.data() + static_cast<std::size_t>(y) * static_cast<std::size_t>(width) * 3;
  }
  bool operator==(const Image&) const = default;

  /// The picture as a u8 tensor (3, H, W), copied.
  Tensor to_tensor() const;
};

}  // namespace sslmeme
