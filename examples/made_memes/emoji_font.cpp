#include "emoji_font.hpp"

#include "freetype.hpp"

#include <sslmeme/core/error.hpp>

#include <fmt/format.h>

#include <fstream>
#include <sstream>

namespace sslmeme {

struct EmojiFont::State {
  FontFace font;
};

EmojiFont::EmojiFont(const std::filesystem::path& file)
    : state_{std::make_unique<State>(FontFace{file, "fonts-noto-color-emoji"})} {
  const auto face = state_->font.get();
  if (!FT_HAS_COLOR(face) || face->num_fixed_sizes == 0 || FT_Select_Size(face, 0) != 0) {
    throw DataError(
        fmt::format("{} holds no colour bitmaps: give the NotoColorEmoji.ttf of Debian's "
                    "fonts-noto-color-emoji",
                    file.string()));
  }
}
EmojiFont::~EmojiFont() = default;
EmojiFont::EmojiFont(EmojiFont&&) noexcept = default;
EmojiFont& EmojiFont::operator=(EmojiFont&&) noexcept = default;

std::optional<Sprite> EmojiFont::sprite(char32_t emoji) const {
  const auto face = state_->font.get();
  const auto glyph = FT_Get_Char_Index(face, emoji);
  if (glyph == 0 || FT_Load_Glyph(face, glyph, FT_LOAD_COLOR) != 0) return std::nullopt;
  const auto& bitmap = face->glyph->bitmap;
  if (bitmap.pixel_mode != FT_PIXEL_MODE_BGRA || bitmap.width == 0 || bitmap.rows == 0) return std::nullopt;
  Sprite sprite{static_cast<int>(bitmap.width), static_cast<int>(bitmap.rows), {}};
  sprite.rgba.reserve(std::size_t{bitmap.width} * bitmap.rows * 4);
  for (unsigned y = 0; y < bitmap.rows; ++y) {
    const auto* row = bitmap.buffer + static_cast<std::ptrdiff_t>(y) * bitmap.pitch;
    for (unsigned x = 0; x < bitmap.width; ++x) {
      const auto* bgra = row + std::size_t{x} * 4;
      sprite.rgba.insert(sprite.rgba.end(), {bgra[2], bgra[1], bgra[0], bgra[3]});
    }
  }
  return sprite;
}

namespace {

/// Adds what one line `1F34E ; fully-qualified # 🍎 E0.6 red apple` names.
void add_line(EmojiNames& to, const std::string& line) {
  const auto semicolon = line.find(';'), hash = line.find('#');
  if (semicolon == std::string::npos || hash == std::string::npos || hash < semicolon) return;
  std::istringstream codes{line.substr(0, semicolon)}, status{line.substr(semicolon + 1, hash - semicolon - 1)};
  std::istringstream comment{line.substr(hash + 1)};
  std::string word, picture, version, name;
  std::uint32_t emoji = 0, selector = 0, more = 0;
  if (!(status >> word) || word != "fully-qualified" || !(codes >> std::hex >> emoji)) return;
  constexpr std::uint32_t emoji_presentation = 0xFE0F;
  if (codes >> selector && (selector != emoji_presentation || codes >> more)) {
    ++to.sequences;
  } else if (comment >> picture >> version >> std::ws && std::getline(comment, name)) {
    to.names.push_back({static_cast<char32_t>(emoji), name});
  }
}

}  // namespace

EmojiNames read_emoji_names(const std::filesystem::path& file) {
  std::ifstream in{file};
  if (!in || std::filesystem::is_directory(file)) {
    throw IoError(
        fmt::format("cannot read the emoji names '{}': install Debian's unicode-data or give the path of "
                    "Unicode's emoji-test.txt",
                    file.string()));
  }
  EmojiNames names;
  for (std::string line; std::getline(in, line);) add_line(names, line);
  if (names.names.empty())
    throw DataError(fmt::format("{} names no emoji: give the emoji-test.txt of Debian's unicode-data", file.string()));
  return names;
}

}  // namespace sslmeme
