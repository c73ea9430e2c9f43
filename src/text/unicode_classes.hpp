// How the tokenizers that ours follow class, lower-case and normalise each code point: not by one version of Unicode
// but by those that Rust's crates, Python's regex and Python itself have tables of.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace sslmeme::detail {

/// One bit a class, in the order of CLASSES in scripts/golden/text_tables.py.
enum class CharacterClass : std::uint16_t {
  bert_dropped = 1U << 0U,
  bert_space = 1U << 1U,
  bert_punctuation = 1U << 2U,
  bert_accent = 1U << 3U,          ///< a non-spacing mark
  bert_not_normalised = 1U << 4U,  ///< newer than the tables of NFD: left as it is, and a starter
  clip_letter = 1U << 5U,          ///< \p{L}
  clip_number = 1U << 6U,          ///< \p{N}
  clip_other = 1U << 7U,           ///< [^\s\p{L}\p{N}], which under IGNORECASE is not all that remains
  python_space = 1U << 8U,         ///< str.isspace
  python_digit = 1U << 9U,         ///< \d
  python_cased = 1U << 10U,        ///< of a case, and not case-ignorable
  python_case_ignorable = 1U << 11U,
  python_not_normalised = 1U << 12U  ///< newer than the tables of NFC and str.lower
};

bool is(CharacterClass which, char32_t character);

/// Lower case as Rust's char::to_lowercase, of all characters but U+0130, which has two. Greek's final sigma is left
/// to callers.
char32_t lower_case(char32_t character);

/// The canonical decomposition (NFD). Characters of class `newer` stay, as characters without decomposition that no
/// mark moves across.
std::u32string decomposed(std::u32string_view text, CharacterClass newer);
/// The canonical composition (NFC), in the same way.
std::u32string composed(std::u32string_view text, CharacterClass newer);

struct ClassRun {
  char32_t first;         ///< the run ends where the next begins
  std::uint16_t classes;  ///< bits of CharacterClass
};
struct LowerCaseRow {
  char32_t first, last;  ///< every step-th of these moves by `distance`
  char32_t step;
  std::int32_t distance;
};
/// The compatibility decomposition of a full-width or half-width form.
struct WidthRow {
  char32_t form, first, second;  ///< second: 0 if there is none
};
std::span<const ClassRun> unicode_class_runs();
std::span<const LowerCaseRow> unicode_lower_case_rows();
std::span<const WidthRow> character_width_rows();

}  // namespace sslmeme::detail
