#include "text/vocabulary_file.hpp"

#include <sslmeme/core/error.hpp>
#include <sslmeme/core/files.hpp>

#include "core/shown.hpp"

#include <fmt/format.h>
#include <zlib.h>

#include <array>
#include <cstddef>
#include <string_view>

namespace sslmeme::detail {
namespace {

constexpr std::size_t largest_file = std::size_t{64} << 20U;
constexpr int gzip_only = 15 + 16;  // zlib's window bits

class Inflater {
 public:
  explicit Inflater(std::string_view input) {
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(input.data()));  // zlib only reads it
    stream_.avail_in = static_cast<uInt>(input.size());
    if (inflateInit2(&stream_, gzip_only) != Z_OK) throw std::bad_alloc{};
  }
  ~Inflater() { inflateEnd(&stream_); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  /// Fills `block` as far as it goes; returns how many bytes, and zlib's answer.
  std::pair<std::size_t, int> next(std::string& block) {
    stream_.next_out = reinterpret_cast<Bytef*>(block.data());
    stream_.avail_out = static_cast<uInt>(block.size());
    const int answer = inflate(&stream_, Z_NO_FLUSH);
    return {block.size() - stream_.avail_out, answer};
  }
  std::size_t rest() const { return stream_.avail_in; }
  void start_member() { inflateReset(&stream_); }

 private:
  z_stream stream_{};
};

std::string inflated(std::string_view input, const std::filesystem::path& path) {
  Inflater inflater{input};
  std::string text;
  std::string block(std::size_t{1} << 16U, '\0');
  while (true) {
    const auto [bytes, answer] = inflater.next(block);
    text.append(block, 0, bytes);
    if (text.size() > largest_file) {
      throw DataError{fmt::format("{}: inflates to more than {} MiB, which no vocabulary needs", shown_path(path),
                                  largest_file >> 20U)};
    }
    if (answer == Z_STREAM_END) {
      // Members may follow one another, and zeros the last.
      if (input.substr(input.size() - inflater.rest()).find_first_not_of('\0') == std::string_view::npos) return text;
      inflater.start_member();
    } else if (answer == Z_BUF_ERROR || (answer == Z_OK && bytes == 0 && inflater.rest() == 0)) {
      throw DataError{
          fmt::format("{}: the gzip file is cut off after {} bytes; copy it again", shown_path(path), input.size())};
    } else if (answer != Z_OK) {
      throw DataError{fmt::format("{}: the gzip file is corrupt near byte {} of {}; copy it again", shown_path(path),
                                  input.size() - inflater.rest(), input.size())};
    }
  }
}

}  // namespace

std::string read_vocabulary(const std::filesystem::path& path) {
  auto bytes = read_file(path, largest_file);
  return bytes.starts_with("\x1F\x8B") ? inflated(bytes, path) : bytes;
}

}  // namespace sslmeme::detail
