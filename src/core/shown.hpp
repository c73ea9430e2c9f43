// Text from strangers: in messages without harm, repaired, and as a number.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace sslmeme::detail {

/// `text` as a message may show it: control characters and what is not UTF-8 escaped (\n, \x1B, \u202E), and what goes
/// beyond `max_characters` replaced by "… (N bytes)".
std::string shown(std::string_view text, std::size_t max_characters = 80);
/// The same within double quotes.
std::string in_quotes(std::string_view text, std::size_t max_characters = 80);
/// A path as a message may show it: like shown, but longer.
std::string shown_path(const std::filesystem::path& path);
/// Names as a message may list them: the first ten, "none" if there are none.
std::string listed(std::span<const std::string> names);

/// `text` with each byte that is not part of valid UTF-8 replaced.
std::string repaired_utf8(std::string_view text, std::string_view replacement = "\uFFFD");

/// A number from 0 to 2⁶³ − 1 that stands for `text` on every machine: FNV-1a of its bytes, mixed by the finalizer of
/// MurmurHash3, without the highest bit.
std::int64_t stable_id(std::string_view text);

}  // namespace sslmeme::detail
