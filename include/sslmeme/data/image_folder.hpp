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
  DecodeLimits limits = {};  ///< what a picture may cost
};

/// ROOT/CLASS/…/PICTURE: the label is the position of CLASS among the sorted sub-folders' names, the id that of the
/// picture among all, sorted by class, then path. Takes .jpg, .jpeg, .png and .bmp files; texts are empty. Copies share
/// the list of files.
class ImageFolder {
 public:
  /// Throws IoError for a missing root and DataError if there is no sub-folder or one without a picture.
  explicit ImageFolder(const std::filesystem::path& root, const ImageFolderOptions& options = {});

  std::size_t size() const { return state_->pictures.size(); }
  /// Decodes the picture. Throws DataError, naming the file, for a damaged one.
  Sample get(std::size_t i) const;
  std::int64_t id(std::size_t i) const { return static_cast<std::int64_t>(i); }
  std::optional<std::int64_t> label(std::size_t i) const { return state_->pictures[i].label; }
  std::string text(std::size_t) const { return {}; }
  std::string source(std::size_t i) const { return state_->pictures[i].path.string(); }

  /// The sub-folders' names; a label is a position in this list.
  const std::vector<std::string>& classes() const { return state_->classes; }

 private:
  struct Picture {
    std::filesystem::path path;
    std::int64_t label = 0;
  };
  struct State {
    std::vector<std::string> classes;
    std::vector<Picture> pictures;
    DecodeLimits limits;
  };
  std::shared_ptr<const State> state_;
};

}  // namespace sslmeme
