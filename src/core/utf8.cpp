#include "core/utf8.hpp"

namespace sslmeme::detail {
namespace {

struct Lead {
  std::size_t length;         // 0: no character starts like this
  unsigned char first, last;  // what may follow
};

constexpr Lead lead_of(unsigned char byte) {
  if (byte < 0x80) return {1, 0, 0};
  if (byte < 0xC2 || byte > 0xF4) return {0, 0, 0};
  if (byte < 0xE0) return {2, 0x80, 0xBF};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0x80, 0x9F};  // no surrogates
  if (byte < 0xF0) return {3, 0x80, 0xBF};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte == 0xF4) return {4, 0x80, 0x8F};
  return {4, 0x80, 0xBF};
}

}  // namespace

char32_t take_character(std::string_view& text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  auto [length, first, last] = lead_of(byte(0));
  if (length <= 1) {
    const auto character = length == 1 ? char32_t{byte(0)} : malformed;
    text.remove_prefix(1);
    return character;
  }
  char32_t character = byte(0) & (0x7FU >> length);
  for (std::size_t i = 1; i < length; ++i) {
    if (i == text.size() || byte(i) < first || byte(i) > last) {
      text.remove_prefix(i);
      return malformed;
    }
    character = character << 6U | (byte(i) & 0x3FU);
    first = 0x80;
    last = 0xBF;
  }
  text.remove_prefix(length);
  return character;
}

void append_character(std::string& text, char32_t character) {
  const auto add = [&](char32_t byte) { text += static_cast<char>(static_cast<unsigned char>(byte)); };
  if (character < 0x80) {
    add(character);
  } else if (character < 0x800) {
    add(0xC0 | character >> 6U);
    add(0x80 | (character & 0x3F));
  } else if (character < 0x10000) {
    add(0xE0 | character >> 12U);
    add(0x80 | (character >> 6U & 0x3F));
    add(0x80 | (character & 0x3F));
  } else {
    add(0xF0 | character >> 18U);
    add(0x80 | (character >> 12U & 0x3F));
    add(0x80 | (character >> 6U & 0x3F));
    add(0x80 | (character & 0x3F));
  }
}

std::u32string characters_of(std::string_view text) {
  std::u32string characters;
  characters.reserve(text.size());
  while (!text.empty()) {
    const auto character = take_character(text);
    characters += character == malformed ? U'\uFFFD' : character;
  }
  return characters;
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    if (take_character(text) == malformed) return false;
  }
  return true;
}

}  // namespace sslmeme::detail
