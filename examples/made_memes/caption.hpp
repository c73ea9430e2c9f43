// Captions as memes carry them: white letters with a black outline, wrapped, across the top or the bottom.
#pragma once

#include "canvas.hpp"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string_view>
#include <vector>

namespace sslmeme {

/// A caption drawn once, to be laid on many pictures.
struct CaptionMask {
  int width = 0;  ///< that of the picture
  int height = 0;
  std::vector<std::uint8_t> letters;  ///< height × width, 255 where a letter covers the pixel
  std::vector<std::uint8_t> outline;  ///< the same with the outline around the letters
};

/// Draws captions in one font. Not for use by several threads at once.
class CaptionFont {
 public:
  /// Throws IoError, naming the Debian package, if the file is no readable font.
  explicit CaptionFont(const std::filesystem::path& file);
  ~CaptionFont();
  CaptionFont(CaptionFont&&) noexcept;
  CaptionFont& operator=(CaptionFont&&) noexcept;

  /// The text, ASCII, wrapped into a picture of `size` pixels, in letters as large as fit four lines or two fifths of
  /// its height.
  CaptionMask draw(std::string_view text, int size) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Lays the caption across the top or the bottom.
void lay_caption(Canvas& canvas, const CaptionMask& caption, bool at_top);

}  // namespace sslmeme
