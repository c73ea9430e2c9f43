#include "eval/report_html.hpp"

#include <sslmeme/core/error.hpp>
#include <sslmeme/core/files.hpp>

#include <fmt/format.h>
#include <utf8proc.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <iterator>
#include <string>

namespace sslmeme::detail {
namespace {

constexpr std::string_view replacement = "\xEF\xBF\xBD";  // U+FFFD
constexpr std::uintmax_t largest_picture = 32U << 20U;

bool fits_html(utf8proc_int32_t c) {
  return c == '\t' || c == '\n' || (c >= 0x20 && c != 0x7F && !(c >= 0x80 && c < 0xA0) && c != 0xFFFE && c != 0xFFFF);
}

std::string_view media_type(std::string_view bytes) {
  if (bytes.starts_with("\x89PNG\r\n\x1A\n")) return "image/png";
  if (bytes.starts_with("\xFF\xD8\xFF")) return "image/jpeg";
  if (bytes.starts_with("GIF87a") || bytes.starts_with("GIF89a")) return "image/gif";
  if (bytes.starts_with("RIFF") && bytes.substr(0, 12).ends_with("WEBP")) return "image/webp";
  if (bytes.starts_with("BM")) return "image/bmp";
  return {};
}

}  // namespace

std::string escape_html(std::string_view text) {
  std::string escaped;
  escaped.reserve(text.size());
  while (!text.empty()) {
    utf8proc_int32_t c = -1;
    const auto length = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                         static_cast<utf8proc_ssize_t>(text.size()), &c);
    const auto taken = length > 0 ? static_cast<std::size_t>(length) : 1;
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      case '\'':
        escaped += "&#39;";
        break;
      default:
        escaped += length > 0 && fits_html(c) ? text.substr(0, taken) : replacement;
    }
    text.remove_prefix(taken);
  }
  return escaped;
}

std::string short_number(double value) {
  if (std::abs(value) < 1e-12) return "0";
  auto text = fmt::format("{:.4g}", value);
  if (std::abs(value) >= 9999.5 && std::abs(value) < 1e7) {  // four digits, then zeros
    text = fmt::format("{:.0f}", std::stod(text));
    for (auto at = std::ssize(text) - 3; at > (value < 0 ? 1 : 0); at -= 3)
      text.insert(static_cast<std::size_t>(at), 1, ',');
  }
  if (text.starts_with('-')) text.replace(0, 1, "\xE2\x88\x92");  // U+2212, as wide as a plus
  return text;
}

std::string p_value(double p) {
  return p < 0.001 ? "< 0.001" : fmt::format("{:.3f}", p);
}

std::string mean_and_deviation(const Summary& summary) {
  if (summary.n == 0) return "–";
  if (summary.n == 1) return fmt::format("{:.3f}", summary.mean);
  return fmt::format("{:.3f} ± {:.3f}", summary.mean, summary.deviation);
}

std::string figure_caption(std::string_view title, std::string_view text) {
  return fmt::format("<figcaption><h3>{}</h3>{}</figcaption>\n", escape_html(title),
                     text.empty() ? "" : "<p>" + escape_html(text) + "</p>");
}

std::string base64(std::string_view bytes) {
  static constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t group = 0;
    for (std::size_t k = 0; k < 3; ++k) {
      group = group << 8U | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0U);
    }
    for (std::size_t k = 0; k < 4; ++k) {
      text += i + k > bytes.size() ? '=' : digits[(group >> (18 - 6 * k)) & 63U];
    }
  }
  return text;
}

std::string encoded_picture(const ReportPicture& picture) {
  const auto& content = picture.content();
  if (content.empty()) return read_file(picture.file(), largest_picture);
  return {reinterpret_cast<const char*>(content.data()), content.size()};
}

std::string data_uri(const std::string& encoded, const ReportPicture& picture) {
  const auto type = media_type(encoded);
  if (type.empty()) {
    throw DataError{fmt::format("{}: not a picture that browsers show; give JPEG, PNG, WebP, GIF or BMP",
                                picture.file().empty() ? "a picture in memory" : picture.file().string())};
  }
  return fmt::format("data:{};base64,{}", type, base64(encoded));
}

}  // namespace sslmeme::detail
