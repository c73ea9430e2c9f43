// What ftfy.fix_text (Speer 2019) makes of a text by its defaults, apart from undoing wrong encodings.
#pragma once

#include <string>
#include <string_view>

namespace sslmeme::detail {

/// HTML's references resolved, C1 controls read as Windows-1252, Latin ligatures and full-width forms replaced, quotes
/// uncurled, line breaks as \n, terminal escapes and control characters gone, NFC: ftfy 6.3 with fix_encoding=False,
/// each line until nothing changes any more. In hostile text that is nested deeper than 64 levels (&amp;amp;amp;…) the
/// rest stays.
std::u32string fixed_text(std::u32string_view text);

}  // namespace sslmeme::detail
