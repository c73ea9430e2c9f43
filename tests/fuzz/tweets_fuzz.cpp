// MMHS150K's one big JSON object, through its preset.
#include <sslmeme/data/presets.hpp>

#include "core/utf8.hpp"
#include "files.hpp"
#include "fuzz/target.hpp"

namespace {

using namespace sslmeme;

/// A folder whose split asks for the tweets 1 and 22.
class TweetFolder {
 public:
  TweetFolder() {
    std::filesystem::create_directory(folder_ / "splits");
    folder_.write("splits/train_ids.txt", "1\n22\n");
  }

  int read(std::string_view content) const {
    const std::string file = "MMHS150K_GT.json";
    std::filesystem::remove(folder_ / file);  // a file that is written over has to reach the disk first
    folder_.write(file, content);
    return fuzz::expect_errors([&] {
      const auto data = mmhs150k(folder_.path, "train", {.limits = fuzz::limits, .check_pictures = false});
      fuzz::require(data.size() == 2 && data.repaired_texts() <= 2, "tweets that do not add up");
      for (std::size_t i = 0; i < data.size(); ++i)
        fuzz::require(sslmeme::detail::is_utf8(data.text(i)) && data.label(i).value_or(2) <= 1, "a tweet that is none");
    });
  }

 private:
  test::TemporaryFolder folder_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const TweetFolder folder;
  return folder.read(fuzz::text_of(data, size));
}
