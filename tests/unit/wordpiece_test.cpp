#include <sslmeme/core/error.hpp>
#include <sslmeme/text/wordpiece.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <array>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "core/shown.hpp"
#include "gzipped.hpp"
#include "text/wordpiece_words.hpp"
#include "text_corpus.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
namespace fs = std::filesystem;
namespace sm = sslmeme;
using sm::test::TemporaryFolder;

namespace {

const auto& data = sm::test::text_data;

std::vector<std::string> tokens(const sm::WordPiece& tokenizer, const std::string& text) {
  std::vector<std::string> names;
  for (const auto id : tokenizer.encode_pieces(text)) names.push_back(tokenizer.token(id));
  return names;
}

const std::vector<std::string> small{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "you", "##r", "un", "##aff", "##able", "!"};

using Names = std::vector<std::string>;

constexpr std::int64_t any_length = 10'000'000;

}  // namespace

TEST_CASE("WordPiece gives the ids of BertTokenizer") {
  const auto golden = sm::test::json_of(data / "wordpiece.json").at("entries");
  REQUIRE(golden.size() > 200);
  const auto uncased = sm::WordPiece::from_file(data / "vocab.txt");
  const auto cased = sm::WordPiece::from_file(data / "vocab.txt", {.lower_case = false});
  for (const auto& entry : golden) {
    const auto text =
        entry.contains("text") ? entry.at("text").get<std::string>() : sm::test::from_hex(entry.at("hex"));
    INFO(entry.dump());
    CHECK(uncased.encode(text, 1000) == entry.at("uncased").get<std::vector<std::int64_t>>());
    CHECK(cased.encode(text, 1000) == entry.at("cased").get<std::vector<std::int64_t>>());
    CHECK(uncased.encode(text, 12) == entry.at("cut_to_12").get<std::vector<std::int64_t>>());
  }
}

TEST_CASE("WordPiece gives the ids of BertTokenizer for a large corpus, by all its settings") {
  const auto corpus = sm::test::read_corpus();
  REQUIRE(corpus.entries.size() > 5000);
  const auto tokenizer = sm::WordPiece::from_file(data / "vocab.txt");
  for (const auto& entry : corpus.entries) {
    INFO(sm::detail::in_quotes(entry.text));
    CHECK(sm::test::same_ids(tokenizer.encode(entry.text, any_length), entry.bert));
  }

  auto kept = sm::WordPieceOptions{}.never_split;
  kept.insert(kept.end(), {"[unused0]", "run", "running"});
  const std::map<std::string, sm::WordPieceOptions> settings{
      {"cased", {.lower_case = false}},
      {"with_accents", {.strip_accents = false}},
      {"cased_without_accents", {.lower_case = false, .strip_accents = true}},
      {"chinese_in_words", {.tokenize_chinese_chars = false}},
      {"never_split", {.never_split = kept}}};
  REQUIRE(corpus.settings.size() > 100);
  for (const auto& [name, options] : settings) {
    const auto other = sm::WordPiece::from_file(data / "vocab.txt", options);
    for (std::size_t i = 0; i < corpus.settings.size(); ++i) {
      sm::test::IdHash hash;
      for (auto j = 50 * i; j < std::min(50 * (i + 1), corpus.entries.size()); ++j) {
        hash.add(other.encode(corpus.entries[j].text, any_length));
      }
      INFO(name << ", strings from " << 50 * i);
      CHECK(hash.hex() == corpus.settings[i].at(name).get<std::string>());
    }
  }
}

TEST_CASE("WordPiece makes words of every code point as BertTokenizer does") {
  const std::map<std::string, sm::detail::BertWordRules> settings{
      {"uncased", {}},
      {"cased", {.lower_case = false, .strip_accents = false}},
      {"with_accents", {.strip_accents = false}},
      {"chinese_in_words", {.tokenize_chinese_chars = false}}};
  for (const auto& [name, rules] : settings) {
    const auto line = [&own = rules](const std::string& text) {
      std::string words;
      sm::detail::for_each_word(text, own, [&](std::string_view word) {
        if (!words.empty()) words += '\0';
        words += word;
      });
      return words;
    };
    INFO(name);
    CHECK(sm::test::blocks_that_differ(name, line) == std::vector<std::string>{});
  }
}

