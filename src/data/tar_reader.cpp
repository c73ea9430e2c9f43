#include "data/tar_reader.hpp"

#include <sslmeme/core/error.hpp>

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include <fmt/format.h>

namespace sslmeme::detail {

using namespace std::string_view_literals;

namespace {

constexpr std::int64_t max_name_bytes = 4096;
constexpr std::int64_t max_pax_bytes = 1 << 20;
constexpr std::int64_t max_end_bytes = 1 << 20;  // zeros after the end: tar fills up to 10 KiB unless told otherwise

/// `bytes`, filled up to blocks.
std::int64_t whole_blocks(std::int64_t bytes) {
  return (bytes + 511) / 512 * 512;
}

[[noreturn]] void reject(std::string_view name, const std::string& why) {
  throw DataError(name.empty() ? why : fmt::format("member {}: {}", shown(name), why));
}

/// Up to the first NUL.
std::string_view text_of(std::string_view field) {
  return field.substr(0, field.find('\0'));
}

/// Octal digits between blanks, or, with the first bit set, GNU's base 256.
std::int64_t number_of(std::string_view field, std::string_view name, std::string_view what) {
  const auto first = static_cast<unsigned char>(field[0]);
  if ((first & 0x80U) != 0) {
    if ((first & 0x40U) != 0) reject(name, fmt::format("its {} is negative", what));
    std::uint64_t value = first & 0x3FU;
    for (const char c : field.substr(1)) {
      if (value >> 55U != 0) reject(name, fmt::format("its {} has over 63 bits", what));
      value = value << 8U | static_cast<unsigned char>(c);
    }
    return static_cast<std::int64_t>(value);
  }
  const auto blank = [](char c) { return c == ' ' || c == '\0'; };
  while (!field.empty() && blank(field.front())) field.remove_prefix(1);
  while (!field.empty() && blank(field.back())) field.remove_suffix(1);
  std::int64_t value = 0;
  for (const char c : field) {
    if (c < '0' || c > '7') reject(name, fmt::format("its {} is {}, no octal number", what, in_quotes(field)));
    value = value * 8 + (c - '0');  // of at most 12 digits
  }
  return value;
}

/// POSIX sums unsigned bytes; some old archivers summed signed ones.
bool checksum_fits(std::string_view header) {
  constexpr std::size_t begin = 148, size = 8;
  std::int64_t with_sign = 0, without = 0, expected = 0;
  for (std::size_t i = 0; i < header.size(); ++i) {
    const char c = i >= begin && i < begin + size ? ' ' : header[i];
    with_sign += static_cast<signed char>(c);
    without += static_cast<unsigned char>(c);
  }
  for (const char c : header.substr(begin, size)) {
    if (c >= '0' && c <= '7')
      expected = expected * 8 + (c - '0');
    else if (c != ' ' && c != '\0')
      return false;
  }
  return expected == without || expected == with_sign;
}

/// Why the first header's checksum is wrong: most likely this is no tar archive.
std::string what_it_is(std::string_view start) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 4> compressions{
      {{"\x1F\x8B"sv, "gzip"}, {"BZh"sv, "bzip2"}, {"\xFD\x37\x7A\x58\x5A"sv, "xz"}, {"\x28\xB5\x2F\xFD"sv, "zstd"}}};
  for (const auto& [magic, name] : compressions) {
    if (start.starts_with(magic))
      return fmt::format("compressed by {}: samples are read from any place, so unpack it to a plain .tar", name);
  }
  return "no tar archive: its first header's checksum is wrong";
}

std::string_view refusal(char kind) {
  switch (kind) {
    case '1':
    case '2':
      return "a link: pack the files themselves (GNU tar: --dereference --hard-dereference)";
    case '3':
    case '4':
      return "a device: leave it out";
    case '6':
      return "a pipe: leave it out";
    case 'S':
      return "a sparse file: pack it without --sparse";
    case 'M':
      return "part of a multi-volume archive: pack it as one";
    default:
      return "of a kind that POSIX does not define: pack it with tar --format=pax";
  }
}

}  // namespace

TarReader::TarReader(const FileDescriptor& file, std::int64_t bytes, std::int64_t max_headers)
    : file_{file}, bytes_{bytes}, max_headers_{max_headers} {
  if (bytes == 0) reject({}, "empty file, no tar archive");
}

