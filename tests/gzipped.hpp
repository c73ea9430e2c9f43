// Compressed files for tests.
#pragma once

#include <zlib.h>

#include <cstdlib>
#include <string>

namespace sslmeme::test {

/// `text` as gzip compresses it.
inline std::string gzipped(std::string text, int level = Z_BEST_COMPRESSION) {
  z_stream stream{};
  if (deflateInit2(&stream, level, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) std::abort();
  std::string bytes(deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(text.data());
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(bytes.data());
  stream.avail_out = static_cast<uInt>(bytes.size());
  const int answer = deflate(&stream, Z_FINISH);
  bytes.resize(stream.total_out);
  deflateEnd(&stream);
  if (answer != Z_STREAM_END) std::abort();
  return bytes;
}

}  // namespace sslmeme::test
