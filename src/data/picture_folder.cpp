#include <sslmeme/core/error.hpp>
#include <sslmeme/data/picture_folder.hpp>

#include "data/files.hpp"

#include <utility>

#include <fmt/format.h>

namespace sslmeme {

struct PictureFolder::State {
  struct Picture {
    std::string path;  // relative to the root
    std::int64_t id = 0;
  };

  detail::Folder folder;
  DecodeLimits limits;
  std::vector<Picture> pictures;

  State(const std::filesystem::path& root, const PictureFolderOptions& options) : folder{root}, limits{options.limits} {
    if (options.max_files < 0)
      throw InvalidArgument(fmt::format("PictureFolder: .max_files is {}: give at least 0", options.max_files));
    detail::Folder::Search search{.left = static_cast<std::size_t>(options.max_files)};
    detail::PathIds ids;
    for (auto& path : folder.files_below(".", search)) {
      if (!detail::is_picture(folder, path)) continue;
      const auto id = ids.add(path);
      pictures.push_back({std::move(path), id});
    }
    if (pictures.empty()) {
      throw DataError(fmt::format("{} holds no .jpg, .jpeg, .png, .gif, .webp or .bmp picture, nor do its sub-folders",
                                  detail::shown_path(root)));
    }
    pictures.shrink_to_fit();
  }
};

PictureFolder::PictureFolder(const std::filesystem::path& root, const PictureFolderOptions& options)
    : state_{std::make_shared<const State>(root, options)} {}

Sample PictureFolder::get(std::size_t i) const {
  const auto& picture = state_->pictures[i];
  return {detail::read_picture(state_->folder, picture.path, state_->limits), {}, {}, picture.id};
}

std::size_t PictureFolder::size() const {
  return state_->pictures.size();
}
std::int64_t PictureFolder::id(std::size_t i) const {
  return state_->pictures[i].id;
}
std::string PictureFolder::source(std::size_t i) const {
  return state_->folder.path_of(state_->pictures[i].path);
}
const std::string& PictureFolder::name(std::size_t i) const {
  return state_->pictures[i].path;
}
std::vector<std::byte> PictureFolder::bytes(std::size_t i) const {
  return detail::read_picture_bytes(state_->folder, state_->pictures[i].path, state_->limits);
}

}  // namespace sslmeme