std::optional<TarMember> TarReader::next() {
  Override override;
  while (true) {
    const auto header = header_at_position();
    const std::string_view text{header.data(), header.size()};
    if (std::ranges::all_of(text, [](char c) { return c == '\0'; })) {
      if (override.any) reject(override.name, "the archive ends after its extended header");
      check_end();
      return std::nullopt;
    }
    const auto field = [&](std::size_t at, std::size_t size) { return text.substr(at, size); };
    std::string name{text_of(field(0, 100))};
    // In GNU's own format other things stand where ustar has the prefix.
    if (const auto prefix = text_of(field(345, 155)); field(257, 6) == "ustar\0"sv && !prefix.empty())
      name = fmt::format("{}/{}", prefix, name);
    if (!checksum_fits(text)) {
      reject({}, position_ == 0 ? what_it_is(text)
                                : fmt::format("damaged: the header at byte {} has a wrong checksum", position_));
    }
    if (++headers_ > max_headers_)
      reject({}, fmt::format("more than {} members: pack fewer or raise .max_members", max_headers_));

    const char kind = header[156];
    const bool extends = kind == 'x' || kind == 'g' || kind == 'L' || kind == 'K';
    if (!extends && !override.name.empty()) name = std::exchange(override.name, {});
    auto size = number_of(field(124, 12), name, "size");
    if (!extends && override.size) size = *override.size;
    const auto offset = position_ + static_cast<std::int64_t>(block);
    if (size > bytes_ - offset) {
      reject(name, fmt::format("claims {} bytes, but {} are left: the archive is truncated", size, bytes_ - offset));
    }
    if (extends) {
      override.any |= kind != 'g';
      if (kind == 'L') override.name = text_of(content(name, size, max_name_bytes + 1));
      if (kind == 'x' || kind == 'g') read_pax(content(name, size, max_pax_bytes), kind == 'g', override);
    }
    position_ = offset + whole_blocks(size);
    if (extends) continue;

    if (std::cmp_greater(name.size(), max_name_bytes))
      reject(name, fmt::format("its name has {} bytes, more than {}", name.size(), max_name_bytes));
    const bool file = kind == '0' || kind == '\0' || kind == '7';
    if (kind == '5' || kind == 'V' || (file && name.ends_with('/'))) {  // before POSIX, folders were files so named
      if (size != 0) reject(name, fmt::format("a folder or label of {} bytes", size));
      override = {};
      continue;
    }
    if (!file) reject(name, fmt::format("{} (kind {})", refusal(kind), in_quotes({&kind, 1})));
    return TarMember{std::move(name), offset, size};
  }
}

TarReader::Header TarReader::header_at_position() {
  const auto want = static_cast<std::int64_t>(block);
  if (bytes_ - position_ < want) {
    reject({}, position_ == 0
                   ? "no tar archive: shorter than a header"
                   : fmt::format("truncated: at byte {} a header or the end's zeros are missing", position_));
  }
  if (position_ < ahead_at_ || position_ + want > ahead_at_ + ahead_size_) {
    ahead_at_ = position_;
    ahead_size_ = static_cast<std::int64_t>(read_at(file_, position_, ahead_));
    if (ahead_size_ < want) reject({}, "became shorter while it was read");
  }
  Header header;
  std::ranges::transform(std::span{ahead_}.subspan(static_cast<std::size_t>(position_ - ahead_at_), block),
                         header.begin(), [](std::byte byte) { return static_cast<char>(byte); });
  return header;
}

std::string TarReader::content(std::string_view name, std::int64_t size, std::int64_t most) {
  if (size > most) reject(name, fmt::format("an extended header of {} bytes, more than {}", size, most));
  std::string text(static_cast<std::size_t>(size), '\0');
  const auto bytes = std::as_writable_bytes(std::span{text});
  if (read_at(file_, position_ + static_cast<std::int64_t>(block), bytes) < text.size())
    reject(name, "became shorter while it was read");
  return text;
}

// Records of "LENGTH KEY=VALUE\n"; the length counts itself.
void TarReader::read_pax(std::string_view records, bool global, Override& override) const {
  while (!records.empty()) {
    const auto space = records.find(' ');
    const auto length = space == std::string_view::npos ? std::nullopt : natural_number(records.substr(0, space));
    if (!length || std::cmp_greater(*length, records.size()) || std::cmp_less(*length, space + 2) ||
        records[static_cast<std::size_t>(*length) - 1] != '\n')
      reject({}, fmt::format("the pax header at byte {} is malformed", position_));
    const auto record = records.substr(space + 1, static_cast<std::size_t>(*length) - space - 2);
    records.remove_prefix(static_cast<std::size_t>(*length));
    const auto equals = record.find('=');
    if (equals == std::string_view::npos)
      reject({}, fmt::format("the pax header at byte {} has a record without =", position_));
    const auto key = record.substr(0, equals), value = record.substr(equals + 1);
    if (key.starts_with("GNU.sparse."))
      reject({}, fmt::format("the header at byte {} is of {}", position_, refusal('S')));
    if (key != "path" && key != "size") continue;
    if (global) reject({}, fmt::format("the global pax header at byte {} sets the {} of every member", position_, key));
    if (key == "path") {
      if (value.find('\0') != std::string_view::npos) reject(value, "its name holds a NUL");
      override.name = value;
    } else {
      const auto size = natural_number(value);
      if (!size)
        reject(override.name, fmt::format("its pax size is {}, no number from 0 to 2^63 − 1", in_quotes(value)));
      override.size = size;
    }
  }
}

void TarReader::check_end() {
  const auto left = bytes_ - position_;
  const auto follows = [&](std::int64_t at) {
    reject({}, fmt::format("data follow the archive's end at byte {}: join archives with tar --concatenate", at));
  };
  if (left > max_end_bytes) follows(position_);
  std::array<std::byte, 8 * block> zeros{};
  for (auto at = position_; at < bytes_;) {
    const auto count = read_at(file_, at, zeros);
    if (count == 0) return;
    const auto end = zeros.begin() + static_cast<std::ptrdiff_t>(count);
    if (std::find_if(zeros.begin(), end, [](std::byte b) { return b != std::byte{0}; }) != end) follows(position_);
    at += static_cast<std::int64_t>(count);
  }
}

std::size_t read_at(const FileDescriptor& file, std::int64_t offset, std::span<std::byte> out) {
  std::size_t filled = 0;
  while (filled < out.size()) {
    const auto count = ::pread(file.get(), out.data() + filled, out.size() - filled,
                               static_cast<off_t>(offset) + static_cast<off_t>(filled));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw IoError(fmt::format("cannot read: {}", std::generic_category().message(errno)));
    if (count == 0) break;
    filled += static_cast<std::size_t>(count);
  }
  return filled;
}

}  // namespace sslmeme::detail
