// Comma- or tab-separated values as RFC 4180 has them.
#pragma once

#include "data/files.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace sslmeme::detail {

/// Reads rows of fields. A field may be quoted, and then holds separators, line ends and, doubled, quotes. Rows end
/// with LF, CRLF or CR. Beyond RFC 4180: a byte-order mark at the beginning and blank lines are skipped, and a quote
/// within a field that does not begin with one stands for itself, as in Python's csv.
class CsvReader {
 public:
  /// `reader` must outlive it.
  CsvReader(ByteReader& reader, char separator);

  /// Reads the next row; false at the end. Throws DataError, without file and line, for a quote that is not closed, a
  /// character after a closing quote, a broken byte-order mark, a NUL byte, a row of more than 1 MiB and one of more
  /// than 1024 fields.
  bool next(std::vector<std::string>& fields);
  /// The line, counted from 1, in which the row last read, or that which failed, begins.
  std::int64_t line() const { return row_line_; }

 private:
  void skip_mark();
  int take();
  void end_line(int byte);
  void read_quoted(std::string& field);
  void read_plain(std::string& field);

  ByteReader& reader_;
  char separator_;
  std::int64_t line_ = 1, row_line_ = 1;
  std::size_t row_bytes_ = 0;
  bool begun_ = false;
};

}  // namespace sslmeme::detail
