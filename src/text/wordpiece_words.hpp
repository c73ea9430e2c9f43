// BERT's way from a text to words, shared by the WordPiece tokenizer and its trainer.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace sslmeme::detail {

/// Calls `use` for each word of `text` (UTF-8; malformed bytes are dropped, as U+FFFD is): cleaned, CJK ideographs and
/// punctuation each a word of its own, and, with lower_case, lower-cased and without accents. The view is valid during
/// the call.
void for_each_word(std::string_view text, bool lower_case, const std::function<void(std::string_view)>& use);

/// The bytes of the UTF-8 character that starts with `lead`, in text known to be well-formed.
constexpr std::size_t utf8_length(char lead) {
  const auto byte = static_cast<unsigned char>(lead);
  return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

/// Whether `text` is well-formed UTF-8.
bool is_utf8(std::string_view text);

}  // namespace sslmeme::detail
