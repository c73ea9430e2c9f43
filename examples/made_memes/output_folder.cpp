#include "output_folder.hpp"

#include <sslmeme/core/error.hpp>
#include <sslmeme/core/files.hpp>

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <string>
#include <system_error>

namespace sslmeme {
namespace fs = std::filesystem;
namespace {

/// Whether the folder was made by this program.
bool is_marked(const fs::path& folder, std::string_view marker) {
  std::ifstream readme{folder / "README.md"};
  std::string line;
  return std::getline(readme, line) && line == marker;
}

void check_usable(const fs::path& out, bool overwrite, std::string_view marker) {
  if (!fs::exists(out)) return;
  if (!fs::is_directory(out)) throw IoError(fmt::format("'{}' is not a folder: give another name", out.string()));
  if (fs::is_empty(out)) return;
  if (!overwrite) {
    throw IoError(
        fmt::format("'{}' is not empty: give another folder, or --overwrite to replace what is there", out.string()));
  }
  if (!is_marked(out, marker)) {
    throw IoError(fmt::format("'{}' was not made by make_memes, so --overwrite leaves it alone: give another folder",
                              out.string()));
  }
}

}  // namespace

OutputFolder::OutputFolder(const fs::path& out, bool overwrite, std::string_view marker) try
    : out_{fs::weakly_canonical(fs::absolute(out))} {
  if (!out_.has_filename()) out_ = out_.parent_path();
  check_usable(out_, overwrite, marker);
  fs::create_directories(out_.parent_path());
  partial_ = sibling("partial");
} catch (const fs::filesystem_error& error) {
  throw IoError(fmt::format("cannot write into '{}': {}", out.string(), error.code().message()));
}

OutputFolder::~OutputFolder() {
  std::error_code ignored;
  if (!partial_.empty()) sslmeme::remove_tree(partial_, ignored);
}

fs::path OutputFolder::sibling(std::string_view what) const {
  for (int n = 0;; ++n) {
    auto path = out_.parent_path() / fmt::format(".{}.{}-{}", out_.filename().string(), what, n);
    if (fs::create_directory(path)) return path;
  }
}

void OutputFolder::write(const fs::path& name, std::string_view content) const {
  const auto file = partial_ / name;
  std::error_code error;
  fs::create_directories(file.parent_path(), error);
  errno = 0;
  std::ofstream to{file, std::ios::binary};
  to.write(content.data(), static_cast<std::streamsize>(content.size()));
  to.close();
  if (!to) throw IoError(fmt::format("cannot write '{}': {}", (out_ / name).string(), std::strerror(errno)));
}

void OutputFolder::commit() try {
  fs::path former;
  if (fs::exists(out_) && !fs::is_empty(out_)) {
    former = sibling("former");
    fs::rename(out_, former);
  }
  try {
    fs::rename(partial_, out_);
  } catch (const fs::filesystem_error&) {
    std::error_code ignored;
    if (!former.empty()) fs::rename(former, out_, ignored);
    throw;
  }
  partial_.clear();
  std::error_code ignored;
  if (!former.empty()) sslmeme::remove_tree(former, ignored);
} catch (const fs::filesystem_error& error) {
  throw IoError(fmt::format("cannot write '{}': {}", out_.string(), error.code().message()));
}

}  // namespace sslmeme
