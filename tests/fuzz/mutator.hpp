// New inputs from old ones, for fuzz targets that run without libFuzzer.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sslmeme::fuzz {

using Bytes = std::string;

inline constexpr std::size_t max_input_bytes = 1 << 20;

/// The same inputs in the same order for the same seed.
class Mutator {
 public:
  Mutator(std::uint64_t seed, std::vector<Bytes> words) : dice_{seed}, words_{std::move(words)} {}

  std::size_t below(std::size_t n) { return dice_() % n; }

  /// `input`, changed in one to eight ways; `other` lends parts.
  Bytes mutate(Bytes input, const Bytes& other) {
    for (auto steps = std::size_t{1} << below(4); steps > 0; --steps) change(input, other);
    if (input.size() > max_input_bytes) input.resize(max_input_bytes);
    return input;
  }

 private:
  void change(Bytes& input, const Bytes& other) {
    if (input.empty()) {
      input = other;
      return;
    }
    const auto at = below(input.size());
    const auto length = std::min(input.size() - at, std::size_t{1} << below(9));
    switch (below(12)) {
      case 0:
        input[at] = static_cast<char>(input[at] ^ (1 << below(8)));
        break;
      case 1:
        input[at] = static_cast<char>(dice_());
        break;
      case 2:
        overwrite(input, at, interesting());
        break;
      case 3:
        input.erase(at, length);
        break;
      case 4:  // twice, or many times
        input.insert(at, repeated(input.substr(at, length), below(8) == 0 ? 64 : 1));
        break;
      case 5:
        input.insert(at, std::string(std::size_t{1} << below(9), static_cast<char>(dice_())));
        break;
      case 6:
        if (!words_.empty()) input.insert(at, words_[below(words_.size())]);
        break;
      case 7:
        if (!words_.empty()) overwrite(input, at, words_[below(words_.size())]);
        break;
      case 8:
        if (!other.empty()) input = input.substr(0, at) + other.substr(below(other.size()));
        break;
      case 9:
        input.resize(at);
        break;
      case 10:
        overwrite(input, below(input.size()), input.substr(at, length));
        break;
      default:
        replace_number(input, at);
    }
  }

  static Bytes repeated(const Bytes& part, std::size_t times) {
    Bytes all;
    while (times-- > 0) all += part;
    return all;
  }

  static void overwrite(Bytes& input, std::size_t at, const Bytes& part) {
    input.replace(at, std::min(part.size(), input.size() - at), part);
  }

  /// A number near which code goes wrong, in one to eight bytes of either order.
  Bytes interesting() {
    constexpr std::array<std::uint64_t, 12> numbers{0,      1,          0x7F,       0x80,       0xFF,        0x7FFF,
                                                    0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1ULL << 62U, ~0ULL};
    const auto number = numbers[below(numbers.size())] + below(3) - 1;
    Bytes bytes(std::size_t{1} << below(4), '\0');
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(number >> (8 * i));
    if (below(2) == 0) std::ranges::reverse(bytes);
    return bytes;
  }

  /// The digits at or behind `at` become another number.
  void replace_number(Bytes& input, std::size_t at) {
    constexpr std::array<std::string_view, 12> numbers{"0",
                                                       "1",
                                                       "-1",
                                                       "255",
                                                       "65536",
                                                       "2147483647",
                                                       "4294967296",
                                                       "9223372036854775807",
                                                       "9223372036854775808",
                                                       "18446744073709551616",
                                                       "1e999",
                                                       "00000000000"};
    const auto first = input.find_first_of("0123456789", at);
    if (first == Bytes::npos) return;
    const auto last = std::min(input.find_first_not_of("0123456789", first), input.size());
    input.replace(first, last - first, numbers[below(numbers.size())]);
  }

  std::mt19937_64 dice_;
  std::vector<Bytes> words_;
};

}  // namespace sslmeme::fuzz
