// PictureFolder: the pictures of a folder, whatever they show.
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

struct PictureFolderOptions {
  DecodeLimits limits = {};             ///< what a picture may cost
  std::int64_t max_files = 10'000'000;  ///< files and folders below the root
};

/// ROOT/…/PICTURE, without labels and texts: what is to be embedded or pre-trained on. What counts as a picture, what
/// its id is and which links are followed is as for ImageFolder; samples are sorted by path, by bytes. Copies share the
/// list of files; reading is thread-safe.
class PictureFolder {
 public:
  /// Throws IoError for a root that is missing or cannot be listed and DataError if there is no picture, a link that
  /// goes astray or more than max_files.
  explicit PictureFolder(const std::filesystem::path& root, const PictureFolderOptions& options = {});

  std::size_t size() const;
  /// Decodes the picture. Throws PictureError, naming the file, for one that is damaged or went away.
  Sample get(std::size_t i) const;
  std::int64_t id(std::size_t i) const;
  std::optional<std::int64_t> label(std::size_t) const { return {}; }
  std::string text(std::size_t) const { return {}; }
  /// The path of the picture.
  std::string source(std::size_t i) const;
  /// The path of the picture relative to the root.
  const std::string& name(std::size_t i) const;
  /// The picture's file as it is. Throws PictureError if it went away or is over limits.max_bytes.
  std::vector<std::byte> bytes(std::size_t i) const;

 private:
  struct State;
  std::shared_ptr<const State> state_;
};

}  // namespace sslmeme
