#include "text/html_entities.hpp"

#include "text/windows_1252.hpp"

#include <algorithm>
#include <cstddef>
#include <optional>

namespace sslmeme::detail {
namespace {

constexpr std::size_t longest_name = 32;          // of html.unescape's regular expression
constexpr std::size_t longest_careful_name = 24;  // of ftfy's

const HtmlEntity* find(std::span<const HtmlEntity> entities, std::string_view name) {
  const auto at = std::ranges::lower_bound(entities, name, {}, &HtmlEntity::name);
  return at != entities.end() && at->name == name ? &*at : nullptr;
}

constexpr int digit_of(char32_t c) {
  if (c >= U'0' && c <= U'9') return static_cast<int>(c - U'0');
  if (c >= U'a' && c <= U'f') return static_cast<int>(c - U'a') + 10;
  if (c >= U'A' && c <= U'F') return static_cast<int>(c - U'A') + 10;
  return 99;
}

constexpr bool is_ascii_letter_or_digit(char32_t c) {
  return (c >= U'0' && c <= U'9') || (c >= U'a' && c <= U'z') || (c >= U'A' && c <= U'Z');
}

/// What stands for the number of a reference (the HTML standard's "numeric character reference end state").
std::u32string numbered(char32_t number) {
  if (number == 0 || (number >= 0xD800 && number <= 0xDFFF) || number > 0x10FFFF) return U"\uFFFD";
  if (number >= 0x80 && number <= 0x9F) return {windows_1252(number)};
  const bool control = number <= 0x8 || number == 0xB || (number >= 0xE && number <= 0x1F) || number == 0x7F;
  const bool no_character = (number >= 0xFDD0 && number <= 0xFDEF) || (number & 0xFFFE) == 0xFFFE;
  if (control || no_character) return {};
  return {number};
}

struct Reference {
  std::size_t length;  // in the text, "&" included
  std::u32string text;
};

/// text: from "&#" on.
std::optional<Reference> number_at(std::u32string_view text) {
  const bool hexadecimal = text.size() > 2 && (text[2] == U'x' || text[2] == U'X');
  const int base = hexadecimal ? 16 : 10;
  const std::size_t first = hexadecimal ? 3 : 2;
  auto at = first;
  char32_t number = 0;
  for (; at < text.size() && digit_of(text[at]) < base; ++at) {
    number =
        std::min<char32_t>(number * static_cast<char32_t>(base) + static_cast<char32_t>(digit_of(text[at])), 0x110000);
  }
  if (at == first) return std::nullopt;
  if (at < text.size() && text[at] == U';') ++at;
  return Reference{at, numbered(number)};
}

/// text: from "&" on.
std::optional<Reference> name_at(std::u32string_view text) {
  std::string name;
  std::size_t at = 1;
  for (; at < text.size() && name.size() < longest_name; ++at) {
    if (std::u32string_view{U"\t\n\f <&#;"}.find(text[at]) != std::u32string_view::npos) break;
    name += text[at] < 0x80 ? static_cast<char>(text[at]) : '\x7F';  // no name has either
  }
  if (name.empty()) return std::nullopt;
  const bool closed = at < text.size() && text[at] == U';';
  const auto end = closed ? at + 1 : at;
  const auto* whole = find(html_entities(), name);
  if (whole != nullptr && (closed || whole->without_semicolon)) return Reference{end, std::u32string{whole->text}};
  // The longest beginning that is known without a semicolon. Python's own loop leaves out names of one letter and,
  // without a semicolon, the name as a whole, which has been looked up.
  for (auto length = closed ? name.size() : name.size() - 1; length > 1; --length) {
    const auto* entity = find(html_entities(), std::string_view{name}.substr(0, length));
    if (entity == nullptr || !entity->without_semicolon) continue;
    return Reference{end, std::u32string{entity->text}.append(text.substr(1 + length, end - 1 - length))};
  }
  return Reference{end, std::u32string{text.substr(0, end)}};
}

/// text: from "&" on.
std::optional<Reference> careful_at(std::u32string_view text) {
  const bool number = text.size() > 1 && text[1] == U'#';
  const std::size_t first = number ? 2 : 1;
  auto end = first;
  while (end < text.size() && end - first <= longest_careful_name && is_ascii_letter_or_digit(text[end])) ++end;
  if (end == first || end - first > longest_careful_name || end == text.size() || text[end] != U';')
    return std::nullopt;
  const auto length = end + 1;
  if (number) {
    // Not where the semicolon would be left over or is what the number stands for.
    auto resolved = html_unescaped(text.substr(0, length));
    if (resolved.find(U';') != std::u32string::npos) return std::nullopt;
    return Reference{length, std::move(resolved)};
  }
  std::string name;
  for (const auto c : text.substr(first, end - first)) name += static_cast<char>(c);
  const auto* entity = find(html_entities(), name);
  if (entity == nullptr) entity = find(html_entities_in_capitals(), name);
  if (entity == nullptr) return std::nullopt;
  return Reference{length, std::u32string{entity->text}};
}

template <class ReferenceAt>
std::u32string resolved(std::u32string_view text, ReferenceAt reference_at) {
  std::u32string result;
  result.reserve(text.size());
  while (true) {
    const auto at = text.find(U'&');
    result.append(text.substr(0, at));
    if (at == std::u32string_view::npos) return result;
    text.remove_prefix(at);
    if (const auto reference = reference_at(text)) {
      result.append(reference->text);
      text.remove_prefix(reference->length);
    } else {
      result += U'&';
      text.remove_prefix(1);
    }
  }
}

}  // namespace

std::u32string html_unescaped(std::u32string_view text) {
  return resolved(text, [](std::u32string_view rest) {
    return rest.size() > 1 && rest[1] == U'#' ? number_at(rest) : name_at(rest);
  });
}

std::u32string html_unescaped_with_care(std::u32string_view text) {
  return resolved(text, careful_at);
}

}  // namespace sslmeme::detail
