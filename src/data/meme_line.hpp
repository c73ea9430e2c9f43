// One line of a Hateful Memes JSONL file.
#pragma once

#include <sslmeme/data/meme_jsonl.hpp>

#include <string>
#include <string_view>

namespace sslmeme::detail {

/// The record in a line of valid UTF-8. Throws DataError, without file and line, for what is no record.
MemeRecord parse_meme_line(std::string_view line);

/// `text` with each byte that is not part of valid UTF-8 replaced by U+FFFD.
std::string repaired_utf8(std::string_view text);

}  // namespace sslmeme::detail
