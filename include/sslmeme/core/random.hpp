// Reproducible random numbers: every draw comes from a generator that is passed explicitly, and every generator from a
// seed derived from (run seed, epoch, sample id), so that neither worker count nor order of execution changes a result.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <memory>
#include <numbers>
#include <span>
#include <utility>

namespace sslmeme {

/// One step of SplitMix64 (Steele, Lea & Flood 2014): a bijective mix of 64 bits.
constexpr std::uint64_t mix64(std::uint64_t x) {
  x += 0x9E3779B97F4A7C15ULL;
  x = (x ^ (x >> 30U)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27U)) * 0x94D049BB133111EBULL;
  return x ^ (x >> 31U);
}

/// A seed from several numbers, e.g. derive_seed({run_seed, epoch, sample_id, view}). Order matters.
constexpr std::uint64_t derive_seed(std::initializer_list<std::uint64_t> parts) {
  std::uint64_t seed = 0x243F6A8885A308D3ULL;
  for (const auto part : parts) seed = mix64(seed ^ mix64(part));
  return seed;
}

/// A small random generator (xoshiro256**, Blackman & Vigna 2018) with the distributions that transforms need. Its
/// results are the same on every platform, which those of <random>'s distributions are not.
class Rng {
 public:
  using result_type = std::uint64_t;

  constexpr explicit Rng(std::uint64_t seed) {
    for (auto& word : state_) word = seed = mix64(seed);
  }

  static constexpr result_type min() { return 0; }
  static constexpr result_type max() { return std::numeric_limits<result_type>::max(); }

  constexpr result_type operator()() {
    const auto result = rotl(state_[1] * 5, 7) * 9;
    const auto t = state_[1] << 17U;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= t;
    state_[3] = rotl(state_[3], 45);
    return result;
  }

  /// Uniform in [0, 1).
  constexpr double uniform() { return static_cast<double>((*this)() >> 11U) * 0x1.0p-53; }
  /// Uniform in [low, high).
  constexpr double uniform(double low, double high) { return low + (high - low) * uniform(); }
  /// Uniform among 0 … n − 1; n must be positive. Unbiased, by rejection.
  constexpr std::uint64_t below(std::uint64_t n) {
    const std::uint64_t threshold = (0 - n) % n;
    auto draw = (*this)();
    while (draw < threshold) draw = (*this)();
    return draw % n;
  }
  /// True with probability p.
  constexpr bool bernoulli(double p) { return uniform() < p; }
  /// Standard normal (Box–Muller, one of the pair).
  double normal();

  /// A random order of the items (Fisher–Yates).
  template <class T>
  constexpr void shuffle(std::span<T> items) {
    for (std::size_t i = items.size(); i > 1; --i) {
      using std::swap;
      swap(items[i - 1], items[below(i)]);
    }
  }

 private:
  static constexpr std::uint64_t rotl(std::uint64_t x, unsigned k) { return (x << k) | (x >> (64U - k)); }
  std::uint64_t state_[4]{};
};

/// Makes LibTorch's generator of a device start from `seed` while alive and puts its former state back afterwards, so
/// that building a model or running dropout has no side effect on the caller's random numbers.
class TorchSeedScope {
 public:
  explicit TorchSeedScope(std::uint64_t seed, c10::Device device = c10::kCPU);
  ~TorchSeedScope();
  TorchSeedScope(const TorchSeedScope&) = delete;
  TorchSeedScope& operator=(const TorchSeedScope&) = delete;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace sslmeme