TEST_CASE("WordPiece keeps tokens whole that must not be split") {
  auto vocabulary = small;
  vocabulary.insert(vocabulary.end(), {"you!", "[X]"});
  const auto tokenizer = sm::WordPiece::from_vocabulary(vocabulary, {.never_split = {"un", "you", "you!", "[X]"}});
  CHECK(tokens(tokenizer, "unyou!you [X]YOU") == Names{"un", "you!", "you", "[X]", "you"});
  CHECK(tokens(tokenizer, "[CLS]") == Names{"[UNK]", "[UNK]", "[UNK]"});
  CHECK(tokens(sm::WordPiece::from_vocabulary(vocabulary, {.never_split = {}}), "[X]you!") ==
        Names{"[UNK]", "[UNK]", "[UNK]", "you", "!"});
  CHECK_THROWS_MATCHES(sm::WordPiece::from_vocabulary(small, {.never_split = {"[X]"}}), sm::InvalidArgument,
                       MessageMatches(ContainsSubstring("never_split has \"[X]\"") && ContainsSubstring("10 tokens")));
  CHECK_THROWS_AS(sm::WordPiece::from_vocabulary(small, {.never_split = {""}}), sm::InvalidArgument);
}

TEST_CASE("WordPiece reads a vocabulary that gzip compressed") {
  const TemporaryFolder folder;
  const auto plain = sm::test::bytes_of(data / "vocab.txt");
  const auto write = [&](const std::string& bytes) { return folder.write("vocab.txt.gz", bytes); };
  const auto zipped = sm::test::gzipped(plain);
  REQUIRE(zipped.size() < plain.size() / 2);
  CHECK(sm::WordPiece::from_file(write(zipped)).vocabulary() ==
        sm::WordPiece::from_file(data / "vocab.txt").vocabulary());
  const auto half = plain.find('\n', plain.size() / 2) + 1;
  const auto members = sm::test::gzipped(plain.substr(0, half)) + sm::test::gzipped(plain.substr(half));
  CHECK(sm::WordPiece::from_file(write(members + std::string(512, '\0'))).vocabulary_size() == 30522);

  for (const auto bytes : {zipped.size() - 1, zipped.size() / 2, std::size_t{10}, std::size_t{2}}) {
    INFO(bytes);
    CHECK_THROWS_MATCHES(sm::WordPiece::from_file(write(zipped.substr(0, bytes))), sm::DataError,
                         MessageMatches(ContainsSubstring("vocab.txt.gz: the gzip file is cut off after")));
  }
  auto corrupt = zipped;
  corrupt[corrupt.size() / 2] = static_cast<char>(corrupt[corrupt.size() / 2] ^ 0x55);
  CHECK_THROWS_MATCHES(sm::WordPiece::from_file(write(corrupt)), sm::DataError,
                       MessageMatches(ContainsSubstring("vocab.txt.gz: the gzip file is corrupt near byte")));
  CHECK_THROWS_MATCHES(sm::WordPiece::from_file(write(zipped + "garbage")), sm::DataError,
                       MessageMatches(ContainsSubstring("corrupt")));
  CHECK_THROWS_MATCHES(sm::WordPiece::from_file(write(sm::test::gzipped(std::string(std::size_t{80} << 20U, 'a')))),
                       sm::DataError, MessageMatches(ContainsSubstring("inflates to more than 64 MiB")));
}

TEST_CASE("WordPiece takes texts of a megabyte in their stride") {
  const auto tokenizer = sm::WordPiece::from_file(data / "vocab.txt");
  // The square of a million would end at the time limit of ctest.
  for (const auto* part :
       {"a", "!", "word ", "[", "[MASK]", "\xff", "Σ", "a\u0301\u0323", "\u0301\u0323", "中", "\u3099\u0334"}) {
    std::string text;
    while (text.size() < 1U << 20U) text += part;
    INFO(part);
    CHECK(tokenizer.encode(text, 512).size() <= 512);
  }
  CHECK(tokenizer.encode(std::string(1U << 20U, '\0'), 512).size() == 2);
}

