// Made memes: the data needs both modalities, splits do not overlap, the same seed gives the same bytes.
#include <sslmeme/core/error.hpp>
#include <sslmeme/data/image_folder.hpp>
#include <sslmeme/data/image_io.hpp>
#include <sslmeme/eval/metrics.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <array>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>

#include "json_files.hpp"
#include "made_memes/emoji_font.hpp"
#include "made_memes/families.hpp"
#include "made_memes/made_memes.hpp"
#include "made_memes/plan.hpp"

namespace fs = std::filesystem;
namespace sm = sslmeme;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using sm::Split;
using sm::test::all_files_of;
using sm::test::bytes_of;
using sm::test::json_lines_of;
using sm::test::TemporaryFolder;

namespace {

sm::MakeMemesOptions small(std::uint64_t seed = 5) {
  return {.train = 40, .dev_seen = 8, .test_seen = 12, .dev_unseen = 4, .test_unseen = 8, .size = 32, .seed = seed};
}

using Plan = std::vector<sm::PlannedMeme>;
using Pair = std::pair<char32_t, std::string_view>;

/// The different values of key(meme).
template <class Key>
auto set_of(const Plan& memes, Key key) {
  std::set<decltype(key(memes[0]))> values;
  for (const auto& meme : memes) values.insert(key(meme));
  return values;
}
constexpr auto picture_of = [](const sm::PlannedMeme& meme) { return meme.emoji(); };
constexpr auto caption_of = [](const sm::PlannedMeme& meme) { return meme.text(); };
constexpr auto pair_of = [](const sm::PlannedMeme& meme) { return Pair{meme.emoji(), meme.text()}; };

template <class T>
bool disjoint(const std::set<T>& a, const std::set<T>& b) {
  return std::ranges::none_of(a, [&](const T& item) { return b.contains(item); });
}

/// The AUROC on `test` of the best that can be learned from `train` by one who sees only key(meme): its mean label.
template <class Key>
double auroc_of_memory(const Plan& train, const Plan& test, Key key) {
  std::map<decltype(key(train[0])), std::pair<double, double>> seen;
  for (const auto& meme : train) {
    auto& [harmful, all] = seen[key(meme)];
    harmful += meme.label;
    all += 1;
  }
  std::vector<double> scores;
  std::vector<std::int64_t> labels;
  for (const auto& meme : test) {
    const auto& [harmful, all] = seen[key(meme)];
    scores.push_back(all > 0 ? harmful / all : 0.5);
    labels.push_back(meme.label);
  }
  return sm::auroc(scores, labels);
}

}  // namespace

TEST_CASE("made memes: families are complete and nothing is used twice") {
  CHECK(sm::families().size() >= 8);
  CHECK(sm::pictures_a_pole >= 4);
  CHECK(sm::captions_a_kind >= 12);
  CHECK(sm::held_out_captions == 2);
  const sm::EmojiFont font{sm::default_emoji_font()};
  std::set<char32_t> emoji;
  std::set<std::string_view> captions, names;
  for (const auto& family : sm::families()) {
    INFO(family.name);
    CHECK(names.insert(family.name).second);
    for (const auto pole : {sm::Pole::good, sm::Pole::bad}) {
      for (const auto picture : family.pictures(pole)) {
        INFO(static_cast<std::uint32_t>(picture));
        CHECK(emoji.insert(picture).second);
        const auto sprite = font.sprite(picture);
        REQUIRE(sprite);
        CHECK(sprite->width == 136);
        CHECK(sprite->height == 128);
        CHECK(std::ranges::count_if(sprite->rgba, [](auto value) { return value > 0; }) > 136 * 128 / 4);
      }
    }
    for (const auto kind : {sm::Kind::affirm, sm::Kind::deny}) {
      for (const auto caption : family.captions(kind)) {
        INFO(caption);
        CHECK(captions.insert(caption).second);
        CHECK(caption.size() >= 12);
        CHECK(std::ranges::all_of(caption,
                                  [](char c) { return c == ' ' || c == ',' || c == ':' || ('a' <= c && c <= 'z'); }));
      }
    }
  }
}

