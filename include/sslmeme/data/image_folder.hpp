// Pictures sorted into one folder a class, as torchvision's ImageFolder reads them.
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

struct ImageFolderOptions {
  DecodeLimits limits = {};             ///< what a picture may cost
  std::int64_t max_files = 10'000'000;  ///< files and folders below the root
};

/// ROOT/CLASS/…/PICTURE: the label is the position of CLASS among the sorted sub-folders' names, texts are empty.
/// Samples are sorted by class, then path, by bytes.
///
/// A picture is a file that begins as a JPEG, PNG, GIF, WebP or BMP does, whatever its name; so is one that is only
/// named as such, in order that a damaged one is reported and not left out. Other files are ignored, and so is what
/// begins with a dot. The id of a picture is a 63-bit hash of its path relative to the root: it stays when others come
/// or go.
///
/// Nothing outside the root is read. Relative links that stay inside are followed, another is an error, and so is a
/// folder that is reached twice. Copies share the list of files; reading is thread-safe.
class ImageFolder {
 public:
  /// Throws IoError for a root that is missing or cannot be listed and DataError if there is no sub-folder, one without
  /// a picture, one more than 32 deep, a link that goes astray or more than max_files.
  explicit ImageFolder(const std::filesystem::path& root, const ImageFolderOptions& options = {});

  std::size_t size() const;
  /// Decodes the picture. Throws PictureError, naming the file, for one that is damaged or went away.
  Sample get(std::size_t i) const;
  std::int64_t id(std::size_t i) const;
  std::optional<std::int64_t> label(std::size_t i) const;
  std::string text(std::size_t) const { return {}; }
  std::string source(std::size_t i) const;
  /// The picture's file as it is. Throws PictureError if it went away or is over limits.max_bytes.
  std::vector<std::byte> bytes(std::size_t i) const;

  /// The sub-folders' names; a label is a position in this list.
  const std::vector<std::string>& classes() const;

 private:
  struct State;
  std::shared_ptr<const State> state_;
};

}  // namespace sslmeme
