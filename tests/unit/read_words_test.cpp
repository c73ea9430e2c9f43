// Words are read off pictures as memes carry them, by several threads at once, and nothing is made up.
#include <sslmeme/core/error.hpp>
#include <sslmeme/data/meme_jsonl.hpp>
#include <sslmeme/data/read_words.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "files.hpp"
#ifdef SSLMEME_MADE_MEMES
#include "made_memes/made_memes.hpp"
#endif

namespace sslmeme {
namespace {

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

TEST_CASE("where Tesseract is missing the reader says what to install") {
  if (WordReader::available()) SKIP("this build has Tesseract");
  CHECK_THROWS_MATCHES(WordReader{}, InvalidArgument, MessageMatches(ContainsSubstring("libtesseract-dev")));
}

TEST_CASE("a picture without words has none, and options that cannot work are refused") {
  if (!WordReader::available()) SKIP("this build has no Tesseract");
  const WordReader reader;
  Image grey{64, 48};
  std::ranges::fill(grey.pixels, std::uint8_t{120});
  CHECK(reader.read(grey).empty());
  CHECK(reader.read(Image{1, 1}).empty());
  CHECK_THROWS_AS(reader.read(Image{}), InvalidArgument);
  CHECK_THROWS_AS(WordReader{{.min_confidence = 2}}, InvalidArgument);
  CHECK_THROWS_MATCHES(WordReader{{.language = "xyz"}}, IoError,
                       MessageMatches(ContainsSubstring("tesseract-ocr-xyz")));
}

#ifdef SSLMEME_MADE_MEMES

/// Levenshtein's distance.
std::size_t edits(const std::string& a, const std::string& b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    auto before = std::exchange(row[0], i + 1);
    for (std::size_t j = 0; j < b.size(); ++j) {
      const auto swapped = before + (a[i] == b[j] ? 0 : 1);
      before = std::exchange(row[j + 1], std::min({swapped, row[j] + 1, row[j + 1] + 1}));
    }
  }
  return row.back();
}

/// What counts of a caption: letters and digits, in one case, single blanks.
std::string plain(const std::string& text) {
  std::string words;
  for (const char c : text) {
    if (std::isalnum(static_cast<unsigned char>(c)) != 0) {
      words += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    } else if (!words.empty() && words.back() != ' ') {
      words += ' ';
    }
  }
  while (words.ends_with(' ')) words.pop_back();
  return words;
}

TEST_CASE("captions of made memes are read, by several threads as by one") {
  if (!WordReader::available()) SKIP("this build has no Tesseract");
  const test::TemporaryFolder folder;
  make_memes(folder / "memes", {.train = 16,
                                .dev_seen = 4,
                                .test_seen = 4,
                                .dev_unseen = 4,
                                .test_unseen = 4,
                                .size = 224,
                                .seed = 5,
                                .draw_captions = true,
                                .threads = 1});
  const MemeJsonl memes{folder / "memes", "train"};
  const WordReader reader;
  std::vector<std::string> alone;
  std::size_t wrong = 0, letters = 0;
  for (std::size_t i = 0; i < memes.size(); ++i) {
    alone.push_back(reader.read(memes.get(i).picture));
    const auto expected = plain(memes.text(i)), found = plain(alone.back());
    INFO(expected << " | " << found);
    wrong += edits(found, expected);
    letters += expected.size();
  }
  CAPTURE(wrong, letters);
  CHECK(static_cast<double>(wrong) < 0.1 * static_cast<double>(letters));

  const WithReadWords with_words{MemeJsonl{folder / "memes", "train"}, reader};
  CHECK(with_words.get(0).text == memes.text(0));  // a text that is there stays

  std::vector<std::string> together(memes.size());
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      for (std::size_t i = t; i < memes.size(); i += 3) together[i] = reader.read(memes.get(i).picture);
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK((together == alone));
}

#endif

}  // namespace
}  // namespace sslmeme
