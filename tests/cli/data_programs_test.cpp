// The programs and other people's data: layouts, damaged pictures, repeated ids, hostile names.
#include <sslmeme/data/image_io.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "cli/programs.hpp"
#include "files.hpp"
#include "json_files.hpp"
#include "tar_files.hpp"
#include "wave_pictures.hpp"

namespace fs = std::filesystem;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;
using sslmeme::test::check_one_line;
using sslmeme::test::run;

namespace {

/// A PNG that looks like nothing else; each seed its own.
std::string png(std::uint64_t seed, int width = 24, int height = 18) {
  const auto bytes = sslmeme::encode_png(sslmeme::test::wave_picture(seed, width, height));
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// A folder of data that is written file by file.
struct TinyData : sslmeme::test::TemporaryFolder {
  /// Writes a file, and the folders above it where there are none.
  void file(const fs::path& name, std::string_view content) const {
    fs::create_directories((path / name).parent_path());
    write(name, content);
  }
};

/// inspect_data's report of a folder.
nlohmann::json inspected(const fs::path& folder, const std::string& arguments = "") {
  const sslmeme::test::TemporaryFolder out;
  const auto file = (out / "report.json").string();
  const auto outcome = run("inspect_data", folder.string() + " --workers 1 --json " + file + " " + arguments);
  INFO(outcome.output);
  REQUIRE(outcome.code == 0);
  return sslmeme::test::json_of(file);
}

/// "train 3/2, dev 1/0": samples and how many of them have a label.
std::string counts_of(const nlohmann::json& report) {
  std::string text;
  for (const auto& split : report.at("splits")) {
    text += (text.empty() ? "" : ", ") + split.at("name").get<std::string>() + " " + split.at("samples").dump() + "/" +
            split.at("labelled").dump();
  }
  return text;
}

std::vector<std::size_t> quarantined(const fs::path& run) {
  std::vector<std::size_t> positions;
  for (const auto& line : sslmeme::test::json_lines_of(run / "quarantine.jsonl"))
    positions.push_back(line.at("position"));
  return positions;
}

}  // namespace

TEST_CASE("Training goes on without a damaged picture and lists it, and ends where too many are") {
  const sslmeme::test::TemporaryFolder root;
  const auto memes = root / "memes", out = root / "run";
  const auto made = run("make_memes", memes.string() +
                                          " --count 128 --dev 8 --test 8 --dev-unseen 8 --test-unseen 8 --size 32 "
                                          "--seed 3");
  INFO(made.output);
  REQUIRE(made.code == 0);
  const auto damage = [&](const std::string& split, std::size_t line) {
    const auto lines = sslmeme::test::json_lines_of(memes / (split + ".jsonl"));
    fs::resize_file(memes / lines.at(line).at("img").get<std::string>(), 100);
  };
  const auto arguments = "--data " + memes.string() + " --out " + out.string() +
                         " --size 32 --batch 8 --workers 1 --epochs 1 --image resnet18:width=8,depth=1 --text "
                         "minilm_l6:width=24,depth=1";
  damage("train", 5);
  const auto tuned = run("finetune", arguments);
  INFO(tuned.output);
  REQUIRE(tuned.code == 0);
  CHECK_THAT(tuned.output, ContainsSubstring("finetune: 1 of 128 samples could not be read (1 truncated), others took "
                                             "their place 1 times: "));
  CHECK(quarantined(out) == std::vector<std::size_t>{5});
  CHECK(sslmeme::test::json_lines_of(out / "bank.jsonl").size() == 127);
  check_one_line(run("finetune", arguments + " --overwrite --unreadable fail"), "finetune", "truncated");

  damage("dev_seen", 2);  // figures of other memes than those of the split would be no figures of it
  const auto unmeasured = run("finetune", arguments + " --overwrite");
  INFO(unmeasured.output);
  CHECK(unmeasured.code == 1);
  CHECK_THAT(unmeasured.output, ContainsSubstring("finetune: sample ") && ContainsSubstring("truncated"));
  CHECK_FALSE(fs::exists(out / "results.json"));

  for (std::size_t line = 0; line < 128; ++line) damage("train", line);
  check_one_line(run("pretrain_clip", arguments + " --overwrite"), "pretrain_clip",
                 "truncated), a larger share than .unreadable.abort_above = 0.01");
  CHECK(quarantined(out).size() > 1);
  CHECK_FALSE(fs::exists(out / "model.safetensors"));
}

TEST_CASE("Shards are trained on nearly in sequence") {
  using sslmeme::test::member;
  const TinyData data;
  std::vector<std::string> pictures;
  for (std::uint64_t seed = 0; seed < 8; ++seed) pictures.push_back(png(seed, 8, 8));
  const std::vector<std::size_t> damaged{20, 150, 280};
  std::string members;
  for (std::size_t i = 0; i < 320; ++i) {
    const bool broken = std::ranges::find(damaged, i) != damaged.end();
    members += member(std::to_string(i) + ".png", broken ? "no picture" : pictures[i % 8]);
  }
  data.file("shards/train-000.tar", sslmeme::test::tar(members));
  const auto arguments = "--data " + (data / "shards").string() + " --out " + (data / "run").string() +
                         " --size 32 --batch 32 --workers 1 --epochs 1 --cnn resnet18:width=8,depth=1 --vit "
                         "vit_tiny_patch16_224:patch_size=16,width=24,depth=1 --shard-window ";
  const auto outcome = run("pretrain_cass", arguments + "1");
  INFO(outcome.output);
  REQUIRE(outcome.code == 0);
  CHECK(quarantined(data / "run") == damaged);  // in the order in which they came
  CHECK(run("pretrain_cass", arguments + "0").code == 2);
}

TEST_CASE("Each layout is read by the programs, and found out where it can be") {
  using sslmeme::test::member, sslmeme::test::tar;
  const TinyData data;
  SECTION("shards") {
    data.file("train-000.tar",
              tar(member("0.png", png(0)) + member("0.txt", "one") + member("0.cls", "1") + member("1.png", png(1))));
    data.file("train-001.tar", tar(member("2.jpg", png(2)) + member("2.cls", "0")));
    data.file("dev_00.tar", tar(member("3.png", png(3))));
    data.file("val7.tar", tar(member("4.png", png(4))));
    data.file("test.tar", tar(member("5.png", png(5))));
    CHECK(counts_of(inspected(data.path)) == "train 3/2, dev 1/0, val 1/0, test 1/0");
  }
  SECTION("captions") {
    data.file("flat/a.png", png(0));
    data.file("flat/a.txt", "one cat");
    CHECK(counts_of(inspected(data / "flat")) == "train 1/0");
    data.file("numbered/00000/a.jpg", png(0));
    data.file("numbered/00000/a.txt", "one cat");
    data.file("numbered/00001/b.jpg", png(1));
    data.file("numbered/00001/b.txt", "two cats");
    CHECK(counts_of(inspected(data / "numbered")) == "train 2/0");
    data.file("split/train/a.png", png(0));
    data.file("split/train/a.txt", "one cat");
    data.file("split/test/b.png", png(1));
    data.file("split/test/b.txt", "two cats");
    CHECK(counts_of(inspected(data / "split")) == "train 1/0, test 1/0");
  }
  SECTION("a folder a class, in one a split") {
    for (std::uint64_t i = 0; i < 8; ++i)
      data.file((i < 3 ? "train/cats/" : "train/dogs/") + std::to_string(i) + ".png", png(i));
    data.file("test/cats/c.png", png(8));
    CHECK(counts_of(inspected(data.path)) == "train 8/8, test 1/1");
    const auto mine = run("my_loss", "--data " + data.path.string() +
                                         " --size 32 --batch 8 --epochs 1 --encoder resnet18:width=8,depth=1");
    INFO(mine.output);
    CHECK(mine.code == 0);
  }
  SECTION("tables") {
    data.file("train.csv", "id,img,text,label\n1,a.png,hello,0\n");
    data.file("val.tsv", "id\timg\ttext\tlabel\n2\tb.png\thello\t1\n3\tc.png\tyou\t\n");
    for (std::uint64_t i = 0; i < 3; ++i) data.file(std::string{"abc"[i]} + ".png", png(i));
    CHECK(counts_of(inspected(data.path)) == "train 1/1, val 2/1");
  }
  SECTION("MAMI") {
    data.file("TRAINING/training.csv",
              "file_name\tmisogynous\tshaming\tText Transcription\n1.jpg\t1\t0\twords\n2.jpg\t0\t0\tmore\n");
    data.file("test/Test.csv", "file_name\tText Transcription\n3.jpg\tothers\n");
    data.file("TRAINING/1.jpg", png(1));
    data.file("TRAINING/2.jpg", png(2));
    data.file("test/3.jpg", png(3));
    const auto report = inspected(data.path, "--layout mami");
    CHECK(counts_of(report) == "train 2/2, test 1/0");
    CHECK(report.at("absent") == nlohmann::json::array({"trial"}));
    CHECK_THAT(run("inspect_data", data.path.string() + " --layout mami").output,
               ContainsSubstring("\nsplits that are not there: trial\n"));
  }
  SECTION("HarMeme") {
    data.file("annotations/train.jsonl",
              R"({"id": "covid_1", "image": "a.png", "labels": ["somewhat harmful", "individual"], "text": "words"})");
    data.file("images/a.png", png(0));
    const auto report = inspected(data.path, "--layout harmeme");
    CHECK(counts_of(report) == "train 1/1");
    CHECK(report.at("splits").at(0).at("labels") == nlohmann::json{{"1", 1}});
    CHECK(report.at("absent") == nlohmann::json::array({"val", "test"}));
  }
  SECTION("MMHS150K") {
    data.file("MMHS150K_GT.json", R"({"17": {"labels": [4, 1, 3], "tweet_text": "words"}})");
    data.file("splits/val_ids.txt", "17\n");
    data.file("img_resized/17.jpg", png(0));
    const auto report = inspected(data.path, "--layout mmhs150k");
    CHECK(counts_of(report) == "val 1/1");
    CHECK(report.at("absent") == nlohmann::json::array({"train", "test"}));
  }
}

TEST_CASE("Of a published data set what is not there may be absent, what is there must be read") {
  const TinyData data;
  const auto inspect = [&] { return run("inspect_data", (data / "mami").string() + " --layout mami"); };
  fs::create_directory(data / "mami");
  check_one_line(inspect(), "inspect_data", "mami has none of training.csv, ");
  data.file("mami/training.csv", "file_name\tmisogynous\tText Transcription\n1.jpg\t1\twords\n");
  data.file("mami/1.jpg", png(1));
  CHECK(inspect().code == 0);
  data.file("elsewhere.csv", "file_name\tText Transcription\n");
  fs::create_symlink("../elsewhere.csv", data / "mami/Test.csv");
  check_one_line(inspect(), "inspect_data", "Test.csv: it leads out of the folder");
}

TEST_CASE("Repeated ids, repaired words and missing pictures are told, not refused") {
  const TinyData data;
  data.file("all.jsonl", R"({"id": 1, "img": "a.png", "label": 0, "text": "one"})"
                         "\n"
                         R"({"id": 2, "img": "gone.png", "label": 1, "text": "two"})"
                         "\n"
                         R"({"id": 1, "img": "b.png", "label": 1, "text": "three"})"
                         "\n"
                         R"({"id": 3, "img": "b.png", "label": 1, "text": "fo)"
                         "\xFF"
                         R"(ur"})"
                         "\n");
  data.file("a.png", png(0));
  data.file("b.png", png(1));
  const auto check_told = [](const std::string& output) {
    CHECK_THAT(output, ContainsSubstring("\nrepeated ids in all: 1 rows of all.jsonl left out\n"
                                         "  line 3 has the id 1 of line 1\n") &&
                           ContainsSubstring("\nmalformed UTF-8 in all: 1 texts of all.jsonl repaired\n"));
  };
  const auto strict = run("inspect_data", data.path.string() + " --strict");
  INFO(strict.output);
  CHECK(strict.code == 1);
  check_told(strict.output);
  CHECK_THAT(strict.output,
             ContainsSubstring("unreadable in all: 1 missing") &&
                 ContainsSubstring("inspect_data: 1 unreadable, 0 pairs of splits with leaks, 1 repeated "
                                   "ids: --strict allows none of these"));
  const auto report = inspected(data.path);
  CHECK(counts_of(report) == "all 3/3");
  const auto& split = report.at("splits").at(0);
  CHECK(split.at("repeated_ids") == 1);
  CHECK(split.at("repeated_id_rows").at(0) == nlohmann::json{{"id", 1}, {"line", 3}, {"first_line", 1}});
  CHECK(split.at("repaired_texts") == 1);

  const auto dealt = run("split_data", data.path.string());
  INFO(dealt.output);
  CHECK(dealt.code == 0);
  check_told(dealt.output);
  CHECK_THAT(dealt.output, ContainsSubstring("2 different pictures; 1 memes left out"));
  data.file("dev.jsonl", R"({"id": 1, "img": "a.png", "label": 0, "text": "one"})"
                         "\n"
                         R"({"id": 1, "img": "a.png", "label": 0, "text": "one"})");
  CHECK(run("inspect_data", data.path.string() + " --splits dev").code == 0);
  CHECK(run("inspect_data", data.path.string() + " --splits dev --strict").code == 1);
}

