#include <sslmeme/core/error.hpp>
#include <sslmeme/data/image_ops.hpp>
#include <sslmeme/data/perceptual_hash.hpp>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <numbers>
#include <utility>
#include <vector>

#include <fmt/format.h>

namespace sslmeme {

namespace {

constexpr std::size_t side = 32;     // of the picture that is transformed
constexpr std::size_t low = 8;       // frequencies along each edge
constexpr std::size_t fields = 4;    // of mean colour along each edge
constexpr int colour_tolerance = 4;  // of 255; copies resized or as JPEG of quality 50 stay within 2.5
constexpr std::size_t hash_bytes = 8;

Image shrunk(const Image& image) {
  if (image.empty()) throw InvalidArgument("perceptual_hash: the picture is empty: give it at least one pixel");
  return resize(image, side, side, Interpolation::bicubic);
}

/// cosines[k][n] = cos(π k (2 n + 1) / 2 N), the DCT-II without factors.
using Cosines = std::array<std::array<double, side>, low>;
Cosines make_cosines() {
  Cosines cosines{};
  for (std::size_t k = 0; k < low; ++k) {
    for (std::size_t n = 0; n < side; ++n)
      cosines[k][n] = std::cos(std::numbers::pi * static_cast<double>(k * (2 * n + 1)) / (2.0 * side));
  }
  return cosines;
}

std::uint64_t hash_of(const Image& small) {
  const auto luma = grayscale(small);
  static const auto cosines = make_cosines();
  std::array<std::array<double, low>, side> rows{};  // [y][horizontal frequency]
  for (std::size_t y = 0; y < side; ++y) {
    const auto* pixel = luma.row(static_cast<int>(y));
    for (std::size_t n = 0; n < side; ++n) {
      for (std::size_t k = 0; k < low; ++k) rows[y][k] += cosines[k][n] * pixel[3 * n];
    }
  }
  std::array<double, low * low> coefficients{};
  for (std::size_t v = 0; v < low; ++v) {
    for (std::size_t y = 0; y < side; ++y) {
      for (std::size_t k = 0; k < low; ++k) coefficients[v * low + k] += cosines[v][y] * rows[y][k];
    }
  }
  auto sorted = coefficients;
  std::ranges::sort(sorted);
  // What should be 0 is rounding noise in a plain picture: it must not decide.
  const double median = (sorted[sorted.size() / 2 - 1] + sorted[sorted.size() / 2]) / 2 + 1e-6;
  std::uint64_t hash = 0;
  for (const double coefficient : coefficients) hash = hash << 1U | static_cast<std::uint64_t>(coefficient > median);
  return hash;
}

/// Whether p and q are the first two bytes in which hashes that differ in `difference` agree.
bool first_agree_in(std::uint64_t difference, std::size_t p, std::size_t q) {
  for (std::size_t byte = 0; byte < q; ++byte) {
    const bool agree = (difference >> (8 * byte) & 0xFFU) == 0;
    if (agree != (byte == p)) return false;
  }
  return true;
}

}  // namespace

std::uint64_t perceptual_hash(const Image& image) {
  return hash_of(shrunk(image));
}

PictureSignature signature_of(const Image& image) {
  const auto small = shrunk(image);
  PictureSignature signature{.hash = hash_of(small)};
  constexpr std::size_t edge = side / fields;
  for (std::size_t field = 0; field < fields * fields; ++field) {
    std::array<unsigned, 3> sums{};
    for (std::size_t y = 0; y < edge; ++y) {
      const auto* pixel = small.row(static_cast<int>(field / fields * edge + y)) + field % fields * edge * 3;
      for (std::size_t i = 0; i < edge * 3; ++i) sums[i % 3] += pixel[i];
    }
    for (std::size_t channel = 0; channel < 3; ++channel) {
      signature.colours[field * 3 + channel] =
          static_cast<std::uint8_t>((sums[channel] + edge * edge / 2) / (edge * edge));
    }
  }
  return signature;
}

bool is_near(const PictureSignature& a, const PictureSignature& b, int distance) {
  if (hash_distance(a.hash, b.hash) > distance) return false;
  int difference = 0;
  for (std::size_t i = 0; i < a.colours.size(); ++i) difference += std::abs(a.colours[i] - b.colours[i]);
  return difference <= colour_tolerance * static_cast<int>(a.colours.size());
}

bool for_each_near_pair(std::span<const PictureSignature> signatures, int distance,
                        const std::function<void(std::size_t, std::size_t)>& found, std::uint64_t max_comparisons) {
  if (distance < 0 || distance > near_distance) {
    throw InvalidArgument(
        fmt::format("a hash distance of {} cannot be searched for: give 0 to {} bits", distance, near_distance));
  }
  std::vector<std::pair<std::uint16_t, std::size_t>> keyed(signatures.size());
  for (std::size_t p = 0; p < hash_bytes; ++p) {
    for (std::size_t q = p + 1; q < hash_bytes; ++q) {
      for (std::size_t i = 0; i < signatures.size(); ++i) {
        const auto hash = signatures[i].hash;
        keyed[i] = {static_cast<std::uint16_t>((hash >> (8 * p) & 0xFFU) << 8U | (hash >> (8 * q) & 0xFFU)), i};
      }
      std::ranges::sort(keyed);
      for (std::size_t begin = 0, end = 0; begin < keyed.size(); begin = end) {
        while (end < keyed.size() && keyed[end].first == keyed[begin].first) ++end;
        const std::uint64_t comparisons = (end - begin) * (end - begin - 1) / 2;
        if (comparisons > max_comparisons) return false;
        max_comparisons -= comparisons;
        for (std::size_t i = begin; i < end; ++i) {
          const auto& a = signatures[keyed[i].second];
          for (std::size_t j = i + 1; j < end; ++j) {
            const auto& b = signatures[keyed[j].second];
            if (hash_distance(a.hash, b.hash) <= distance && first_agree_in(a.hash ^ b.hash, p, q) &&
                is_near(a, b, distance))
              found(keyed[i].second, keyed[j].second);
          }
        }
      }
    }
  }
  return true;
}

}  // namespace sslmeme
