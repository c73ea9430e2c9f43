// Rows of an embedding that outlive the process that makes them.
#pragma once

#include <sslmeme/core/tensor.hpp>

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>

namespace examples {

/// What becomes of rows found from an earlier run.
enum class FoundRows { go_on, start_again };

/// f32 rows (N, D) in a file of their own, appended as they are made, each chunk with its length and CRC-32 before it.
/// `identity`, one line, tells what the rows are of: rows found under another one are refused.
class RowStore {
 public:
  /// Opens `path` or makes it. What a machine that stopped left of a last chunk is cut off. Throws sm::DataError for a
  /// file of another identity or more than max_rows, sm::IoError when the system refuses or another process holds the
  /// file.
  RowStore(std::filesystem::path path, const std::string& identity, std::int64_t width, std::int64_t max_rows,
           FoundRows found);

  /// N so far.
  std::int64_t rows() const { return rows_; }
  /// Appends rows (n, D), which are on the disk when this returns.
  void append(const sslmeme::Tensor& rows);
  /// All of them, in order: (N, D).
  sslmeme::Tensor read() const;
  /// Removes the file.
  void remove();

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };

  /// Calls use(offset of the values, rows) for each whole chunk; the end of the last.
  template <class Use>
  std::int64_t for_each_chunk(const Use& use) const;
  [[noreturn]] void fail(const char* what) const;

  std::filesystem::path path_;
  std::int64_t width_, max_rows_, header_ = 0, rows_ = 0;
  std::unique_ptr<std::FILE, Close> file_;
};

}  // namespace examples
