// Values changed by a table that the picture's own histograms give, or that is the same for all. The arithmetic is that
// of Pillow's ImageOps, so that results are equal.
#include <sslmeme/core/error.hpp>
#include <sslmeme/data/image_ops.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <numeric>

#include <fmt/format.h>

namespace sslmeme {

namespace {

using Histogram = std::array<std::int64_t, 256>;
using Table = std::array<std::uint8_t, 256>;

constexpr Table identity = [] {
  Table table{};
  std::iota(table.begin(), table.end(), std::uint8_t{0});
  return table;
}();

/// Every channel by the table that `table_of` makes of its histogram.
template <class TableOf>
void map(Image& image, const TableOf& table_of) {
  std::array<Histogram, 3> histograms{};
  for (std::size_t i = 0; i < image.pixels.size(); i += 3) {
    for (std::size_t c = 0; c < 3; ++c) ++histograms[c][image.pixels[i + c]];
  }
  const std::array<Table, 3> tables{table_of(histograms[0]), table_of(histograms[1]), table_of(histograms[2])};
  for (std::size_t i = 0; i < image.pixels.size(); i += 3) {
    for (std::size_t c = 0; c < 3; ++c) image.pixels[i + c] = tables[c][image.pixels[i + c]];
  }
}

/// The table of `value(i)` cut off to 0 … 255.
template <class Value>
Table table_by(const Value& value) {
  Table table;
  for (std::size_t i = 0; i < table.size(); ++i) {
    table[i] = static_cast<std::uint8_t>(std::clamp<std::int64_t>(value(i), 0, 255));
  }
  return table;
}

Table equalizing(const Histogram& histogram) {
  const auto last = std::find_if(histogram.rbegin(), histogram.rend(), [](auto count) { return count > 0; });
  if (last == histogram.rend()) return identity;
  // Of one value alone nothing is left here, and the step is 0 too.
  const auto step = (std::accumulate(histogram.begin(), histogram.end(), std::int64_t{0}) - *last) / 255;
  if (step == 0) return identity;
  auto below = step / 2;
  return table_by([&](std::size_t i) {
    const auto value = below / step;
    below += histogram[i];
    return value;
  });
}

Table stretching(const Histogram& histogram) {
  const auto used = [](auto count) { return count > 0; };
  const auto low = std::ranges::find_if(histogram, used) - histogram.begin();
  const auto high = histogram.rend() - std::find_if(histogram.rbegin(), histogram.rend(), used) - 1;
  if (high <= low) return identity;
  const double scale = 255.0 / static_cast<double>(high - low);
  const double offset = static_cast<double>(-low) * scale;
  return table_by([&](std::size_t i) {
    const double scaled = static_cast<double>(i) * scale;
    return static_cast<std::int64_t>(scaled + offset);
  });
}

}  // namespace

Image posterize(Image image, int bits) {
  if (bits < 1 || bits > 8) {
    throw InvalidArgument(fmt::format("posterize: bits is {}: must be within 1 and 8", bits));
  }
  const auto mask = static_cast<std::uint8_t>(0xFF << (8 - bits));
  for (auto& value : image.pixels) value &= mask;
  return image;
}

Image equalize(Image image) {
  map(image, equalizing);
  return image;
}

Image autocontrast(Image image) {
  map(image, stretching);
  return image;
}

}  // namespace sslmeme
