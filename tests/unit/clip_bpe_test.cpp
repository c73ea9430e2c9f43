#include <sslmeme/core/error.hpp>
#include <sslmeme/text/clip_bpe.hpp>
#include <sslmeme/text/tokenizer.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <string>
#include <thread>
#include <vector>

#include "core/shown.hpp"
#include "text_corpus.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
namespace sm = sslmeme;
using sm::test::Ids;
using sm::test::TemporaryFolder;
using sm::test::text_data;

namespace {

const sm::ClipBpe& clip() {
  static const auto tokenizer = sm::ClipBpe::from_file(text_data / "bpe_simple_vocab_16e6.txt.gz");
  return tokenizer;
}

constexpr std::int64_t any_length = 10'000'000;

std::vector<std::string> tokens(const sm::ClipBpe& tokenizer, const std::string& text) {
  std::vector<std::string> names;
  for (const auto id : tokenizer.encode_pieces(text)) names.push_back(tokenizer.token(id));
  return names;
}

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("CLIP's tokenizer gives the ids of open_clip's") {
  const auto corpus = sm::test::read_corpus();
  REQUIRE(corpus.entries.size() > 5000);
  for (const auto& entry : corpus.entries) {
    const auto ids = clip().encode(entry.text, any_length);
    INFO(sm::detail::in_quotes(entry.text));
    CHECK(sm::test::same_ids(ids, entry.clip));
  }
}

TEST_CASE("CLIP's tokenizer gives the ids of open_clip's for every code point") {
  const auto line = [](const std::string& text) { return fmt::format("{}", fmt::join(clip().encode(text, 77), " ")); };
  CHECK(sm::test::blocks_that_differ("clip", line) == std::vector<std::string>{});
}

TEST_CASE("Text decoded by a wrong encoding is left as it is, where ftfy decodes it anew") {
  const auto entries = sm::test::json_of(text_data / "mojibake.json").at("entries");
  REQUIRE(entries.size() > 10);
  for (const auto& entry : entries) {
    INFO(entry.dump());
    const auto ids = clip().encode(entry.at("text").get<std::string>(), any_length);
    CHECK(ids == entry.at("without_decoding").get<Ids>());
    CHECK(ids != entry.at("open_clip").get<Ids>());
  }
}

TEST_CASE("CLIP's vocabulary has its 49,408 tokens") {
  CHECK(clip().vocabulary_size() == 49408);
  CHECK(clip().pad_id() == 0);
  CHECK(clip().start_id() == 49406);
  CHECK(clip().end_id() == 49407);
  CHECK(clip().token(0) == "!");
  CHECK(clip().token(188) == "\u0100");
  CHECK(clip().token(256) == "!</w>");
  CHECK(clip().token(320) == "a</w>");
  CHECK(clip().token(49406) == "<start_of_text>");
  CHECK(clip().token(49407) == "<end_of_text>");
  CHECK_THROWS_MATCHES(clip().token(49408), sm::InvalidArgument,
                       MessageMatches(ContainsSubstring("token id 49408") && ContainsSubstring("0 to 49407")));
  CHECK_THROWS_AS(clip().token(-1), sm::InvalidArgument);
}

TEST_CASE("CLIP's tokenizer keeps the end token where it cuts") {
  const auto whole = clip().encode("a photo of a cat", 77);
  CHECK(whole == Ids{49406, 320, 1125, 539, 320, 2368, 49407});
  CHECK(clip().encode("a photo of a cat", 7) == whole);
  CHECK(clip().encode("a photo of a cat", 4) == Ids{49406, 320, 1125, 49407});
  CHECK(clip().encode("a photo of a cat", 2) == Ids{49406, 49407});
  CHECK(clip().encode("", 77) == Ids{49406, 49407});
  CHECK_THROWS_AS(clip().encode("a", 1), sm::InvalidArgument);
}

TEST_CASE("A batch for CLIP is padded with zeros behind the end tokens") {
  const std::vector<std::string> texts{"a photo of a cat", "", "a"};
  const auto batch = sm::tokenize(clip(), texts, sm::ClipBpe::context_length);
  CHECK(batch.tokens.sizes() == std::vector<std::int64_t>{3, 7});
  CHECK(torch::equal(batch.tokens[2], torch::tensor({49406, 320, 49407, 0, 0, 0, 0}, torch::kLong)));
  CHECK(torch::equal(batch.mask.sum(1), torch::tensor({7, 2, 3}, torch::kLong)));
  // Where a text tower of CLIP looks for its features.
  CHECK(torch::equal(batch.tokens.argmax(1), torch::tensor({6, 1, 2}, torch::kLong)));
}

TEST_CASE("Words are merged by the order of the merges, from the left") {
  const TemporaryFolder folder;
  const auto from = [&](const std::string& merges) {
    return sm::ClipBpe::from_file(folder.write("merges.txt", "heading\n" + merges));
  };
  CHECK(tokens(from("a b\nb c</w>\n"), "abc bc") == Names{"ab", "c</w>", "bc</w>"});
  CHECK(tokens(from("b c</w>\na b\n"), "abc ab") == Names{"a", "bc</w>", "a", "b</w>"});
  CHECK(tokens(from("a a\n"), "aaaaa aaaa") == Names{"aa", "aa", "a</w>", "aa", "a", "a</w>"});
  CHECK(tokens(from("a b\r\nab ab\r\nabab c</w>"), "ababc") == Names{"ababc</w>"});
  const auto small = from("a b\n");
  CHECK(small.vocabulary_size() == 515);
  CHECK(small.encode("ab", 8) == Ids{513, 64, 321, 514});
}

TEST_CASE("CLIP's tokenizer refuses what are no merges") {
  const TemporaryFolder folder;
  const auto from = [&](const std::string& merges) {
    return sm::ClipBpe::from_file(folder.write("merges.txt", merges));
  };
  CHECK_THROWS_AS(sm::ClipBpe::from_file(folder / "none.txt"), sm::IoError);
  CHECK_THROWS_MATCHES(from(""), sm::DataError, MessageMatches(ContainsSubstring("no merge in it")));
  CHECK_THROWS_MATCHES(from("heading\n"), sm::DataError, MessageMatches(ContainsSubstring("no merge in it")));
  CHECK_THROWS_MATCHES(from("heading\na b\nab\n"), sm::DataError,
                       MessageMatches(ContainsSubstring("merges.txt:3: \"ab\" is no merge")));
  CHECK_THROWS_MATCHES(from("heading\na bc\n"), sm::DataError,
                       MessageMatches(ContainsSubstring("merges.txt:2: \"bc\" is no token so far")));
  CHECK_THROWS_MATCHES(from("heading\na b c\n"), sm::DataError,
                       MessageMatches(ContainsSubstring("merges.txt:2: \"b c\" is no token so far")));
  CHECK_THROWS_MATCHES(from("heading\na b\nb c\na bc\nab c\n"), sm::DataError,
                       MessageMatches(ContainsSubstring("merges.txt:5: \"abc\" is there already")));
  CHECK_THROWS_MATCHES(from("heading\n\na b\n"), sm::DataError, MessageMatches(ContainsSubstring("merges.txt:2:")));
}

TEST_CASE("Texts of a megabyte take no square of their length") {
  const std::size_t megabyte = 1U << 20U;
  const auto repeated = [&](const std::string& part) {
    std::string text;
    while (text.size() < megabyte) text += part;
    return text;
  };
  // The square of a million would end at the time limit of ctest.
  for (const auto* part : {"a",
                           "ab",
                           "!",
                           "word ",
                           "&amp;",
                           "&amp;amp;",
                           "amp;",
                           "\x1b[",
                           "\xff",
                           "Σ",
                           "a\u0301\u0323",
                           "\u0301\u0323",
                           "<start_of_text>",
                           "<",
                           "'s",
                           "&lt;",
                           "\u00ad",
                           "Σ\u00ad",
                           "0",
                           "é",
                           "\u0345"}) {
    INFO(part);
    CHECK(clip().encode(repeated(part), 77).size() <= 77);
  }
  CHECK(clip().encode("&" + repeated("amp;"), 77).size() == 77);
  CHECK(clip().encode(repeated("\x1b[") + repeated("0m"), 77).size() <= 77);
  CHECK(clip().encode(std::string(megabyte, '\0'), 77) == Ids{49406, 49407});
}

TEST_CASE("One tokenizer of CLIP serves many threads", "[threads]") {
  const std::string text = "You &amp; ME: ｒｕｎ “fast” 😂";
  const auto expected = clip().encode(text, 77);
  std::vector<Ids> results(4);
  {
    std::vector<std::jthread> threads;
    for (auto& result : results) {
      threads.emplace_back([&] {
        for (int i = 0; i < 500; ++i) result = clip().encode(text, 77);
      });
    }
  }
  for (const auto& result : results) CHECK(result == expected);
}
