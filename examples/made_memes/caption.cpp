#include "caption.hpp"

#include "freetype.hpp"

#include FT_GLYPH_H
#include FT_STROKER_H

#include <string>

namespace sslmeme {

struct CaptionFont::State {
  FontFace font;
};

CaptionFont::CaptionFont(const std::filesystem::path& file)
    : state_{std::make_unique<State>(FontFace{file, "fonts-dejavu-core"})} {
  if (!FT_IS_SCALABLE(state_->font.get()))
    throw DataError(
        fmt::format("{} has no outlines: give the DejaVuSans-Bold.ttf of fonts-dejavu-core", file.string()));
}
CaptionFont::~CaptionFont() = default;
CaptionFont::CaptionFont(CaptionFont&&) noexcept = default;
CaptionFont& CaptionFont::operator=(CaptionFont&&) noexcept = default;

namespace {

struct Line {
  std::string text;
  int width = 0;
};

int advance(FT_Face face, char letter) {
  if (FT_Load_Char(face, static_cast<unsigned char>(letter), FT_LOAD_NO_BITMAP) != 0) return 0;
  return static_cast<int>(face->glyph->advance.x >> 6);
}

int text_width(FT_Face face, std::string_view text) {
  int width = 0;
  for (const char letter : text) width += advance(face, letter);
  return width;
}

/// Breaks at spaces, as few lines as `width` allows; a word that is wider stands alone.
std::vector<Line> wrap(FT_Face face, std::string_view text, int width) {
  std::vector<Line> lines;
  while (!text.empty()) {
    const auto word = text.substr(0, text.find(' '));
    text.remove_prefix(std::min(text.size(), word.size() + 1));
    auto longer = lines.empty() ? std::string{} : lines.back().text + ' ';
    longer += word;
    if (const int pixels = text_width(face, longer); lines.empty() || pixels > width)
      lines.push_back({std::string{word}, text_width(face, word)});
    else
      lines.back() = {std::move(longer), pixels};
  }
  return lines;
}

/// Adds a glyph's coverage to `mask` with its origin at (x, y).
void blit(std::vector<std::uint8_t>& mask, const CaptionMask& caption, FT_BitmapGlyph glyph, int x, int y) {
  const auto& bitmap = glyph->bitmap;
  for (int row = 0; row < static_cast<int>(bitmap.rows); ++row) {
    const int to_y = y - glyph->top + row;
    if (to_y < 0 || to_y >= caption.height) continue;
    for (int column = 0; column < static_cast<int>(bitmap.width); ++column) {
      const int to_x = x + glyph->left + column;
      if (to_x < 0 || to_x >= caption.width) continue;
      auto& to = mask[static_cast<std::size_t>(to_y) * static_cast<std::size_t>(caption.width) +
                      static_cast<std::size_t>(to_x)];
      to = std::max(to, bitmap.buffer[static_cast<std::ptrdiff_t>(row) * bitmap.pitch + column]);
    }
  }
}

struct GlyphDone {
  void operator()(FT_Glyph glyph) const { FT_Done_Glyph(glyph); }
  void operator()(FT_Stroker stroker) const { FT_Stroker_Done(stroker); }
};
using Glyph = std::unique_ptr<std::remove_pointer_t<FT_Glyph>, GlyphDone>;
using Stroker = std::unique_ptr<std::remove_pointer_t<FT_Stroker>, GlyphDone>;

/// Draws the loaded glyph into `mask`, grown by the stroker if there is one.
void draw_glyph(FT_Face face, FT_Stroker stroker, std::vector<std::uint8_t>& mask, const CaptionMask& caption, int x,
                int y) {
  FT_Glyph raw = nullptr;
  if (FT_Get_Glyph(face->glyph, &raw) != 0) return;
  if (stroker != nullptr && FT_Glyph_StrokeBorder(&raw, stroker, 0, 1) != 0) stroker = nullptr;
  if (FT_Glyph_To_Bitmap(&raw, FT_RENDER_MODE_NORMAL, nullptr, 1) == 0)
    blit(mask, caption, reinterpret_cast<FT_BitmapGlyph>(raw), x, y);
  const Glyph owner{raw};
}

}  // namespace

CaptionMask CaptionFont::draw(std::string_view text, int size) const {
  const auto face = state_->font.get();
  const int margin = std::max(1, size / 32);
  std::vector<Line> lines;
  int letter = std::max(6, size / 8), line_height = 0;
  for (;; --letter) {
    FT_Set_Pixel_Sizes(face, 0, static_cast<FT_UInt>(letter));
    lines = wrap(face, text, size - 2 * margin);
    line_height = letter + letter / 5;
    const auto fits = [&](const Line& line) { return line.width <= size - 2 * margin; };
    const int height = static_cast<int>(lines.size()) * line_height;
    if (letter <= 6 || (lines.size() <= 4 && 5 * height <= 2 * size && std::ranges::all_of(lines, fits))) break;
  }

  CaptionMask caption{size, std::min(size, static_cast<int>(lines.size()) * line_height + 2 * margin), {}, {}};
  caption.letters.resize(static_cast<std::size_t>(caption.width) * static_cast<std::size_t>(caption.height));
  caption.outline = caption.letters;
  FT_Stroker raw_stroker = nullptr;
  if (FT_Stroker_New(state_->font.library(), &raw_stroker) != 0) throw Error("FreeType: no memory for an outline");
  const Stroker stroker{raw_stroker};
  FT_Stroker_Set(stroker.get(), std::max(48, letter * 64 / 10), FT_STROKER_LINECAP_ROUND, FT_STROKER_LINEJOIN_ROUND, 0);
  int y = margin + letter;
  for (const auto& line : lines) {
    int x = (size - line.width) / 2;
    for (const char c : line.text) {
      if (FT_Load_Char(face, static_cast<unsigned char>(c), FT_LOAD_NO_BITMAP) != 0) continue;
      draw_glyph(face, stroker.get(), caption.outline, caption, x, y);
      draw_glyph(face, nullptr, caption.letters, caption, x, y);
      x += static_cast<int>(face->glyph->advance.x >> 6);
    }
    y += line_height;
  }
  return caption;
}

void lay_caption(Canvas& canvas, const CaptionMask& caption, bool at_top) {
  const int top = at_top ? 0 : canvas.size - caption.height;
  for (int y = 0; y < caption.height; ++y) {
    for (int x = 0; x < caption.width; ++x) {
      const auto i =
          static_cast<std::size_t>(y) * static_cast<std::size_t>(caption.width) + static_cast<std::size_t>(x);
      auto& pixel = canvas.at(x, top + y);
      pixel = mix(pixel, Rgb{}, static_cast<float>(caption.outline[i]) / 255);
      pixel = mix(pixel, Rgb{1, 1, 1}, static_cast<float>(caption.letters[i]) / 255);
    }
  }
}

}  // namespace sslmeme