TEST_CASE("made memes: the rule") {
  CHECK(sm::harmful(sm::Pole::good, sm::Kind::affirm) == 0);
  CHECK(sm::harmful(sm::Pole::bad, sm::Kind::affirm) == 1);
  CHECK(sm::harmful(sm::Pole::good, sm::Kind::deny) == 1);
  CHECK(sm::harmful(sm::Pole::bad, sm::Kind::deny) == 0);
}

TEST_CASE("made memes: every picture and every caption is harmful exactly half of the time in every split") {
  const std::uint64_t seed = GENERATE(1, 2, 77);
  const int count = GENERATE(4, 100, 3000);
  for (const auto split : sm::all_splits) {
    INFO(sm::split_name(split) << ", seed " << seed);
    std::map<char32_t, int> by_picture;
    std::map<std::string_view, int> by_caption;
    const auto memes = sm::plan_split(split, count, seed);
    REQUIRE(std::cmp_equal(memes.size(), count));
    for (const auto& meme : memes) {
      REQUIRE(meme.label == sm::harmful(meme.pole, meme.kind));
      by_picture[meme.emoji()] += 2 * meme.label - 1;
      by_caption[meme.text()] += 2 * meme.label - 1;
    }
    CHECK(std::ranges::all_of(by_picture, [](const auto& item) { return item.second == 0; }));
    CHECK(std::ranges::all_of(by_caption, [](const auto& item) { return item.second == 0; }));
  }
}

TEST_CASE("made memes: one modality is at chance, both reach 1") {
  const std::uint64_t seed = GENERATE(1, 2, 3, 4);
  // Noise gives the memory of each picture and caption a mean that differs from a half: still no help.
  const double noise = GENERATE(0.0, 0.2);
  const auto train = sm::plan_split(Split::train, 3000, seed, noise);
  for (const auto split : {Split::dev_seen, Split::test_seen}) {
    const auto test = sm::plan_split(split, 800, seed);
    INFO(sm::split_name(split) << ", seed " << seed << ", noise " << noise);
    CHECK(std::abs(auroc_of_memory(train, test, picture_of) - 0.5) < 1e-12);
    CHECK(std::abs(auroc_of_memory(train, test, caption_of) - 0.5) < 1e-12);
    CHECK(auroc_of_memory(train, test, [](const auto& meme) { return std::pair{meme.pole, meme.kind}; }) == 1);
    // Pairs are new, so the memory of pairs is of no use either.
    CHECK(auroc_of_memory(train, test, pair_of) == 0.5);
  }
}

TEST_CASE("made memes: splits do not overlap") {
  const std::uint64_t seed = GENERATE(1, 9);
  const auto plan = [&](Split split) { return sm::plan_split(split, 4000, seed); };
  const auto train = plan(Split::train), dev = plan(Split::dev_seen), test = plan(Split::test_seen);
  const auto dev_unseen = plan(Split::dev_unseen), test_unseen = plan(Split::test_unseen);

  CHECK(disjoint(set_of(train, pair_of), set_of(dev, pair_of)));
  CHECK(disjoint(set_of(train, pair_of), set_of(test, pair_of)));
  CHECK(disjoint(set_of(dev, pair_of), set_of(test, pair_of)));
  for (const auto& known : {dev, test}) {
    CHECK(std::ranges::includes(set_of(train, picture_of), set_of(known, picture_of)));
    CHECK(std::ranges::includes(set_of(train, caption_of), set_of(known, caption_of)));
  }
  for (const auto& unseen : {dev_unseen, test_unseen}) {
    CHECK(disjoint(set_of(train, picture_of), set_of(unseen, picture_of)));
    CHECK(disjoint(set_of(train, caption_of), set_of(unseen, caption_of)));
  }
  CHECK(disjoint(set_of(dev_unseen, caption_of), set_of(test_unseen, caption_of)));
  CHECK(set_of(train, picture_of).size() == sm::families().size() * 2 * (sm::pictures_a_pole - sm::held_out_pictures));
  CHECK(set_of(train, caption_of).size() == sm::families().size() * 2 * (sm::captions_a_kind - sm::held_out_captions));
  CHECK((set_of(train, pair_of) != set_of(sm::plan_split(Split::train, 4000, seed + 1), pair_of)));
}

