// The kernels of resizing, blurring and mirroring against the loops that define them, on every instruction set of this
// machine.
#include "data/pixel_kernels.hpp"

#include <sslmeme/core/random.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "instruction_sets.hpp"

namespace sm = sslmeme;
namespace kernels = sslmeme::detail;

namespace {

std::vector<std::uint8_t> random_bytes(std::size_t n, sm::Rng& rng) {
  std::vector<std::uint8_t> bytes(n);
  for (auto& value : bytes) value = static_cast<std::uint8_t>(rng.below(256));
  return bytes;
}

/// Weights as those of a bicubic filter: some negative, of a sum of 1 or less in fixed point, which cannot overflow.
std::vector<std::int32_t> random_weights(std::size_t n, sm::Rng& rng) {
  std::vector<double> exact(n);
  double sum = 0;
  for (auto& weight : exact) sum += weight = rng.uniform(-0.1, 1.0);
  std::vector<std::int32_t> weights;
  for (const auto weight : exact)
    weights.push_back(static_cast<std::int32_t>(weight / std::max(sum, 1.0) * (1 << kernels::resize_bits)));
  return weights;
}

std::uint8_t rounded(std::int64_t sum) {
  return static_cast<std::uint8_t>(
      std::clamp<std::int64_t>((sum + (1 << (kernels::resize_bits - 1))) >> kernels::resize_bits, 0, 255));
}

}  // namespace

TEST_CASE("Rows are weighted value by value, of any length") {
  for (const std::size_t n : {1U, 3U, 7U, 31U, 64U, 131U, 672U}) {
    for (const std::size_t count : {1U, 2U, 5U, 9U}) {
      sm::Rng rng{100 * n + count};
      std::vector<std::vector<std::uint8_t>> rows;
      std::vector<const std::uint8_t*> from;
      for (std::size_t k = 0; k < count; ++k) rows.push_back(random_bytes(n, rng));
      for (const auto& row : rows) from.push_back(row.data());
      const auto weights = random_weights(count, rng);
      std::vector<std::uint8_t> expected(n);
      for (std::size_t i = 0; i < n; ++i) {
        std::int64_t sum = 0;
        for (std::size_t k = 0; k < count; ++k) sum += std::int64_t{weights[k]} * rows[k][i];
        expected[i] = rounded(sum);
      }
      sm::test::on_every_instruction_set([&] {
        std::vector<std::uint8_t> out(n);
        kernels::weighted_rows(from, weights.data(), n, out.data());
        CHECK(out == expected);
      });
    }
  }
}

TEST_CASE("Rows are resized pixel by pixel, one to eight at a time") {
  for (const int width : {1, 2, 5, 6, 7, 40}) {
    for (const std::size_t height : {1U, 2U, 3U, 7U, 8U}) {
      sm::Rng rng{static_cast<std::uint64_t>(width) * 10 + height};
      const int size = 1 + static_cast<int>(rng.below(30)), stride = 7;
      std::vector<int> first, count;
      std::vector<std::int32_t> weights;
      for (int x = 0; x < size; ++x) {
        count.push_back(1 + static_cast<int>(rng.below(static_cast<std::uint64_t>(std::min(width, stride)))));
        first.push_back(static_cast<int>(rng.below(static_cast<std::uint64_t>(width - count.back() + 1))));
        auto of_pixel = random_weights(static_cast<std::size_t>(count.back()), rng);
        of_pixel.resize(stride);
        weights.insert(weights.end(), of_pixel.begin(), of_pixel.end());
      }
      std::vector<std::vector<std::uint8_t>> rows, expected;
      std::vector<const std::uint8_t*> in;
      for (std::size_t y = 0; y < height; ++y) {
        rows.push_back(random_bytes(static_cast<std::size_t>(width) * 3, rng));
        auto& of_row = expected.emplace_back();
        for (int x = 0; x < size; ++x) {
          for (int c = 0; c < 3; ++c) {
            std::int64_t sum = 0;
            for (int k = 0; k < count[static_cast<std::size_t>(x)]; ++k) {
              const auto at = static_cast<std::size_t>((first[static_cast<std::size_t>(x)] + k) * 3 + c);
              sum += std::int64_t{weights[static_cast<std::size_t>(x * stride + k)]} * rows[y][at];
            }
            of_row.push_back(rounded(sum));
          }
        }
      }
      for (const auto& row : rows) in.push_back(row.data());
      sm::test::on_every_instruction_set([&] {
        std::vector<std::vector<std::uint8_t>> out(height,
                                                   std::vector<std::uint8_t>(static_cast<std::size_t>(size) * 3));
        std::vector<std::uint8_t*> to;
        for (auto& row : out) to.push_back(row.data());
        kernels::resize_rows(in, width, {first.data(), count.data(), weights.data(), stride, size}, to);
        CHECK(out == expected);
      });
    }
  }
}

