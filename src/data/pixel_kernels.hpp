// The inner loops of resizing and blurring, made for several instruction sets, of which the best is taken at run time
// (Google Highway). Results are the same, bit by bit, on all of them and without Highway.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace sslmeme::detail {

inline constexpr int resize_bits = 22;  ///< of the fraction of resizing weights

/// The weighted input positions of each output position along one axis.
struct TapsView {
  const int* first;             ///< input position of the first weight of each output position
  const int* count;             ///< weights in use
  const std::int32_t* weights;  ///< `stride` for each output position, with resize_bits of fraction
  int stride;
  int size;  ///< output positions
};

/// Rows of `width` RGB pixels to rows of taps.size pixels, rounded and cut off to 0 … 255.
void resize_rows(std::span<const std::uint8_t* const> in, int width, const TapsView& taps,
                 std::span<std::uint8_t* const> out);

/// out[i] = Σ_k weights[k] · rows[k][i] for n values, rounded and cut off to 0 … 255; weights as in TapsView.
void weighted_rows(std::span<const std::uint8_t* const> rows, const std::int32_t* weights, std::size_t n,
                   std::uint8_t* out);

/// The same in fp32: products rounded, then added in the order of k.
void weighted_rows(std::span<const float* const> rows, const float* weights, std::size_t n, float* out);

}  // namespace sslmeme::detail
