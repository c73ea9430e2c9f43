// A font file opened through FreeType, closed by itself.
#pragma once

#include <sslmeme/core/error.hpp>

#include <fmt/format.h>
#include <ft2build.h>
#include FT_FREETYPE_H

#include <filesystem>
#include <memory>
#include <string_view>
#include <type_traits>

namespace sslmeme {

/// One face with a FreeType library of its own, so that faces never share state.
class FontFace {
 public:
  /// Throws IoError, naming the Debian package that has it, if the file is no readable font.
  FontFace(const std::filesystem::path& file, std::string_view package) {
    FT_Library library = nullptr;
    if (FT_Init_FreeType(&library) != 0) throw Error("FreeType does not start: reinstall libfreetype6");
    library_.reset(library);
    FT_Face face = nullptr;
    if (const auto error = FT_New_Face(library, file.c_str(), 0, &face); error != 0) {
      throw IoError(fmt::format("cannot read the font '{}' (FreeType error {}): install Debian's {} or give its path",
                                file.string(), error, package));
    }
    face_.reset(face);
  }
  FT_Face get() const { return face_.get(); }
  FT_Library library() const { return library_.get(); }

 private:
  struct Close {
    void operator()(FT_Library library) const { FT_Done_FreeType(library); }
    void operator()(FT_Face face) const { FT_Done_Face(face); }
  };
  std::unique_ptr<std::remove_pointer_t<FT_Library>, Close> library_;
  std::unique_ptr<std::remove_pointer_t<FT_Face>, Close> face_;
};

}  // namespace sslmeme
