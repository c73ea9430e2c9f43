// Character references of HTML, as Python's html.unescape and as ftfy resolve them.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace sslmeme::detail {

/// All that html.unescape resolves: names of HTML 5, some of them without a semicolon too, and numbers.
std::u32string html_unescaped(std::u32string_view text);

/// What ftfy.fixes.unescape_html resolves: only what ends in a semicolon, and some names in capitals.
std::u32string html_unescaped_with_care(std::u32string_view text);

struct HtmlEntity {
  std::string_view name;
  std::u32string_view text;
  bool without_semicolon;  ///< known without it too
};
/// Both by name. The second holds names in capitals that ftfy alone knows.
std::span<const HtmlEntity> html_entities();
std::span<const HtmlEntity> html_entities_in_capitals();

}  // namespace sslmeme::detail