TEST_CASE("--strict does not pass where the search for near copies was cut off") {
  const TinyData data;
  for (const int value : {20, 200}) {  // plain pictures have the same hash, so these two must be compared
    sslmeme::Image plain{16, 16};
    std::ranges::fill(plain.pixels, static_cast<std::uint8_t>(value));
    fs::create_directories(data / "pictures/plain");
    sslmeme::write_png(data / "pictures/plain" / (std::to_string(value) + ".png"), plain);
  }
  const auto pictures = (data / "pictures").string();
  const auto strict = run("inspect_data", pictures + " --strict");
  INFO(strict.output);
  CHECK(strict.code == 0);
  const auto cut_off = run("inspect_data", pictures + " --strict --max-comparisons 0");
  INFO(cut_off.output);
  CHECK(cut_off.code == 1);
  CHECK_THAT(cut_off.output, ContainsSubstring("near copies were not all counted: raise --max-comparisons\n") &&
                                 ContainsSubstring("0 repeated ids, near copies not all looked for"));
  CHECK(inspected(pictures, "--max-comparisons 0").at("near_complete") == false);
  check_one_line(run("split_data", pictures + " --max-comparisons 0"), "split_data", "0 comparisons do not group them");
}

TEST_CASE("split_data writes no line that programs would refuse") {
  const TinyData data;
  data.file("a.png", png(0));
  data.file("memes.csv", "id,img,text,label\n-5,a.png,below zero,0\n");
  check_one_line(run("split_data", data.path.string()), "split_data", "a.png has the id -5");
  CHECK_FALSE(fs::exists(data / "train.jsonl"));
  CHECK(run("split_data", data.path.string() + " --id-column \"\"").code == 0);

  data.file("classes/cats/a\xFF.png", png(0));
  check_one_line(run("split_data", (data / "classes").string()), "split_data", "cats/a\\xFF.png is not UTF-8");
  CHECK_FALSE(fs::exists(data / "classes/train.jsonl"));
}

