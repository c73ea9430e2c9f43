// CaptionFolder: pictures with their captions in text files beside them, x.jpg and x.txt.
#pragma once

#include <sslmeme/core/batch.hpp>
#include <sslmeme/data/image_io.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace sslmeme {

/// What to do about a picture without a caption, or the other way round.
enum class Unpaired {
  refuse,  ///< throw DataError, naming the first
  skip,    ///< leave it out and count it
};

struct CaptionFolderOptions {
  DecodeLimits limits = {};  ///< what a picture may cost
  Unpaired unpaired = Unpaired::refuse;
  std::int64_t max_caption_bytes = 1 << 16;  ///< length of a text file
  std::int64_t max_files = 10'000'000;       ///< files and folders below the root
};

/// ROOT/…/NAME.jpg with the caption in ROOT/…/NAME.txt, as img2dataset and caption tools leave them; no labels. What
/// counts as a picture, what its id is and which links are followed is as for ImageFolder; samples are sorted by path.
///
/// A caption is UTF-8, of which malformed bytes become U+FFFD and white space at both ends is left out. Captions are
/// read when they are asked for, so that memory is that of the paths. Copies share these; reading is thread-safe.
class CaptionFolder {
 public:
  /// Throws IoError for a root that is missing or cannot be listed and DataError if there is no pair, an unpaired file
  /// that options.unpaired refuses, one caption for two pictures, a link that goes astray or more than max_files.
  explicit CaptionFolder(const std::filesystem::path& root, const CaptionFolderOptions& options = {});

  std::size_t size() const;
  /// Decodes the picture. Throws as `text` does and PictureError, naming the file, for a picture that is damaged or
  /// went away.
  Sample get(std::size_t i) const;
  std::int64_t id(std::size_t i) const;
  std::optional<std::int64_t> label(std::size_t) const { return {}; }
  /// Reads the caption. Throws DataError, naming the file, if it went away or is longer than max_caption_bytes.
  std::string text(std::size_t i) const;
  /// The path of the picture.
  std::string source(std::size_t i) const;
  /// The picture's file as it is. Throws PictureError if it went away or is over limits.max_bytes.
  std::vector<std::byte> bytes(std::size_t i) const;

  /// How many were left out.
  std::size_t pictures_without_caption() const;
  std::size_t captions_without_picture() const;

 private:
  struct State;
  std::shared_ptr<const State> state_;
};

}  // namespace sslmeme
