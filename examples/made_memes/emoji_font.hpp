// Pictures out of the Noto Color Emoji font and their names out of Unicode's emoji list.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace sslmeme {

/// A small picture with transparency, colours multiplied by alpha.
struct Sprite {
  int width = 0;
  int height = 0;
  std::vector<std::uint8_t> rgba;  ///< height × width × 4, premultiplied

  const std::uint8_t* at(int x, int y) const {
    return rgba.data() +
           (static_cast<std::size_t>(y) * static_cast<std::size_t>(width) + static_cast<std::size_t>(x)) * 4;
  }
};

/// A colour font with bitmaps (CBDT), read through FreeType. Not for use by several threads at once.
class EmojiFont {
 public:
  /// Throws IoError, naming the Debian package, if the file is missing, and DataError if it holds no colour bitmaps.
  explicit EmojiFont(const std::filesystem::path& file);
  ~EmojiFont();
  EmojiFont(EmojiFont&&) noexcept;
  EmojiFont& operator=(EmojiFont&&) noexcept;

  /// The emoji's bitmap, 136 × 128 in Noto Color Emoji; none if the font has no picture of it.
  std::optional<Sprite> sprite(char32_t emoji) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

struct EmojiName {
  char32_t emoji = 0;
  std::string name;  ///< as in Unicode's list, e.g. "red apple"
};

struct EmojiNames {
  std::vector<EmojiName> names;  ///< in the file's order
  int sequences = 0;             ///< fully qualified emoji that are sequences of code points, and so not in `names`
};

/// The fully qualified emoji of Unicode's emoji-test.txt that are one code point, a variation selector aside.
/// Sequences (flags, skin tones, families) need a shaping engine and are only counted.
/// Throws IoError, naming the Debian package, if the file is missing, and DataError if no line of it can be used.
EmojiNames read_emoji_names(const std::filesystem::path& file);

}  // namespace sslmeme
