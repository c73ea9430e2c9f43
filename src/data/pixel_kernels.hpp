// The inner loops of resizing, blurring and mirroring, made for several instruction sets, of which the best is taken at
// run time (Google Highway). Results are the same, bit by bit, on all of them and without Highway.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace sslmeme::detail {

inline constexpr int resize_bits = 22;          ///< of the fraction of resizing weights
inline constexpr std::size_t rows_at_once = 8;  ///< that resize_rows takes

/// The weighted input positions of each output position along one axis.
struct TapsView {
  const int* first;             ///< input position of the first weight of each output position
  const int* count;             ///< weights in use, at most `stride`
  const std::int32_t* weights;  ///< `stride` for each output position, with resize_bits of fraction; 0 where not in use
  int stride;
  int size;  ///< output positions
};

/// One to rows_at_once rows of `width` RGB pixels to rows of taps.size pixels, rounded and cut off to 0 … 255.
void resize_rows(std::span<const std::uint8_t* const> in, int width, const TapsView& taps,
                 std::span<std::uint8_t* const> out);

/// out[i] = Σ_k weights[k] · rows[k][i] for n values, rounded and cut off to 0 … 255; weights as in TapsView.
void weighted_rows(std::span<const std::uint8_t* const> rows, const std::int32_t* weights, std::size_t n,
                   std::uint8_t* out);

inline constexpr int blur_bits = 7;             ///< of the fraction of values that are blurred: (value − 128) · 128
inline constexpr std::size_t blur_slack = 128;  ///< values beyond n that blurred_row may read and write

/// out = weights[0] · center + Σ_k weights[k] · (before[k − 1] + after[k − 1]) for n values; weights with 15 bits of
/// fraction, of a sum of 1, every product rounded.
void blurred_row(const std::int16_t* center, std::span<const std::int16_t* const> before,
                 std::span<const std::int16_t* const> after, const std::int16_t* weights, std::size_t n,
                 std::int16_t* out);

/// n values to (value − 128) · 128 and, rounded, back.
void to_blur(const std::uint8_t* values, std::size_t n, std::int16_t* out);
void from_blur(const std::int16_t* values, std::size_t n, std::uint8_t* out);

/// n RGB pixels in the opposite order. in and out must not overlap.
void mirrored_row(const std::uint8_t* in, std::size_t n, std::uint8_t* out);

}  // namespace sslmeme::detail
