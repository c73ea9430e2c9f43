// The one reader of UTF-8, as Python's decoder with errors="replace" reads it.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace sslmeme::detail {

/// What take_character() gives for malformed bytes.
inline constexpr char32_t malformed = 0xFFFFFFFF;

/// Takes one character from the front of `text`, which must not be empty. Malformed bytes are taken up to where no
/// character could go on (Unicode 15, section 3.9, "maximal subpart") and give `malformed` once.
char32_t take_character(std::string_view& text);

void append_character(std::string& text, char32_t character);

/// All characters, U+FFFD for what is malformed.
std::u32string characters_of(std::string_view text);

/// The bytes of the UTF-8 character that starts with `lead`, as it claims: what follows may be another.
constexpr std::size_t utf8_length(char lead) {
  const auto byte = static_cast<unsigned char>(lead);
  return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

/// Whether `text` is well-formed UTF-8.
bool is_utf8(std::string_view text);

}  // namespace sslmeme::detail