TEST_CASE("Rows are blurred value by value, each product rounded") {
  for (const std::size_t n : {1U, 5U, 33U, 64U, 97U, 288U}) {
    for (const std::size_t pairs : {1U, 2U, 5U, 11U}) {
      sm::Rng rng{100 * n + pairs};
      const auto random_row = [&] {
        std::vector<std::int16_t> row(n + kernels::blur_slack);
        for (auto& value : row) value = static_cast<std::int16_t>(static_cast<int>(rng.below(256) << 7U) - 16384);
        return row;
      };
      std::vector<std::vector<std::int16_t>> rows;
      for (std::size_t k = 0; k <= 2 * pairs; ++k) rows.push_back(random_row());
      std::vector<const std::int16_t*> before, after;
      for (std::size_t k = 0; k < pairs; ++k) {
        before.push_back(rows[1 + k].data());
        after.push_back(rows[1 + pairs + k].data());
      }
      // Of a sum of 1, counting those of pairs twice.
      std::vector<std::int16_t> weights(pairs + 1);
      int rest = 1 << 15;
      for (std::size_t k = 1; k <= pairs; ++k) {
        weights[k] = static_cast<std::int16_t>(rng.below(static_cast<std::uint64_t>(rest / 4)));
        rest -= 2 * weights[k];
      }
      weights[0] = static_cast<std::int16_t>(rest - 1);
      std::vector<std::int16_t> expected;
      for (std::size_t i = 0; i < n; ++i) {
        const auto product = [](int value, int weight) {
          return (std::clamp(value, -32768, 32767) * weight + (1 << 14)) >> 15;
        };
        int sum = product(rows[0][i], weights[0]);
        for (std::size_t k = 0; k < pairs; ++k) sum += product(before[k][i] + after[k][i], weights[k + 1]);
        expected.push_back(static_cast<std::int16_t>(sum));
      }
      sm::test::on_every_instruction_set([&] {
        std::vector<std::int16_t> out(n + kernels::blur_slack);
        kernels::blurred_row(rows[0].data(), before, after, weights.data(), n, out.data());
        out.resize(n);
        CHECK(out == expected);
      });
    }
  }
}

TEST_CASE("Values become fixed point and, rounded, bytes again") {
  std::vector<std::uint8_t> bytes(256 + 5);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(i);
  std::vector<std::int16_t> all(1U << 16U);
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<std::int16_t>(static_cast<int>(i) - 32768);
  sm::test::on_every_instruction_set([&] {
    std::vector<std::int16_t> fixed(bytes.size());
    kernels::to_blur(bytes.data(), bytes.size(), fixed.data());
    int wrong = 0;
    for (std::size_t i = 0; i < bytes.size(); ++i) wrong += fixed[i] == (bytes[i] - 128) * 128 ? 0 : 1;
    CHECK(wrong == 0);
    std::vector<std::uint8_t> back(all.size());
    kernels::from_blur(all.data(), all.size(), back.data());
    for (std::size_t i = 0; i < all.size(); ++i) {
      const double value = std::floor(all[i] / 128.0 + 0.5) + 128;
      wrong += back[i] == std::clamp(value, 0.0, 255.0) ? 0 : 1;
    }
    CHECK(wrong == 0);
  });
}

TEST_CASE("Rows are mirrored pixel by pixel, of any length") {
  for (std::size_t n = 1; n < 40; ++n) {
    sm::Rng rng{n};
    const auto row = random_bytes(3 * n, rng);
    std::vector<std::uint8_t> expected(row.size());
    for (std::size_t x = 0; x < n; ++x) std::copy_n(&row[3 * (n - 1 - x)], 3, &expected[3 * x]);
    sm::test::on_every_instruction_set([&] {
      std::vector<std::uint8_t> out(row.size());
      kernels::mirrored_row(row.data(), n, out.data());
      CHECK(out == expected);
    });
  }
}
