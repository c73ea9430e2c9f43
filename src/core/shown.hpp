// Text from strangers: in messages without harm, repaired, and as a number.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
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

/// `text` with what is not valid UTF-8 replaced, once for the bytes of a character that is cut off: what Python's
/// decoder does with errors="replace", and what tokenizers see.
std::string repaired_utf8(std::string_view text, std::string_view replacement = "\uFFFD");

/// `text` without the blanks and line ends around it.
std::string_view trimmed(std::string_view text);
/// `text` with A … Z as a … z, every other byte as it is.
std::string ascii_lower(std::string_view text);

/// The whole number in `text`, if it is one that fits: digits, perhaps behind a minus.
std::optional<std::int64_t> whole_number(std::string_view text);
/// The same of digits alone.
std::optional<std::int64_t> natural_number(std::string_view text);

/// The finisher of MurmurHash3: every bit of the input changes every bit of the result as likely as not.
constexpr std::uint64_t mixed(std::uint64_t value) {
  value = (value ^ value >> 33U) * 0xFF51AFD7ED558CCDU;
  value = (value ^ value >> 33U) * 0xC4CEB9FE1A85EC53U;
  return value ^ value >> 33U;
}

/// A number from 0 to 2⁶³ − 1 that stands for `text` on every machine: FNV-1a of its bytes, mixed(), without the
/// highest bit.
std::int64_t stable_id(std::string_view text);

}  // namespace sslmeme::detail
