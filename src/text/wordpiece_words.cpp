#include "text/wordpiece_words.hpp"

#include <utf8proc.h>

#include <array>
#include <new>
#include <utility>
#include <vector>

namespace sslmeme::detail {
namespace {

using CodePoint = utf8proc_int32_t;

/// Takes one character from the front of `text`; −1, and one byte taken, where it is malformed.
CodePoint take(std::string_view& text) {
  CodePoint c = -1;
  const auto length = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                       static_cast<utf8proc_ssize_t>(text.size()), &c);
  text.remove_prefix(length > 0 ? static_cast<std::size_t>(length) : 1);
  return length > 0 ? c : -1;
}

void append(std::string& text, CodePoint c) {
  std::array<utf8proc_uint8_t, 4> bytes{};
  const auto length = utf8proc_encode_char(c, bytes.data());
  text.append(reinterpret_cast<const char*>(bytes.data()), static_cast<std::size_t>(length));
}

/// Unicode's White_Space property, as far as it is not a control character.
bool is_space(CodePoint c) {
  if (c == ' ' || c == '\t' || c == '\n' || c == '\r') return true;
  const auto category = utf8proc_category(c);
  return category == UTF8PROC_CATEGORY_ZS || category == UTF8PROC_CATEGORY_ZL || category == UTF8PROC_CATEGORY_ZP;
}

/// Control, format and private-use characters. Not those that Unicode has yet to assign: tomorrow's emoji are words
/// too.
bool is_dropped(CodePoint c) {
  if (c < 0 || c == 0xFFFD) return true;
  const auto category = utf8proc_category(c);
  return category == UTF8PROC_CATEGORY_CC || category == UTF8PROC_CATEGORY_CF || category == UTF8PROC_CATEGORY_CO ||
         category == UTF8PROC_CATEGORY_CS;
}

/// All of ASCII that is neither letter, digit nor space counts, "$" and "^" too, and so does Unicode's category P.
bool is_punctuation(CodePoint c) {
  if ((c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) || (c >= 123 && c <= 126)) return true;
  const auto category = utf8proc_category(c);
  return category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO;
}

/// The ideograph blocks that BERT separates; not Hangul, Hiragana or Katakana, which are written in words.
bool is_ideograph(CodePoint c) {
  static constexpr std::array<std::pair<CodePoint, CodePoint>, 8> blocks{{{0x4E00, 0x9FFF},
                                                                          {0x3400, 0x4DBF},
                                                                          {0x20000, 0x2A6DF},
                                                                          {0x2A700, 0x2B73F},
                                                                          {0x2B740, 0x2B81F},
                                                                          {0x2B820, 0x2CEAF},
                                                                          {0xF900, 0xFAFF},
                                                                          {0x2F800, 0x2FA1F}}};
  for (const auto& [first, last] : blocks) {
    if (c >= first && c <= last) return true;
  }
  return false;
}

std::string cleaned(std::string_view text) {
  std::string clean;
  clean.reserve(text.size());
  while (!text.empty()) {
    const auto c = take(text);
    if (is_space(c)) {
      clean += ' ';
    } else if (is_ideograph(c)) {
      clean += ' ';
      append(clean, c);
      clean += ' ';
    } else if (!is_dropped(c)) {
      append(clean, c);
    }
  }
  return clean;
}

/// The canonical decomposition (NFD).
std::vector<CodePoint> decomposed(const std::string& text) {
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  const auto size = static_cast<utf8proc_ssize_t>(text.size());
  std::vector<CodePoint> points(text.size());
  auto length =
      utf8proc_decompose(bytes, size, points.data(), static_cast<utf8proc_ssize_t>(points.size()), UTF8PROC_DECOMPOSE);
  if (length > static_cast<utf8proc_ssize_t>(points.size())) {
    points.resize(static_cast<std::size_t>(length));
    length = utf8proc_decompose(bytes, size, points.data(), length, UTF8PROC_DECOMPOSE);
  }
  if (length < 0) throw std::bad_alloc{};  // well-formed by construction: only memory or overflow can fail
  points.resize(static_cast<std::size_t>(length));
  return points;
}

std::string plain_lower_case(const std::string& text) {
  std::string plain;
  plain.reserve(text.size());
  for (const auto c : decomposed(text)) {
    if (utf8proc_category(c) != UTF8PROC_CATEGORY_MN) append(plain, utf8proc_tolower(c));
  }
  return plain;
}

}  // namespace

void for_each_word(std::string_view text, bool lower_case, const std::function<void(std::string_view)>& use) {
  auto normal = cleaned(text);
  if (lower_case) normal = plain_lower_case(normal);
  std::string_view rest = normal;
  std::size_t start = 0;  // of the word at hand
  const auto end_word = [&](std::size_t end) {
    if (end > start) use(std::string_view{normal}.substr(start, end - start));
  };
  while (!rest.empty()) {
    const auto at = normal.size() - rest.size();
    const auto c = take(rest);
    const auto next = normal.size() - rest.size();
    if (is_space(c)) {
      end_word(at);
      start = next;
    } else if (is_punctuation(c)) {
      end_word(at);
      start = at;
      end_word(next);
      start = next;
    }
  }
  end_word(normal.size());
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    if (take(text) < 0) return false;
  }
  return true;
}

}  // namespace sslmeme::detail
