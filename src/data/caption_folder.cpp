#include <sslmeme/core/error.hpp>
#include <sslmeme/data/caption_folder.hpp>

#include "data/files.hpp"

#include <cerrno>
#include <map>
#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace sslmeme {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view caption_extension = ".txt";

std::string without_extension(const std::string& path) {
  const auto name = path.rfind('/') + 1;  // npos + 1 is 0
  const auto dot = path.rfind('.');
  return dot == std::string::npos || dot < name ? path : path.substr(0, dot);
}

std::string caption_of(const std::string& stem) {
  return stem + std::string{caption_extension};
}

}  // namespace

struct CaptionFolder::State {
  struct Pair {
    std::string picture;  // relative to the root; the caption is beside it
    std::int64_t id = 0;
  };

  detail::Folder folder;
  CaptionFolderOptions options;
  std::vector<Pair> pairs;
  std::size_t pictures_alone = 0, captions_alone = 0;

  State(const fs::path& root, const CaptionFolderOptions& options_) : folder{root}, options{options_} {
    if (options.max_files < 0 || options.max_caption_bytes < 0) {
      throw InvalidArgument(fmt::format("CaptionFolder: .max_files is {} and .max_caption_bytes is {}: give at least 0",
                                        options.max_files, options.max_caption_bytes));
    }
    std::map<std::string, std::string> captions;  // each file without .txt, and the picture it goes with
    std::vector<std::string> pictures;
    detail::Folder::Search search{.left = static_cast<std::size_t>(options.max_files)};
    for (auto& path : folder.files_below(".", search)) {
      if (path.ends_with(caption_extension))
        captions.try_emplace(without_extension(path));
      else if (detail::is_picture(folder, path))
        pictures.push_back(std::move(path));
    }
    detail::PathIds ids;
    for (auto& picture : pictures) {
      const auto caption = captions.find(without_extension(picture));
      if (caption == captions.end()) {
        count_alone(picture, "picture", "caption", pictures_alone);
        continue;
      }
      if (!caption->second.empty()) {
        throw DataError(fmt::format("{} and {} have the same caption: rename one of them",
                                    detail::shown_path(folder.path_of(caption->second)),
                                    detail::shown_path(folder.path_of(picture))));
      }
      caption->second = picture;
      const auto id = ids.add(picture);
      pairs.push_back({std::move(picture), id});
    }
    for (const auto& [stem, picture] : captions) {
      if (picture.empty()) count_alone(caption_of(stem), "caption", "picture", captions_alone);
    }
    if (pairs.empty()) {
      throw DataError(
          fmt::format("{} holds no picture with a caption: put x.txt beside x.jpg", detail::shown_path(root)));
    }
  }

  void count_alone(const std::string& path, std::string_view what, std::string_view other, std::size_t& count) const {
    if (options.unpaired == Unpaired::refuse) {
      throw DataError(fmt::format("the {} {} has no {} beside it: add one or set .unpaired = Unpaired::skip", what,
                                  detail::shown_path(folder.path_of(path)), other));
    }
    ++count;
  }
};

CaptionFolder::CaptionFolder(const fs::path& root, const CaptionFolderOptions& options)
    : state_{std::make_shared<const State>(root, options)} {}

Sample CaptionFolder::get(std::size_t i) const {
  const auto& pair = state_->pairs[i];
  return {detail::read_picture(state_->folder, pair.picture, state_->options.limits), text(i), {}, pair.id};
}

std::string CaptionFolder::text(std::size_t i) const {
  const auto path = caption_of(without_extension(state_->pairs[i].picture));
  const auto named = state_->folder.path_of(path);
  auto file = state_->folder.open(path);
  if (!file.valid())
    throw DataError(
        fmt::format("cannot open the caption {}: {}", detail::shown_path(named), detail::why_not_opened(errno)));
  const auto caption =
      detail::ByteReader{std::move(file), named, state_->options.max_caption_bytes, ".max_caption_bytes"}.rest();
  constexpr std::string_view mark = "\xEF\xBB\xBF";
  std::string_view text = caption;
  if (text.starts_with(mark)) text.remove_prefix(mark.size());
  return detail::repaired_utf8(detail::trimmed(text));
}

std::size_t CaptionFolder::size() const {
  return state_->pairs.size();
}
std::int64_t CaptionFolder::id(std::size_t i) const {
  return state_->pairs[i].id;
}
std::string CaptionFolder::source(std::size_t i) const {
  return state_->folder.path_of(state_->pairs[i].picture);
}
std::vector<std::byte> CaptionFolder::bytes(std::size_t i) const {
  return detail::read_picture_bytes(state_->folder, state_->pairs[i].picture, state_->options.limits);
}
std::size_t CaptionFolder::pictures_without_caption() const {
  return state_->pictures_alone;
}
std::size_t CaptionFolder::captions_without_picture() const {
  return state_->captions_alone;
}

}  // namespace sslmeme
