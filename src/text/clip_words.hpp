// CLIP's way from a text to words.
#pragma once

#include <functional>
#include <string_view>

namespace sslmeme::detail {

/// Calls `use` for each word of `text` (UTF-8, malformed bytes as U+FFFD), repaired, lower-cased and cut as open_clip's
/// SimpleTokenizer does, until `use` returns false. The view is valid during the call.
void for_each_clip_word(std::string_view text, const std::function<bool(std::string_view)>& use);

}  // namespace sslmeme::detail