TEST_CASE("made memes: label noise flips the share that was asked for") {
  const double noise = GENERATE(0.0, 0.1, 0.25, 1.0);
  const auto memes = sm::plan_split(Split::train, 1000, 3, noise);
  const auto flipped =
      std::ranges::count_if(memes, [](const auto& meme) { return meme.label != sm::harmful(meme.pole, meme.kind); });
  CHECK(flipped == std::lround(noise * 1000));
}

TEST_CASE("made memes: what is found unlabelled is mostly harmless, and one modality still tells nothing") {
  const std::uint64_t seed = GENERATE(1, 2);
  const double share = GENERATE(0.0, 0.1, 0.5);
  const int count = 20000;
  const auto pool = sm::plan_pool(count, share, seed);
  REQUIRE(std::cmp_equal(pool.size(), count));
  const auto train = set_of(sm::plan_split(Split::train, 4000, seed), pair_of);
  std::map<char32_t, std::array<int, 2>> by_picture;
  std::map<std::string_view, std::array<int, 2>> by_caption;
  int harmful = 0;
  for (const auto& meme : pool) {
    REQUIRE(meme.label == sm::harmful(meme.pole, meme.kind));
    REQUIRE(train.contains(pair_of(meme)));
    harmful += meme.label;
    ++by_picture[meme.emoji()][static_cast<std::size_t>(meme.label)];
    ++by_caption[meme.text()][static_cast<std::size_t>(meme.label)];
  }
  CHECK(harmful == std::lround(share * count));
  // Draws are independent: the harmful ones of a picture stay within five of their deviations, at most.
  const auto as_likely = [&](const auto& counts) {
    return std::ranges::all_of(counts, [&](const auto& item) {
      const auto [harmless, mean] = item.second;
      const double n = harmless + mean;
      return n > 50 && std::abs(mean - share * n) <= 2.5 * std::sqrt(n);
    });
  };
  CHECK(as_likely(by_picture));
  CHECK(as_likely(by_caption));
  CHECK(by_picture.size() == set_of(sm::plan_split(Split::train, 4000, seed), picture_of).size());
}

TEST_CASE("made memes: wrong options are refused") {
  CHECK_THROWS_MATCHES(sm::plan_split(Split::train, 10, 1), sm::InvalidArgument,
                       MessageMatches(ContainsSubstring("10 memes for train") && ContainsSubstring("12")));
  CHECK_THROWS_AS(sm::plan_split(Split::train, 0, 1), sm::InvalidArgument);
  CHECK_THROWS_AS(sm::plan_split(Split::train, 4, 1, 1.5), sm::InvalidArgument);
  CHECK_THROWS_AS(sm::plan_split(Split::train, 4, 1, std::nan("")), sm::InvalidArgument);
  CHECK_THROWS_AS(sm::plan_pool(-4, 0.1, 1), sm::InvalidArgument);
  CHECK_THROWS_MATCHES(sm::plan_pool(4, 1.1, 1), sm::InvalidArgument,
                       MessageMatches(ContainsSubstring("1.1 is no share")));
  const TemporaryFolder folder;
  auto options = small();
  options.size = 8;
  CHECK_THROWS_AS(sm::make_memes(folder / "memes", options), sm::InvalidArgument);
  CHECK(folder.entries() == 0);
}

