// What the targets of manifests share: a folder with pictures, and with what must not be opened.
#pragma once

#include <sslmeme/data/manifest.hpp>

#include <sys/stat.h>

#include "files.hpp"
#include "fuzz/target.hpp"

namespace sslmeme::fuzz {

class ManifestFolder {
 public:
  ManifestFolder() {
    std::filesystem::create_directory(folder_ / "img");
    write_png(folder_ / "img" / "1.png", Image{4, 3});
    write_png(folder_ / "2.png", Image{5, 3});
    std::filesystem::create_symlink("img/1.png", folder_ / "in.png");
    std::filesystem::create_symlink("/dev/zero", folder_ / "out.png");
    require(::mkfifo((folder_ / "pipe.png").c_str(), 0600) == 0, "no pipe");
  }

  /// Reads `content` as the manifest `file` and looks at every row and at some pictures.
  int read(const std::string& file, std::string_view content, const ManifestOptions& options = {}) const {
    std::filesystem::remove(folder_ / file);  // a file that is written over has to reach the disk first
    folder_.write(file, content);
    return expect_errors([&] {
      const Manifest data{folder_.path, file, options};
      require(data.records().size() == data.size(), "records that do not add up");
      const auto root = std::filesystem::canonical(folder_.path).string();
      for (const auto& record : data.records()) {
        require(record.label.value_or(0) >= 0, "a negative label");
        const auto path = std::filesystem::canonical(folder_ / record.picture);
        require(path.string().starts_with(root) && std::filesystem::is_regular_file(path),
                "a picture outside the folder");
      }
      for (std::size_t i = 0; i < std::min<std::size_t>(data.size(), 2); ++i)
        expect_errors([&] { check_image(data.get(i).picture); });
    });
  }

 private:
  test::TemporaryFolder folder_;
};

}  // namespace sslmeme::fuzz
