#include "text/clip_words.hpp"

#include "core/utf8.hpp"
#include "text/fixed_text.hpp"
#include "text/html_entities.hpp"
#include "text/unicode_classes.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>

namespace sslmeme::detail {
namespace {

constexpr char32_t capital_sigma = 0x3A3, sigma = 0x3C3, final_sigma = 0x3C2, long_s = 0x17F;

/// " ".join(text.split())
std::u32string with_single_spaces(std::u32string_view text) {
  std::u32string out;
  out.reserve(text.size());
  for (const auto c : text) {
    if (!is(CharacterClass::python_space, c)) {
      out += c;
    } else if (!out.empty() && out.back() != U' ') {
      out += U' ';
    }
  }
  if (!out.empty() && out.back() == U' ') out.pop_back();
  return out;
}

/// Whether the sigma at `at` ends a word: behind a letter that has a case and before none, marks and the like aside
/// (Unicode's Final_Sigma). `cased_before` tells the former.
bool ends_word(std::u32string_view text, std::size_t at, bool cased_before) {
  if (!cased_before) return false;
  const auto ignorable = [](char32_t c) { return is(CharacterClass::python_case_ignorable, c); };
  const auto rest = text.substr(at + 1);
  const auto next = std::ranges::find_if_not(rest, ignorable);
  return next == rest.end() || !is(CharacterClass::python_cased, *next);
}

/// str.lower()
std::u32string in_lower_case(std::u32string_view text) {
  std::u32string lower;
  lower.reserve(text.size());
  bool cased_before = false;  // of the last character that is not case-ignorable
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = text[i];
    if (c == capital_sigma) {
      lower += ends_word(text, i, cased_before) ? final_sigma : sigma;
    } else if (c == 0x130) {
      lower += U"i\u0307";
    } else if (is(CharacterClass::python_not_normalised, c)) {
      lower += c;
    } else {
      lower += lower_case(c);
    }
    if (!is(CharacterClass::python_case_ignorable, c)) cased_before = is(CharacterClass::python_cased, c);
  }
  return lower;
}

/// Whether `text` begins with `word`, which is ASCII in lower case. Python's IGNORECASE takes ſ for s.
bool begins_with(std::u32string_view text, std::string_view word) {
  if (text.size() < word.size()) return false;
  return std::ranges::equal(word, text.substr(0, word.size()), [](char a, char32_t b) {
    return static_cast<char32_t>(a) == b || (a == 's' && b == long_s);
  });
}

/// The length of the word that `text` begins with, by open_clip's regular expression; 0: the character is no part of
/// any word.
std::size_t word_length(std::u32string_view text) {
  static constexpr std::array<std::string_view, 9> whole{
      "<start_of_text>", "<end_of_text>", "'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};
  if (text[0] == U'<' || text[0] == U'\'') {
    for (const auto word : whole) {
      if (begins_with(text, word)) return word.size();
    }
  }
  const auto run = [&](CharacterClass which) {
    const auto end = std::ranges::find_if_not(text, [which](char32_t c) { return is(which, c); });
    return static_cast<std::size_t>(end - text.begin());
  };
  if (const auto letters = run(CharacterClass::clip_letter); letters > 0) return letters;
  if (is(CharacterClass::clip_number, text[0])) return 1;
  return run(CharacterClass::clip_other);
}

}  // namespace

void for_each_clip_word(std::string_view text, const std::function<bool(std::string_view)>& use) {
  auto clean = fixed_text(characters_of(text));
  for (int i = 0; i < 2 && clean.find(U'&') != std::u32string::npos; ++i) clean = html_unescaped(clean);
  const auto lower = in_lower_case(with_single_spaces(clean));
  std::u32string_view rest = lower;
  std::string word;
  while (!rest.empty()) {
    const auto length = word_length(rest);
    if (length > 0) {
      word.clear();
      for (const auto c : rest.substr(0, length)) append_character(word, c);
      if (!use(word)) return;
    }
    rest.remove_prefix(std::max<std::size_t>(length, 1));
  }
}

}  // namespace sslmeme::detail
