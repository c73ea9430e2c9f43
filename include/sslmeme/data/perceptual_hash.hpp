// Which pictures are the same one, re-encoded or resized: a perceptual hash, and all near pairs of many pictures.
#pragma once

#include <sslmeme/core/image.hpp>

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

namespace sslmeme {

/// The DCT hash of a picture ("pHash", Zauner 2010, Implementation and Benchmarking of Perceptual Image Hash
/// Functions, §3.2.1): luma at 32 × 32 pixels, its two-dimensional DCT-II, and one bit for each of the 8 × 8 lowest
/// frequencies, set where the coefficient is over their median. Row by row, the first in the highest bit, as
/// imagehash.phash has it, which shrinks with Lanczos where this does with bicubic. Throws InvalidArgument for an empty
/// picture.
std::uint64_t perceptual_hash(const Image& image);

/// In how many bits two hashes differ.
constexpr int hash_distance(std::uint64_t a, std::uint64_t b) {
  return std::popcount(a ^ b);
}

/// 56 bytes that tell copies of a picture from other pictures.
struct PictureSignature {
  std::uint64_t hash = 0;                  ///< perceptual_hash
  std::array<std::uint8_t, 48> colours{};  ///< mean RGB of 4 × 4 fields, row by row
  bool operator==(const PictureSignature&) const = default;
};
/// Throws InvalidArgument for an empty picture.
PictureSignature signature_of(const Image& image);

/// The largest hash distance at which pictures count as near, and the largest that there is an index for.
inline constexpr int near_distance = 6;

/// Whether both are the same picture, re-encoded or resized: the hashes differ in at most `distance` bits, and the
/// colours by at most 4 of 255 on average. Hashes alone know neither colour nor contrast: all plain pictures have the
/// same one, and small round things on paper have neighbours.
bool is_near(const PictureSignature& a, const PictureSignature& b, int distance = near_distance);

/// Calls found(i, j), i < j, once for each near pair, in an order that depends on the signatures alone. Hashes within 6
/// bits agree in two or more of their eight bytes, so only pictures that share two bytes are compared: about
/// n²/4,700 comparisons for n evenly spread hashes. Returns false, having stopped early, when `max_comparisons` did not
/// suffice: where many pictures are alike, that is. Throws InvalidArgument for a distance outside 0 … near_distance.
bool for_each_near_pair(std::span<const PictureSignature> signatures, int distance,
                        const std::function<void(std::size_t, std::size_t)>& found,
                        std::uint64_t max_comparisons = 4'000'000'000);

}  // namespace sslmeme
