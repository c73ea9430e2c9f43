// A folder that appears whole under its name or not at all.
#pragma once

#include <filesystem>
#include <span>
#include <string_view>

namespace sslmeme {

/// Collects files in a hidden folder beside `out` until commit() gives it that name; dropped without commit() it leaves
/// nothing.
class OutputFolder {
 public:
  /// Throws IoError if `out` is no folder, or is one with something in it, unless `overwrite` is set and its README.md
  /// begins with `marker`: nobody else's folder is ever replaced.
  OutputFolder(const std::filesystem::path& out, bool overwrite, std::string_view marker);
  ~OutputFolder();
  OutputFolder(const OutputFolder&) = delete;
  OutputFolder& operator=(const OutputFolder&) = delete;

  /// Writes a file, making its folder. `name` is relative. Safe to call from several threads. Throws IoError.
  void write(const std::filesystem::path& name, std::string_view content) const;
  /// Puts the folder under its name in place of a former one.
  void commit();
  const std::filesystem::path& path() const { return out_; }

 private:
  std::filesystem::path sibling(std::string_view what) const;

  std::filesystem::path out_;
  std::filesystem::path partial_;
};

}  // namespace sslmeme
