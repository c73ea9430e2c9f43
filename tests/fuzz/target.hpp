// What the fuzz targets share.
#pragma once

#include <sslmeme/core/error.hpp>
#include <sslmeme/data/image_io.hpp>

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>
#include <utf8proc.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace sslmeme::fuzz {

inline void require(bool holds, std::string_view what) {
  if (holds) return;
  fmt::print(stderr, "broken: {}\n", what);
  std::abort();
}

/// A message is one line of UTF-8 that can be shown.
inline void check_message(std::string_view message) {
  require(!message.empty() && message.size() < 4000, fmt::format("a message of {} bytes", message.size()));
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(message.data());
  for (std::size_t at = 0; at < message.size();) {
    utf8proc_int32_t code = 0;
    const auto length = utf8proc_iterate(bytes + at, static_cast<utf8proc_ssize_t>(message.size() - at), &code);
    require(length > 0, fmt::format("a message that is no UTF-8 at byte {}: {}", at, message));
    require(code >= 0x20 && code != 0x7F,
            fmt::format("a control character at byte {} of the message: {}", at, message));
    at += static_cast<std::size_t>(length);
  }
}

/// Writes `magic` over `bytes` from `at` on.
inline void overwrite(std::string& bytes, std::size_t at, std::string_view magic) {
  if (bytes.size() < at + magic.size()) bytes.resize(at + magic.size());
  std::copy(magic.begin(), magic.end(), bytes.begin() + static_cast<std::ptrdiff_t>(at));
}

/// Runs `body`. What the library throws on purpose is no finding; anything else ends the process.
template <class Body>
int expect_errors(const Body& body) {
  try {
    body();
  } catch (const Error& error) {
    check_message(error.what());
  }
  return 0;
}

/// Small, so that most time goes into code and not into pixels.
inline constexpr DecodeLimits limits{.max_pixels = 1 << 16, .max_bytes = 1 << 20};

inline void check_image(const Image& image) {
  require(image.width > 0 && image.height > 0, "an empty picture");
  const auto pixels = std::int64_t{image.width} * image.height;
  require(pixels <= limits.max_pixels, "a picture beyond the limit");
  require(image.pixels.size() == static_cast<std::size_t>(pixels) * 3, "pixels that do not fit the size");
}

inline int decode(std::string_view bytes) {
  return expect_errors([&] { check_image(decode_image(std::as_bytes(std::span{bytes}), limits)); });
}

inline std::string text_of(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

/// A file in memory that has a path.
class MemoryFile {
 public:
  MemoryFile() : fd_{::memfd_create("fuzz", MFD_CLOEXEC)} { require(fd_ >= 0, "no file in memory"); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  ~MemoryFile() { ::close(fd_); }

  /// Makes `content` all that it holds.
  std::filesystem::path write(std::string_view content) const {
    require(::ftruncate(fd_, 0) == 0 &&
                ::pwrite(fd_, content.data(), content.size(), 0) == static_cast<ssize_t>(content.size()),
            "a file in memory that cannot be written");
    return fmt::format("/proc/self/fd/{}", fd_);
  }

 private:
  int fd_;
};

}  // namespace sslmeme::fuzz
