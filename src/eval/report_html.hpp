// Text as HTML: escaping, numbers, pictures as data URIs.
#pragma once

#include <sslmeme/eval/metrics.hpp>
#include <sslmeme/eval/report_figures.hpp>

#include <string>
#include <string_view>

namespace sslmeme::detail {

/// `text` for use in HTML content and in quoted attributes. What HTML cannot hold (malformed UTF-8, control characters
/// except tab and newline) becomes U+FFFD.
std::string escape_html(std::string_view text);

/// A number for people: up to four significant digits, no trailing zeros: "0.25", "12", "12,350", "1.5e-05".
std::string short_number(double value);

/// A probability of a test: "0.031", "< 0.001".
std::string p_value(double p);

/// "0.998 ± 0.001"; the mean alone for a single run, a dash for none.
std::string mean_and_deviation(const Summary& summary);

/// The <figcaption> of a figure: its title and, if there is one, a paragraph.
std::string figure_caption(std::string_view title, std::string_view text);

/// The standard base64 digits, padded.
std::string base64(std::string_view bytes);

/// The picture's encoded file. Throws IoError where it cannot be read and DataError for one of more than 32 MB.
std::string encoded_picture(const ReportPicture& picture);

/// "data:image/…;base64,…" of an encoded picture. Throws DataError, naming `picture`, for a format that browsers do not
/// show.
std::string data_uri(const std::string& encoded, const ReportPicture& picture);

}  // namespace sslmeme::detail
