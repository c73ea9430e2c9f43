#include <sslmeme/core/error.hpp>
#include <sslmeme/data/image_folder.hpp>

#include <algorithm>
#include <array>
#include <cctype>
#include <string_view>

#include <fmt/format.h>

namespace sslmeme {

namespace fs = std::filesystem;

namespace {

bool is_picture(const fs::path& path) {
  auto extension = path.extension().string();
  std::ranges::transform(extension, extension.begin(), [](unsigned char c) { return std::tolower(c); });
  constexpr std::array<std::string_view, 4> known{".jpg", ".jpeg", ".png", ".bmp"};
  return std::ranges::find(known, extension) != known.end();
}

std::vector<fs::path> pictures_in(const fs::path& folder) {
  std::vector<fs::path> paths;
  for (const auto& entry : fs::recursive_directory_iterator{folder, fs::directory_options::follow_directory_symlink}) {
    if (entry.is_regular_file() && is_picture(entry.path())) paths.push_back(entry.path());
  }
  std::ranges::sort(paths);
  return paths;
}

}  // namespace

ImageFolder::ImageFolder(const fs::path& root, const ImageFolderOptions& options) {
  if (!fs::is_directory(root)) throw IoError(fmt::format("no folder {}", root.string()));
  State state;
  state.limits = options.limits;
  try {
    for (const auto& entry : fs::directory_iterator{root}) {
      if (entry.is_directory()) state.classes.push_back(entry.path().filename().string());
    }
    std::ranges::sort(state.classes);
    for (std::size_t label = 0; label < state.classes.size(); ++label) {
      auto paths = pictures_in(root / state.classes[label]);
      if (paths.empty()) {
        throw DataError(
            fmt::format("the class folder {} holds no .jpg, .jpeg, .png or .bmp picture: add some or remove it",
                        (root / state.classes[label]).string()));
      }
      for (auto& path : paths) state.pictures.push_back({std::move(path), static_cast<std::int64_t>(label)});
    }
  } catch (const fs::filesystem_error& error) {
    throw IoError(fmt::format("cannot list {}: {}", error.path1().string(), error.code().message()));
  }
  if (state.classes.empty()) {
    throw DataError(
        fmt::format("{} has no sub-folder: put the pictures of each class into one of its own", root.string()));
  }
  state_ = std::make_shared<const State>(std::move(state));
}

Sample ImageFolder::get(std::size_t i) const {
  const auto& picture = state_->pictures[i];
  return {read_image(picture.path, state_->limits), {}, picture.label, id(i)};
}

}  // namespace sslmeme
