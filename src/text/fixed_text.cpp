#include "text/fixed_text.hpp"

#include "text/html_entities.hpp"
#include "text/unicode_classes.hpp"
#include "text/windows_1252.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>

namespace sslmeme::detail {
namespace {

constexpr std::size_t longest_segment = 1'000'000;  // characters: ftfy's max_decode_length
constexpr int most_rounds = 64;
constexpr char32_t escape = 0x1B;

/// Ligatures and digraphs of Latin letters (ftfy.chardata.LIGATURES); empty for other characters.
std::u32string_view ligature(char32_t c) {
  static constexpr std::array<std::pair<char32_t, std::u32string_view>, 22> ligatures{
      {{0x132, U"IJ"},       {0x133, U"ij"},  {0x149, U"\u02BCn"}, {0x1C4, U"D\u017D"}, {0x1C5, U"D\u017E"},
       {0x1C6, U"d\u017E"},  {0x1C7, U"LJ"},  {0x1C8, U"Lj"},      {0x1C9, U"lj"},      {0x1CA, U"NJ"},
       {0x1CB, U"Nj"},       {0x1CC, U"nj"},  {0x1F1, U"DZ"},      {0x1F2, U"Dz"},      {0x1F3, U"dz"},
       {0xFB00, U"ff"},      {0xFB01, U"fi"}, {0xFB02, U"fl"},     {0xFB03, U"ffi"},    {0xFB04, U"ffl"},
       {0xFB05, U"\u017Ft"}, {0xFB06, U"st"}}};
  const auto at = std::ranges::lower_bound(ligatures, c, {}, [](const auto& row) { return row.first; });
  return at != ligatures.end() && at->first == c ? at->second : std::u32string_view{};
}

bool is_control(char32_t c) {
  return c <= 0x08 || c == 0x0B || (c >= 0x0E && c <= 0x1F) || c == 0x7F || (c >= 0x206A && c <= 0x206F) ||
         c == 0xFEFF || (c >= 0xFFF9 && c <= 0xFFFC);
}

char32_t with_straight_quotes(char32_t c) {
  if (c == 0x02BC || (c >= 0x2018 && c <= 0x201B)) return U'\'';
  if (c >= 0x201C && c <= 0x201F) return U'"';
  return c;
}

/// One character through ftfy's maps, but for control characters: these can belong to an escape sequence.
void append_mapped(std::u32string& out, char32_t c) {
  if (c < 0x80) {
    out += c;
    return;
  }
  if (c <= 0x9F) c = windows_1252(c);
  const auto parts = ligature(c);
  if (!parts.empty()) {
    for (const auto part : parts) out += with_straight_quotes(part);
  } else if (c == 0x3000) {
    out += U' ';
  } else if (c >= 0xFF01 && c <= 0xFFEF) {
    const auto rows = character_width_rows();
    const auto at = std::ranges::lower_bound(rows, c, {}, &WidthRow::form);
    const bool found = at != rows.end() && at->form == c;
    out += found ? at->first : c;
    if (found && at->second != 0) out += at->second;
  } else if (c == 0x2028 || c == 0x2029) {
    out += U'\n';
  } else {
    out += with_straight_quotes(c);
  }
}

std::u32string mapped(std::u32string_view text) {
  std::u32string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != U'\r') {
      append_mapped(out, text[i]);
    } else if (i + 1 == text.size() || text[i + 1] != U'\n') {
      out += U'\n';
    }
  }
  return out;
}

/// The length of the terminal's escape sequence that `text` begins with, ESC [ 36;44 m; 0 if there is none.
std::size_t escape_sequence(std::u32string_view text) {
  if (text.size() < 3 || text[0] != escape || text[1] != U'[') return 0;
  std::size_t at = 2;
  while (at < text.size() && (text[at] == U';' || is(CharacterClass::python_digit, text[at]))) ++at;
  if (at == text.size()) return 0;
  const auto letter = text[at] | 0x20U;
  return letter >= U'a' && letter <= U'z' ? at + 1 : 0;
}

std::u32string without_controls(std::u32string_view text) {
  std::u32string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    const auto sequence = escape_sequence(text.substr(i));
    if (sequence == 0 && !is_control(text[i])) out += text[i];
    i += std::max<std::size_t>(sequence, 1);
  }
  return out;
}

/// Characters below U+0300 are normal, whatever stands beside them, where no mark follows.
std::u32string normal(std::u32string text) {
  if (std::ranges::all_of(text, [](char32_t c) { return c < 0x300; })) return text;
  return composed(text, CharacterClass::python_not_normalised);
}

bool nothing_to_fix(std::u32string_view text) {
  return std::ranges::all_of(text, [](char32_t c) { return c < 0x7F && c != U'&' && c != U'\r' && !is_control(c); });
}

std::u32string fixed_segment(std::u32string text, bool unescape) {
  for (int round = 0; round < most_rounds && !nothing_to_fix(text); ++round) {
    auto next = unescape ? html_unescaped_with_care(text) : text;
    next = normal(without_controls(mapped(next)));
    if (next == text) break;
    text = std::move(next);
  }
  return text;
}

}  // namespace

std::u32string fixed_text(std::u32string_view text) {
  std::u32string fixed;
  fixed.reserve(text.size());
  bool unescape = true;
  while (!text.empty()) {
    const auto line_break = text.find(U'\n');
    const auto end = line_break == std::u32string_view::npos ? text.size() : line_break + 1;
    const auto segment = text.substr(0, std::min(end, longest_segment));
    text.remove_prefix(segment.size());
    unescape = unescape && segment.find(U'<') == std::u32string_view::npos;  // HTML, from here on, is meant
    fixed += fixed_segment(std::u32string{segment}, unescape);
  }
  return fixed;
}

}  // namespace sslmeme::detail
