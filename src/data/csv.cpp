#include "data/csv.hpp"

#include <sslmeme/core/error.hpp>

#include "data/meme_line.hpp"

#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace sslmeme::detail {

namespace {

constexpr std::size_t max_fields = 1024;

bool ends_line(int byte) {
  return byte == '\n' || byte == '\r' || byte < 0;
}

}  // namespace

CsvReader::CsvReader(ByteReader& reader, char separator) : reader_{reader}, separator_{separator} {}

void CsvReader::skip_mark() {
  constexpr std::string_view mark = "\xEF\xBB\xBF";
  if (reader_.peek() != static_cast<unsigned char>(mark.front())) return;
  for (const char c : mark) {
    if (reader_.get() != static_cast<unsigned char>(c))
      throw DataError("begins with a broken byte-order mark: save it as UTF-8");
  }
}

int CsvReader::take() {
  const int byte = reader_.get();
  if (byte == 0) throw DataError("a NUL byte, so this is no text in UTF-8: save it as such");
  if (byte >= 0 && ++row_bytes_ > max_row_bytes)
    throw DataError(fmt::format("a row of more than {} bytes: is a quote not closed?", max_row_bytes));
  return byte;
}

// What ended a row has been taken; a CR may have an LF behind it.
void CsvReader::end_line(int byte) {
  if (byte == '\r' && reader_.peek() == '\n') reader_.get();
  if (byte >= 0) ++line_;
}

bool CsvReader::next(std::vector<std::string>& fields) {
  if (!std::exchange(begun_, true)) skip_mark();
  for (;;) {
    row_bytes_ = 0;
    row_line_ = line_;
    const int byte = reader_.peek();
    if (byte < 0) return false;
    if (!ends_line(byte)) break;
    end_line(reader_.get());
  }
  for (std::size_t count = 1;; ++count) {
    if (count > max_fields) throw DataError(fmt::format("more than {} fields", max_fields));
    if (fields.size() < count) fields.emplace_back();
    auto& field = fields[count - 1];
    constexpr std::size_t max_kept = 1 << 16;  // rows that each fill another column must not add up
    if (field.capacity() > max_kept) field = {};
    field.clear();
    if (reader_.peek() == '"')
      read_quoted(field);
    else
      read_plain(field);
    const int end = take();
    if (end == static_cast<unsigned char>(separator_)) continue;
    end_line(end);
    fields.resize(count);
    return true;
  }
}

// Up to the separator or line end behind the closing quote.
void CsvReader::read_quoted(std::string& field) {
  const auto begin = line_;
  take();
  for (;;) {
    const int byte = take();
    if (byte < 0) throw DataError(fmt::format("the quote that opens in line {} is not closed", begin));
    if (byte == '"') {
      const int next = reader_.peek();
      if (next == static_cast<unsigned char>(separator_) || ends_line(next)) return;
      if (next != '"') {
        throw DataError(fmt::format(
            "something stands behind the closing quote of {} in line {}: double the quotes within a quoted field",
            in_quotes(field), line_));
      }
      take();
    }
    if (byte == '\n' || (byte == '\r' && reader_.peek() != '\n')) ++line_;
    field += static_cast<char>(byte);
  }
}

void CsvReader::read_plain(std::string& field) {
  for (;;) {
    const int byte = reader_.peek();
    if (byte == static_cast<unsigned char>(separator_) || ends_line(byte)) return;
    field += static_cast<char>(take());
  }
}

}  // namespace sslmeme::detail
