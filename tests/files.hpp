// Files of tests: a folder that is gone in the end, and what files hold.
#pragma once

#include <sslmeme/core/files.hpp>

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <string_view>
#include <system_error>

namespace sslmeme::test {

/// The whole file, which must be there.
inline std::string bytes_of(const std::filesystem::path& path) {
  std::ifstream file{path, std::ios::binary};
  if (!file) throw std::system_error{errno, std::generic_category(), path.string()};
  return {std::istreambuf_iterator<char>{file}, {}};
}

/// Every file below `folder`: its bytes by its name within the folder.
inline std::map<std::string, std::string> all_files_of(const std::filesystem::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator{folder}) {
    if (entry.is_regular_file()) files[entry.path().lexically_relative(folder).string()] = bytes_of(entry.path());
  }
  return files;
}

/// A new, empty folder that is removed in the end with all that lies in it.
class TemporaryFolder {
 public:
  TemporaryFolder() = default;
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() { sslmeme::remove_tree(path); }

  std::filesystem::path operator/(const std::filesystem::path& name) const { return path / name; }

  /// Writes the file `name`, whose folder must be there, and returns its path.
  std::filesystem::path write(const std::filesystem::path& name, std::string_view content) const {
    std::ofstream file{path / name, std::ios::binary};
    file << content << std::flush;
    if (!file) throw std::system_error{errno, std::generic_category(), (path / name).string()};
    return path / name;
  }

  /// How many things lie in it, hidden ones included.
  std::ptrdiff_t entries() const {
    return std::distance(std::filesystem::directory_iterator{path}, std::filesystem::directory_iterator{});
  }

  const std::filesystem::path path = make();

 private:
  static std::filesystem::path make() {
    auto name = (std::filesystem::temp_directory_path() / "sslmeme_XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::system_error{errno, std::generic_category(), name};
    return name;
  }
};

}  // namespace sslmeme::test