TEST_CASE("WordPiece cuts words greedily and gives up on a word that does not fit") {
  const auto tokenizer = sm::WordPiece::from_vocabulary(small);
  CHECK(tokens(tokenizer, "Your UNAFFABLE you!!") == Names{"you", "##r", "un", "##aff", "##able", "you", "!", "!"});
  CHECK(tokens(tokenizer, "youx unaffablex") == Names{"[UNK]", "[UNK]"});
  CHECK(tokens(tokenizer, "you[SEP]you[sep]") == Names{"you", "[SEP]", "you", "[UNK]", "[UNK]", "[UNK]"});
  CHECK(tokenizer.encode("you you you", 4) == std::vector<std::int64_t>{2, 4, 4, 3});
  CHECK(tokenizer.encode("you", 2) == std::vector<std::int64_t>{2, 3});
  CHECK(tokenizer.encode("", 8) == std::vector<std::int64_t>{2, 3});
  CHECK(tokenizer.pad_id() == 0);
  CHECK(tokenizer.unknown_id() == 1);
  CHECK_THROWS_AS(tokenizer.encode("you", 1), sm::InvalidArgument);
  CHECK_THROWS_AS(tokenizer.token(10), sm::InvalidArgument);
  CHECK_THROWS_AS(tokenizer.token(-1), sm::InvalidArgument);
}

TEST_CASE("WordPiece takes a word that is too long for unknown") {
  const auto tokenizer = sm::WordPiece::from_vocabulary(small, {.max_characters_per_word = 3});
  CHECK(tokens(tokenizer, "you your") == Names{"you", "[UNK]"});
  CHECK_THROWS_AS(sm::WordPiece::from_vocabulary(small, {.max_characters_per_word = 0}), sm::InvalidArgument);
}

TEST_CASE("WordPiece refuses what is no vocabulary") {
  const TemporaryFolder folder;
  const auto from = [&](const std::string& content) {
    return sm::WordPiece::from_file(folder.write("vocab.txt", content));
  };
  CHECK_THROWS_AS(sm::WordPiece::from_file(folder / "none.txt"), sm::IoError);
  CHECK_THROWS_AS(sm::WordPiece::from_file(folder.path), sm::IoError);
  CHECK_THROWS_MATCHES(from("[PAD]\n[UNK]\n[CLS]\na\n"), sm::DataError,
                       MessageMatches(ContainsSubstring("[SEP] is missing")));
  CHECK_THROWS_MATCHES(from("[PAD]\n[UNK]\na\n[CLS]\n[SEP]\na\n"), sm::DataError,
                       MessageMatches(ContainsSubstring("vocab.txt:6: \"a\" is there already as number 3")));
  CHECK_THROWS_MATCHES(from("[PAD]\n\n[UNK]\n[CLS]\n[SEP]\n"), sm::DataError,
                       MessageMatches(ContainsSubstring("vocab.txt:2:")));
  CHECK_THROWS_MATCHES(from("[PAD]\n[UNK]\n[CLS]\n[SEP]\n\xff\n"), sm::DataError,
                       MessageMatches(ContainsSubstring("vocab.txt:5:")));
  CHECK_THROWS_AS(from(""), sm::DataError);
  CHECK_THROWS_AS(sm::WordPiece::from_vocabulary({"[PAD]", "[UNK]", "[CLS]"}), sm::InvalidArgument);
  CHECK_THROWS_AS(sm::WordPiece::from_vocabulary({"[PAD]", "[UNK]", "[CLS]", "[SEP]", "a\nb"}), sm::InvalidArgument);
  CHECK(from("[PAD]\r\n[UNK]\r\n[CLS]\r\n[SEP]\r\nyou\r\n").encode("you", 3)[1] == 4);
}

