#include "core/shown.hpp"

#include <sslmeme/core/printable.hpp>

#include "core/utf8.hpp"

#include <algorithm>
#include <charconv>
#include <system_error>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace sslmeme::detail {

namespace {

/// Whether a message must not hold this character as it is: controls, and what changes the direction or the line.
bool is_harmful(char32_t code) {
  return code < 0x20 || (code >= 0x7F && code < 0xA0) || (code >= 0x200B && code <= 0x200F) ||
         (code >= 0x2028 && code <= 0x202E) || (code >= 0x2060 && code <= 0x206F) || code == 0xFEFF;
}

std::string escaped(char32_t code) {
  if (code == '\n') return "\\n";
  if (code == '\t') return "\\t";
  if (code == '\r') return "\\r";
  const auto number = static_cast<std::uint32_t>(code);
  return code < 0x80 ? fmt::format("\\x{:02X}", number) : fmt::format("\\u{:04X}", number);
}

/// The first character of `text`: its bytes, and its code, `malformed` for bytes that are no valid UTF-8.
std::pair<std::string_view, char32_t> first_character(std::string_view text) {
  auto rest = text;
  const auto code = take_character(rest);
  return {text.substr(0, text.size() - rest.size()), code};
}

}  // namespace

std::string shown(std::string_view text, std::size_t max_characters) {
  std::string result;
  auto rest = text;
  for (std::size_t characters = 0; !rest.empty(); ++characters) {
    if (characters == max_characters) return fmt::format("{}… ({} bytes)", result, text.size());
    const auto [bytes, code] = first_character(rest);
    if (code == malformed)  // byte by byte
      result += fmt::format("\\x{:02X}", static_cast<unsigned char>(rest.front()));
    else if (is_harmful(code))
      result += escaped(code);
    else
      result += bytes;
    rest.remove_prefix(code == malformed ? 1 : bytes.size());
  }
  return result;
}

std::string in_quotes(std::string_view text, std::size_t max_characters) {
  return fmt::format("\"{}\"", shown(text, max_characters));
}

std::string shown_path(const std::filesystem::path& path) {
  constexpr std::size_t max_characters = 400;
  return shown(path.native(), max_characters);
}

std::string listed(std::span<const std::string> names) {
  if (names.empty()) return "none";
  constexpr std::size_t max_names = 10;
  std::vector<std::string> some;
  for (const auto& name : names.first(std::min(names.size(), max_names))) some.push_back(shown(name));
  return fmt::format("{}{}", fmt::join(some, ", "), names.size() > max_names ? ", …" : "");
}

std::string repaired_utf8(std::string_view text, std::string_view replacement) {
  std::string repaired;
  repaired.reserve(text.size());
  std::size_t begin = 0;  // of the valid run that ends at `at`
  for (std::size_t at = 0; at < text.size();) {
    const auto [bytes, code] = first_character(text.substr(at));
    if (code == malformed) {
      repaired += text.substr(begin, at - begin);
      repaired += replacement;
      begin = at + bytes.size();
    }
    at += bytes.size();
  }
  return repaired += text.substr(begin);
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view blank = " \t\r\n\v\f";
  text.remove_prefix(std::min(text.find_first_not_of(blank), text.size()));
  return text.substr(0, text.find_last_not_of(blank) + 1);
}

std::string ascii_lower(std::string_view text) {
  std::string lower{text};
  std::ranges::transform(lower, lower.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return lower;
}

std::optional<std::int64_t> whole_number(std::string_view text) {
  std::int64_t number = 0;
  const auto* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, number);
  if (error != std::errc{} || end != last) return {};
  return number;
}

std::optional<std::int64_t> natural_number(std::string_view text) {
  return text.starts_with('-') ? std::nullopt : whole_number(text);
}

std::int64_t stable_id(std::string_view text) {
  std::uint64_t hash = 0xCBF29CE484222325;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3;
  return static_cast<std::int64_t>(mixed(hash) >> 1U);
}

}  // namespace sslmeme::detail

namespace sslmeme {

std::string printable(std::string_view text, std::size_t max_characters) {
  return detail::shown(text, max_characters);
}

}  // namespace sslmeme
