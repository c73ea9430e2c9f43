// printable: text from strangers (file names, columns, words) as a terminal or a message may show it.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace sslmeme {

/// `text` with control characters, those that change the direction or the line, and bytes that are not UTF-8 escaped
/// (\n, \x1B, \u202E), so that a file's name can neither move the cursor nor pass for another. What goes beyond
/// `max_characters` is replaced by "… (N bytes)". The library's own messages are written so.
///
///   std::cout << printable(data.source(i)) << '\n';
std::string printable(std::string_view text, std::size_t max_characters = 400);

}  // namespace sslmeme