TEST_CASE("made memes: the folder has the Hateful Memes layout") {
  const TemporaryFolder folder;
  auto options = small();
  options.label_noise = 0.1;
  int calls = 0, last = 0;
  const auto report = sm::make_memes(folder / "memes", options, [&](int done, int total) {
    ++calls;
    CHECK(done >= last);
    last = done;
    CHECK(total == 72);
  });
  CHECK(calls >= 1);
  CHECK(last == 72);
  CHECK(folder.entries() == 1);

  const std::map<std::string, std::size_t> expected{{"train.jsonl", 40},
                                                    {"dev_seen.jsonl", 8},
                                                    {"test_seen.jsonl", 12},
                                                    {"dev_unseen.jsonl", 4},
                                                    {"test_unseen.jsonl", 8}};
  REQUIRE(report.files.size() == expected.size());
  std::set<std::int64_t> ids;
  for (const auto& file : report.files) {
    INFO(file.name);
    const auto lines = json_lines_of(folder / "memes" / file.name);
    CHECK(lines.size() == expected.at(file.name));
    CHECK(std::cmp_equal(lines.size(), file.lines));
    int harmful = 0;
    for (const auto& line : lines) {
      CHECK(line.size() == 4);
      CHECK(ids.insert(line.at("id").get<std::int64_t>()).second);
      harmful += line.at("label").get<int>();
      CHECK_FALSE(line.at("text").get<std::string>().empty());
      const auto picture = sm::read_image(folder / "memes" / line.at("img").get<std::string>());
      CHECK(picture.width == 32);
      CHECK(picture.height == 32);
      CHECK(std::ranges::max(picture.pixels) > std::ranges::min(picture.pixels) + 30);
    }
    CHECK(harmful == file.harmful);
    if (file.name != "train.jsonl") CHECK(2 * harmful == file.lines);
  }
  CHECK(all_files_of(folder / "memes" / "img").size() == 72);
  const auto readme = bytes_of(folder / "memes" / "README.md");
  CHECK_THAT(readme, ContainsSubstring("proxy") && ContainsSubstring("no hate speech") && ContainsSubstring("seed 5") &&
                         ContainsSubstring("Open Font License") && ContainsSubstring("label noise 0.1"));
}

TEST_CASE("made memes: the same seed gives the same bytes, whatever the number of threads") {
  const TemporaryFolder folder;
  auto options = small();
  options.draw_captions = GENERATE(false, true);
  options.threads = 1;
  sm::make_memes(folder / "one", options);
  options.threads = 3;
  sm::make_memes(folder / "three", options);
  const auto one = all_files_of(folder / "one");
  CHECK(one.size() == 72 + 6);
  CHECK((one == all_files_of(folder / "three")));

  options.seed = 6;
  sm::make_memes(folder / "other", options);
  const auto other = all_files_of(folder / "other");
  CHECK(one.at("train.jsonl") != other.at("train.jsonl"));
  CHECK(one.at("img/00001.png") != other.at("img/00001.png"));
}

TEST_CASE("made memes: captions are drawn in white with a black outline") {
  const TemporaryFolder folder;
  auto options = small();
  options.size = 128;
  options.draw_captions = true;
  sm::make_memes(folder / "memes", options);
  for (const auto* name : {"img/00001.png", "img/00002.png", "img/00003.png"}) {
    const auto picture = sm::read_image(folder / "memes" / name);
    int white = 0, black = 0;
    for (std::size_t i = 0; i < picture.pixels.size(); i += 3) {
      const auto [low, high] = std::minmax({picture.pixels[i], picture.pixels[i + 1], picture.pixels[i + 2]});
      white += low == 255;
      black += high == 0;
    }
    CHECK(white > 100);
    CHECK(black > 100);
  }
}

TEST_CASE("made memes: pairs of pictures and names") {
  const TemporaryFolder folder;
  auto options = small();
  options.size = 16;
  options.pairs = true;
  const auto report = sm::make_memes(folder / "memes", options);
  const auto lines = json_lines_of(folder / "memes" / "pairs.jsonl");
  CHECK(lines.size() > 1300);
  CHECK(std::cmp_equal(lines.size(), report.files.back().lines));
  CHECK(report.sequences_left_out > 2000);
  CHECK(all_files_of(folder / "memes" / "pairs").size() == lines.size());
  std::set<std::string> names;
  for (const auto& line : lines) {
    CHECK_FALSE(line.contains("label"));
    CHECK(names.insert(line.at("text").get<std::string>()).second);
  }
  CHECK(names.contains("red apple"));
  CHECK(names.contains("red heart"));  // U+2764 U+FE0F
  CHECK(sm::read_image(folder / "memes" / lines.front().at("img").get<std::string>()).width == 16);
}