TEST_CASE("A saved vocabulary is read back, and a failed save leaves nothing behind") {
  const TemporaryFolder folder;
  const auto tokenizer = sm::WordPiece::from_vocabulary(small);
  const auto path = folder.write("vocab.txt", "former content");
  tokenizer.save(path);
  CHECK(sm::WordPiece::from_file(path).vocabulary() == small);
  CHECK(folder.entries() == 1);

  CHECK_THROWS_AS(tokenizer.save(folder / "none" / "vocab.txt"), sm::IoError);
  fs::create_directory(folder / "taken");
  CHECK_THROWS_AS(tokenizer.save(folder / "taken"), sm::IoError);
  CHECK(folder.entries() == 2);
}

TEST_CASE("A trained vocabulary covers its corpus") {
  const std::vector<std::string> texts{"you will never run like this", "You are running!",
                                       "the runner runs, never walking", "walk, walker: 😀 中文 é"};
  const auto vocabulary = sm::train_wordpiece(texts, {.vocabulary_size = 100, .min_frequency = 2});
  const auto has = [&](const char* token) { return std::ranges::count(vocabulary, token) == 1; };
  const auto tokenizer = sm::WordPiece::from_vocabulary(vocabulary);

  SECTION("every character is known, so nothing of the corpus or its anagrams is unknown") {
    for (const auto& text : texts)
      CHECK(std::ranges::count(tokenizer.encode_pieces(text), tokenizer.unknown_id()) == 0);
    CHECK(std::ranges::count(tokenizer.encode_pieces("nur eht klaw 文 😀!"), tokenizer.unknown_id()) == 0);
    CHECK(std::ranges::count(tokenizer.encode_pieces("z"), tokenizer.unknown_id()) == 1);
    CHECK_FALSE(has("##!"));
    CHECK_FALSE(has("##中"));
  }
  SECTION("common words are whole, common parts merged") {
    CHECK(has("never"));
    CHECK(has("you"));
    CHECK(tokens(tokenizer, "you never") == Names{"you", "never"});
    CHECK(has("##ing"));
    CHECK(has("walk"));
    CHECK_FALSE(has("will"));
  }
  SECTION("the order of the texts does not matter") {
    auto shuffled = texts;
    std::ranges::reverse(shuffled);
    CHECK(sm::train_wordpiece(shuffled, {.vocabulary_size = 100, .min_frequency = 2}) == vocabulary);
  }
  SECTION("the size is kept to") {
    const auto basis = sm::train_wordpiece(texts, {.vocabulary_size = 100, .min_frequency = 1000});
    const auto size = static_cast<std::int64_t>(basis.size());
    CHECK(sm::train_wordpiece(texts, {.vocabulary_size = size + 5, .min_frequency = 1}).size() == basis.size() + 5);
    CHECK(sm::train_wordpiece(texts, {.vocabulary_size = size}) == basis);
    CHECK_THROWS_MATCHES(sm::train_wordpiece(texts, {.vocabulary_size = size - 1}), sm::InvalidArgument,
                         MessageMatches(ContainsSubstring("alone need " + std::to_string(size))));
    CHECK_THROWS_AS(sm::train_wordpiece(texts, {.min_frequency = 0}), sm::InvalidArgument);
  }
}

TEST_CASE("Pieces are merged as byte-pair encoding merges them") {
  // Sennrich et al. 2016, section 3.2, without its end-of-word mark: es, est, lo, low come first.
  std::vector<std::string> texts;
  for (const auto& [word, count] : {std::pair{"low", 5}, {"lower", 2}, {"newest", 6}, {"widest", 3}})
    texts.insert(texts.end(), count, word);
  const auto basis = sm::train_wordpiece(texts, {.vocabulary_size = 100, .min_frequency = 100});
  // Half of the room is for whole words; all of these are rarer than 7.
  const auto merged =
      sm::train_wordpiece(texts, {.vocabulary_size = static_cast<std::int64_t>(basis.size()) + 10, .min_frequency = 7});
  CHECK(Names{merged.begin() + static_cast<std::ptrdiff_t>(basis.size()), merged.end()} ==
        Names{"##es", "##est", "##ow", "low"});
}
