#include <sslmeme/core/error.hpp>
#include <sslmeme/data/image_folder.hpp>

#include "data/files.hpp"

#include <utility>

#include <fmt/format.h>

namespace sslmeme {

namespace fs = std::filesystem;

struct ImageFolder::State {
  struct Picture {
    std::string path;  // relative to the root
    std::int64_t id = 0, label = 0;
  };

  detail::Folder folder;
  DecodeLimits limits;
  std::vector<std::string> classes;
  std::vector<Picture> pictures;

  State(const fs::path& root, const ImageFolderOptions& options) : folder{root}, limits{options.limits} {
    if (options.max_files < 0)
      throw InvalidArgument(fmt::format("ImageFolder: .max_files is {}: give at least 0", options.max_files));
    detail::Folder::Search search{.left = static_cast<std::size_t>(options.max_files)};
    auto entries = folder.entries(".", search.left);
    search.left -= entries.size();
    for (auto& [name, kind] : entries) {
      if (kind == detail::Folder::Kind::astray) folder.refuse_link(name);
      if (kind == detail::Folder::Kind::folder) classes.push_back(std::move(name));
    }
    if (classes.empty()) {
      throw DataError(fmt::format("{} has no sub-folder: put the pictures of each class into one of its own",
                                  detail::shown_path(root)));
    }
    detail::PathIds ids;
    for (std::size_t label = 0; label < classes.size(); ++label) add_class(label, search, ids);
    pictures.shrink_to_fit();
  }

  // One search for all classes: a folder that is linked into two of them would give its pictures two labels.
  void add_class(std::size_t label, detail::Folder::Search& search, detail::PathIds& ids) {
    auto files = folder.files_below(classes[label], search);
    const auto before = pictures.size();
    for (auto& path : files) {
      if (!detail::is_picture(folder, path)) continue;
      const auto id = ids.add(path);
      pictures.push_back({std::move(path), id, static_cast<std::int64_t>(label)});
    }
    if (pictures.size() == before) {
      throw DataError(
          fmt::format("the class folder {} holds no .jpg, .jpeg, .png, .gif, .webp or .bmp picture: add some or "
                      "remove it",
                      detail::shown_path(folder.path_of(classes[label]))));
    }
  }
};

ImageFolder::ImageFolder(const fs::path& root, const ImageFolderOptions& options)
    : state_{std::make_shared<const State>(root, options)} {}

Sample ImageFolder::get(std::size_t i) const {
  const auto& picture = state_->pictures[i];
  return {detail::read_picture(state_->folder, picture.path, state_->limits), {}, picture.label, picture.id};
}

std::size_t ImageFolder::size() const {
  return state_->pictures.size();
}
std::int64_t ImageFolder::id(std::size_t i) const {
  return state_->pictures[i].id;
}
std::optional<std::int64_t> ImageFolder::label(std::size_t i) const {
  return state_->pictures[i].label;
}
std::string ImageFolder::source(std::size_t i) const {
  return state_->folder.path_of(state_->pictures[i].path);
}
std::vector<std::byte> ImageFolder::bytes(std::size_t i) const {
  return detail::read_picture_bytes(state_->folder, state_->pictures[i].path, state_->limits);
}
const std::vector<std::string>& ImageFolder::classes() const {
  return state_->classes;
}

}  // namespace sslmeme