TEST_CASE("made memes: unlabelled memes leave all other files as they were") {
  const TemporaryFolder folder;
  auto options = small();
  sm::make_memes(folder / "without", options);
  options.unlabelled = 30;
  const auto report = sm::make_memes(folder / "with", options);
  CHECK(report.files.back().name == "unlabelled.jsonl");
  CHECK(report.files.back().lines == 30);
  const auto lines = json_lines_of(folder / "with" / "unlabelled.jsonl");
  REQUIRE(lines.size() == 30);
  for (const auto& line : lines) {
    CHECK_FALSE(line.contains("label"));
    CHECK(fs::exists(folder / "with" / line.at("img").get<std::string>()));
  }
  auto with = all_files_of(folder / "with");
  for (const auto& [name, bytes] : all_files_of(folder / "without")) {
    INFO(name);
    CHECK((name == "README.md" || with.at(name) == bytes));
  }
  CHECK_THAT(with.at("README.md"), ContainsSubstring("a share of 0.1 would be labelled 1"));
}

TEST_CASE("made memes: pictures of each emoji, a folder each") {
  const TemporaryFolder folder;
  auto options = small();
  options.size = 16;
  options.classes = 3;
  const auto report = sm::make_memes(folder / "memes", options);
  const sm::ImageFolder train{folder / "memes" / "emoji" / "train"}, test{folder / "memes" / "emoji" / "test"};
  CHECK(train.classes().size() == 64);
  CHECK(train.classes() == test.classes());
  CHECK(train.size() == 3 * 64);
  CHECK(test.size() == 64);
  CHECK(report.files.back().lines == 64);
  CHECK_FALSE(train.get(0).picture == test.get(0).picture);
  CHECK_FALSE(train.get(0).picture == train.get(1).picture);
  options.classes = 2;
  CHECK_THROWS_MATCHES(sm::make_memes(folder / "others", options), sm::InvalidArgument,
                       MessageMatches(ContainsSubstring("2 pictures of each emoji: give 3 or more, or 0")));
}

TEST_CASE("made memes: a used folder is refused, and replaced only if it is ours and that was asked for") {
  const TemporaryFolder folder;
  auto options = small();
  sm::make_memes(folder / "memes", options);
  const auto before = all_files_of(folder / "memes");
  options.seed = 8;
  CHECK_THROWS_MATCHES(sm::make_memes(folder / "memes", options), sm::IoError,
                       MessageMatches(ContainsSubstring("not empty") && ContainsSubstring("--overwrite")));
  CHECK((all_files_of(folder / "memes") == before));

  options.overwrite = true;
  // A failure halfway leaves the former folder and nothing beside it.
  CHECK_THROWS_AS(sm::make_memes(folder / "memes", options, [](int, int) { throw sm::Error("stop"); }), sm::Error);
  CHECK((all_files_of(folder / "memes") == before));
  CHECK(folder.entries() == 1);

  sm::make_memes(folder / "memes", options);
  CHECK_FALSE((all_files_of(folder / "memes") == before));
  CHECK(folder.entries() == 1);

  fs::create_directory(folder / "mine");
  std::ofstream{folder / "mine" / "thesis.txt"} << "years of work";
  CHECK_THROWS_MATCHES(sm::make_memes(folder / "mine", options), sm::IoError,
                       MessageMatches(ContainsSubstring("was not made by make_memes")));
  CHECK(bytes_of(folder / "mine" / "thesis.txt") == "years of work");
  CHECK_THROWS_AS(sm::make_memes(folder / "mine" / "thesis.txt", options), sm::IoError);

  fs::create_directory(folder / "empty");
  options.overwrite = false;
  CHECK_NOTHROW(sm::make_memes(folder / "empty", options));
}

TEST_CASE("made memes: missing fonts and names are named with their package") {
  const TemporaryFolder folder;
  auto options = small();
  options.draw_captions = options.pairs = true;
  std::string package;
  SECTION("emoji font") {
    options.emoji_font = folder / "none.ttf";
    package = "fonts-noto-color-emoji";
  }
  SECTION("a font without colours") {
    options.emoji_font = options.caption_font;
    package = "fonts-noto-color-emoji";
  }
  SECTION("emoji names") {
    options.emoji_names = folder / "none.txt";
    package = "unicode-data";
  }
  SECTION("caption font") {
    options.caption_font = folder / "none.ttf";
    package = "fonts-dejavu-core";
  }
  CHECK_THROWS_MATCHES(sm::make_memes(folder / "memes", options), sm::Error,
                       MessageMatches(ContainsSubstring(package)));
  CHECK(folder.entries() == 0);
}