TEST_CASE("Names of files reach the terminal without harm") {
  const TinyData data;
  const std::string clear = "\x1B[2J";  // clears the screen
  for (const auto& name : {"cats/" + clear + "a.png", std::string{"cats/b.png"}}) data.file("train/" + name, png(0));
  data.file("train/cats/" + clear + "c.png", "no picture");
  data.file("test" + clear + "/cats/d.png", png(0));
  const auto outcome = run("inspect_data", data.path.string());
  INFO(outcome.output);
  CHECK(outcome.code == 0);
  CHECK(outcome.output.find('\x1B') == std::string::npos);
  CHECK_THAT(outcome.output, ContainsSubstring("cats/\\x1B[2Ja.png") && ContainsSubstring("cats/\\x1B[2Jc.png") &&
                                 ContainsSubstring("leak: 1 of test\\x1B[2J is in train too"));
  const auto asked = run("split_data", data.path.string());
  check_one_line(asked, "split_data", "holds train, test\\x1B[2J: choose one");
  CHECK(asked.output.find('\x1B') == std::string::npos);
  CHECK_THAT(run("inspect_data", data.path.string() + " --splits dev").output,
             ContainsSubstring("there: train, test\\x1B[2J"));
}

TEST_CASE("Links in a circle are passed over, and links out of the folder are refused") {
  const TinyData data;
  data.file("circle/train.jsonl", R"({"id": 1, "img": "a.png", "text": "one"})");
  data.file("circle/a.png", png(0));
  for (const auto* name : {"b.jsonl", "c.csv", "d.tar"}) fs::create_symlink(name, data / "circle" / name);
  CHECK(counts_of(inspected(data / "circle")) == "train 1/0");
  fs::create_symlink("train", data / "train");
  check_one_line(run("inspect_data", data.path.string()), "inspect_data", "nowhere or in a circle");

  data.file("outside/shard.tar", sslmeme::test::tar(sslmeme::test::member("0.png", png(0))));
  data.file("outside/pictures/cats/a.png", png(0));
  fs::create_directories(data / "shards");
  fs::create_symlink("../outside/shard.tar", data / "shards/train-000.tar");
  check_one_line(run("inspect_data", (data / "shards").string()), "inspect_data",
                 "train-000.tar is a link that leads out of ");
  fs::create_directories(data / "folders");
  fs::create_directory_symlink("../outside/pictures", data / "folders/train");
  for (const auto* layout : {"auto", "folder"}) {
    check_one_line(run("inspect_data", (data / "folders").string() + " --layout " + layout), "inspect_data",
                   "folders/train is a link that leads out of ");
  }
  data.file("inside/real/cats/a.png", png(0));
  fs::create_directory_symlink("real", data / "inside/train");
  CHECK(counts_of(inspected(data / "inside")) == "train 1/1, real 1/1");
}
