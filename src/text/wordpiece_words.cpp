#include "text/wordpiece_words.hpp"

#include "core/utf8.hpp"
#include "text/unicode_classes.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

namespace sslmeme::detail {
namespace {

/// The ideograph blocks that BERT separates; not Hangul, Hiragana or Katakana, which are written in words. The sixth
/// begins at U+2B920 in Hugging Face's tokenizers; in Google's code it is U+2B820.
bool is_ideograph(char32_t c) {
  if (c < 0x3400) return false;
  static constexpr std::array<std::pair<char32_t, char32_t>, 8> blocks{{{0x4E00, 0x9FFF},
                                                                        {0x3400, 0x4DBF},
                                                                        {0x20000, 0x2A6DF},
                                                                        {0x2A700, 0x2B73F},
                                                                        {0x2B740, 0x2B81F},
                                                                        {0x2B920, 0x2CEAF},
                                                                        {0xF900, 0xFAFF},
                                                                        {0x2F800, 0x2FA1F}}};
  return std::ranges::any_of(blocks, [c](const auto& block) { return c >= block.first && c <= block.second; });
}

std::u32string cleaned(std::string_view text, bool tokenize_chinese_chars) {
  std::u32string clean;
  clean.reserve(text.size());
  while (!text.empty()) {
    const auto c = take_character(text);
    if (c == malformed || is(CharacterClass::bert_dropped, c)) continue;
    if (is(CharacterClass::bert_space, c)) {
      clean += U' ';
    } else if (tokenize_chinese_chars && is_ideograph(c)) {
      clean.append({U' ', c, U' '});
    } else {
      clean += c;
    }
  }
  return clean;
}

std::u32string without_accents(const std::u32string& text) {
  if (std::ranges::all_of(text, [](char32_t c) { return c < 0xC0; })) return text;  // neither accent nor accented
  auto plain = decomposed(text, CharacterClass::bert_not_normalised);
  std::erase_if(plain, [](char32_t c) { return is(CharacterClass::bert_accent, c); });
  return plain;
}

std::u32string in_lower_case(const std::u32string& text) {
  std::u32string lower;
  lower.reserve(text.size());
  for (const auto c : text) {
    if (c == 0x130) {
      lower += U"i\u0307";
    } else {
      lower += lower_case(c);
    }
  }
  return lower;
}

}  // namespace

void for_each_word(std::string_view text, const BertWordRules& rules,
                   const std::function<void(std::string_view)>& use) {
  auto normal = cleaned(text, rules.tokenize_chinese_chars);
  if (rules.strip_accents) normal = without_accents(normal);
  if (rules.lower_case) normal = in_lower_case(normal);
  std::string word;
  const auto end_word = [&] {
    if (!word.empty()) use(word);
    word.clear();
  };
  for (const auto c : normal) {
    const bool space = is(CharacterClass::bert_space, c), punctuation = is(CharacterClass::bert_punctuation, c);
    if (space || punctuation) end_word();
    if (!space) append_character(word, c);
    if (punctuation) end_word();
  }
  end_word();
}

}  // namespace sslmeme::detail
