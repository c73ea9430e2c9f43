// BERT's way from a text to words, shared by the WordPiece tokenizer and its trainer.
#pragma once

#include <functional>
#include <string_view>

namespace sslmeme::detail {

/// BertNormalizer's options, clean_text being set.
struct BertWordRules {
  bool lower_case = true;
  bool strip_accents = true;
  bool tokenize_chinese_chars = true;
};

/// Calls `use` for each word of `text` (UTF-8; malformed bytes are dropped, as U+FFFD is): cleaned, CJK ideographs and
/// punctuation each a word of its own, without accents and lower-cased as the rules say. The view is valid during the
/// call.
void for_each_word(std::string_view text, const BertWordRules& rules, const std::function<void(std::string_view)>& use);

}  // namespace sslmeme::detail
