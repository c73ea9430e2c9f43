#include "text/unicode_classes.hpp"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <new>
#include <vector>

namespace sslmeme::detail {
namespace {

using Points = std::vector<utf8proc_int32_t>;

std::uint16_t classes_of(char32_t character) {
  static const auto ascii = [] {
    std::array<std::uint16_t, 128> classes{};
    for (const auto& run : unicode_class_runs()) {
      if (run.first < classes.size()) std::fill(classes.begin() + run.first, classes.end(), run.classes);
    }
    return classes;
  }();
  if (character < ascii.size()) return ascii[character];
  const auto runs = unicode_class_runs();
  const auto next = std::ranges::upper_bound(runs, character, {}, &ClassRun::first);
  return std::prev(next)->classes;
}

int combining_class(utf8proc_int32_t point) {
  return utf8proc_get_property(point)->combining_class;
}

/// Appends the decomposition of one character, its marks not yet in order.
void append_decomposed(Points& points, char32_t character) {
  std::array<utf8proc_int32_t, 32> parts{};  // the longest canonical decomposition has four
  int unused = 0;
  const auto count = utf8proc_decompose_char(
      static_cast<utf8proc_int32_t>(character), parts.data(), static_cast<utf8proc_ssize_t>(parts.size()),
      static_cast<utf8proc_option_t>(UTF8PROC_DECOMPOSE | UTF8PROC_STABLE), &unused);
  if (count < 0) throw std::bad_alloc{};  // not for code points, and only these get here
  points.insert(points.end(), parts.begin(), parts.begin() + count);
}

/// Marks that follow one another by rising class. Not by utf8proc, which takes the square of their number for it.
void order_marks(Points& points) {
  for (auto at = points.begin(); at != points.end();) {
    const auto first = std::find_if(at, points.end(), [](auto point) { return combining_class(point) != 0; });
    at = std::find_if(first, points.end(), [](auto point) { return combining_class(point) == 0; });
    if (at - first > 1)
      std::stable_sort(first, at, [](auto a, auto b) { return combining_class(a) < combining_class(b); });
  }
}

/// The text between characters of class `newer`, decomposed, through `finish` and behind one another.
template <class Finish>
std::u32string normalised(std::u32string_view text, CharacterClass newer, Finish finish) {
  std::u32string result;
  result.reserve(text.size());
  Points points;
  const auto end_part = [&] {
    order_marks(points);
    finish(points);
    result.append(points.begin(), points.end());
    points.clear();
  };
  for (const auto character : text) {
    if (is(newer, character)) {
      end_part();
      result += character;
    } else {
      append_decomposed(points, character);
    }
  }
  end_part();
  return result;
}

}  // namespace

bool is(CharacterClass which, char32_t character) {
  return (classes_of(character) & static_cast<std::uint16_t>(which)) != 0;
}

char32_t lower_case(char32_t character) {
  if (character < 0x80) return character >= U'A' && character <= U'Z' ? character + 32 : character;
  const auto rows = unicode_lower_case_rows();
  const auto next = std::ranges::upper_bound(rows, character, {}, &LowerCaseRow::first);
  const auto& row = *std::prev(next);  // the first row is ASCII's
  if (character > row.last || (character - row.first) % row.step != 0) return character;
  return static_cast<char32_t>(static_cast<std::int32_t>(character) + row.distance);
}

std::u32string decomposed(std::u32string_view text, CharacterClass newer) {
  return normalised(text, newer, [](Points&) {});
}

std::u32string composed(std::u32string_view text, CharacterClass newer) {
  return normalised(text, newer, [](Points& points) {
    const auto length = utf8proc_normalize_utf32(points.data(), static_cast<utf8proc_ssize_t>(points.size()),
                                                 static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE));
    points.resize(static_cast<std::size_t>(length));
  });
}

}  // namespace sslmeme::detail
