// What made memes are about: families of pictures with a good and a bad pole, and captions that affirm or deny.
#pragma once

#include <array>
#include <span>
#include <string_view>

namespace sslmeme {

enum class Pole { good, bad };
enum class Kind { affirm, deny };

/// How many of each there are, and how many of these, the last ones, appear in the unseen splits only.
inline constexpr int pictures_a_pole = 4;
inline constexpr int held_out_pictures = 1;
inline constexpr int captions_a_kind = 12;
inline constexpr int held_out_captions = 2;

/// One topic. A caption that affirms a good picture or denies a bad one is kind (harmless); one that affirms a bad
/// picture or denies a good one is mean (harmful). Neither half tells which.
struct Family {
  std::string_view name;
  std::array<char32_t, pictures_a_pole> good;  ///< code points of emoji
  std::array<char32_t, pictures_a_pole> bad;
  std::array<std::string_view, captions_a_kind> affirm;  ///< ASCII, lower case
  std::array<std::string_view, captions_a_kind> deny;

  constexpr const auto& pictures(Pole pole) const { return pole == Pole::good ? good : bad; }
  constexpr const auto& captions(Kind kind) const { return kind == Kind::affirm ? affirm : deny; }
};

/// 1 if a caption of this kind under a picture of this pole is harmful, else 0.
constexpr int harmful(Pole pole, Kind kind) {
  return (pole == Pole::bad) == (kind == Kind::affirm) ? 1 : 0;
}

/// All families.
std::span<const Family> families();

}  // namespace sslmeme
