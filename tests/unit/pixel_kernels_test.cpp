// The kernels of resizing and blurring against the loops that define them, on every instruction set of this machine.
#include "data/pixel_kernels.hpp"

#include <sslmeme/core/random.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
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
      std::vector<std::vector<std::uint8_t>> bytes;
      std::vector<std::vector<float>> floats;
      std::vector<const std::uint8_t*> byte_rows;
      std::vector<const float*> float_rows;
      for (std::size_t k = 0; k < count; ++k) {
        bytes.push_back(random_bytes(n, rng));
        floats.emplace_back(bytes.back().begin(), bytes.back().end());
      }
      for (std::size_t k = 0; k < count; ++k) {
        byte_rows.push_back(bytes[k].data());
        float_rows.push_back(floats[k].data());
      }
      const auto weights = random_weights(count, rng);
      const std::vector<float> shares(weights.begin(), weights.end());
      std::vector<std::uint8_t> expected_bytes(n);
      std::vector<float> expected_floats(n);
      for (std::size_t i = 0; i < n; ++i) {
        std::int64_t sum = 0;
        volatile float total = 0;  // each product and each sum rounded
        for (std::size_t k = 0; k < count; ++k) {
          sum += std::int64_t{weights[k]} * bytes[k][i];
          volatile float product = shares[k] * floats[k][i];
          total = total + product;
        }
        expected_bytes[i] = rounded(sum);
        expected_floats[i] = total;
      }
      sm::test::on_every_instruction_set([&] {
        std::vector<std::uint8_t> out(n);
        kernels::weighted_rows(byte_rows, weights.data(), n, out.data());
        CHECK(out == expected_bytes);
        std::vector<float> sums(n);
        kernels::weighted_rows(float_rows, shares.data(), n, sums.data());
        CHECK(sums == expected_floats);
      });
    }
  }
}

TEST_CASE("Rows are resized pixel by pixel, one to four at a time") {
  for (const int width : {1, 2, 5, 40}) {
    for (const std::size_t height : {1U, 2U, 3U, 4U}) {
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
