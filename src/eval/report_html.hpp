// Text as HTML: escaping, numbers, pictures as data URIs.
#pragma once

#include <sslmeme/eval/metrics.hpp>

#include <filesystem>
#include <string>
#include <string_view>

namespace sslmeme::detail {

/// `text` for use in HTML content and in quoted attributes. What HTML cannot hold (malformed UTF-8, control characters
/// except tab and newline) becomes U+FFFD.
std::string escape_html(std::string_view text);

/// A number for people: up to four significant digits, no trailing zeros: "0.25", "12", "1.5e-05".
std::string short_number(double value);

/// "0.998 ± 0.001"; the mean alone for a single run, a dash for none.
std::string mean_and_deviation(const Summary& summary);

/// The picture file as "data:image/…;base64,…". Throws IoError where it cannot be read and DataError for an unknown
/// format.
std::string data_uri(const std::filesystem::path& picture);

}  // namespace sslmeme::detail
