// score_memes as a person runs it: a line for each meme, what cannot be read told, one line for bad input.
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <ATen/Parallel.h>

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <string>

#include "cli/programs.hpp"
#include "files.hpp"
#include "json_files.hpp"
#include "peak_memory.hpp"
#include "support/score_stream.hpp"

namespace fs = std::filesystem;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;
using sslmeme::test::bytes_of;
using sslmeme::test::check_one_line;
using sslmeme::test::json_lines_of;
using sslmeme::test::run;

namespace {

/// Made memes and a classifier of them.
struct Judge {
  sslmeme::test::TemporaryFolder root;
  std::string memes = (root / "memes").string();
  std::string model = (root / "run").string();
  std::string out = (root / "scores.jsonl").string();

  Judge() {
    REQUIRE(run("make_memes", memes + " --count 32 --dev 8 --test 8 --dev-unseen 8 --test-unseen 8 --size 32 --seed 3")
                .code == 0);
    const auto tuned = run("finetune", "--data " + memes + " --out " + model +
                                           " --size 32 --batch 8 --workers 1 --epochs 1 --bank 20 --image "
                                           "vit_tiny_patch16_224:patch_size=8,width=24,depth=1 --text "
                                           "minilm_l6:width=24,depth=1");
    INFO(tuned.output);
    REQUIRE(tuned.code == 0);
  }

  sslmeme::test::Outcome score(const std::string& more) const {
    return run("score_memes", "--model " + model + " --out " + out + " " + more);
  }
  fs::path picture_of_line(int line) const {
    return fs::path{memes} / json_lines_of(fs::path{memes} / "test_seen.jsonl")
                                 .at(static_cast<std::size_t>(line))
                                 .at("img")
                                 .get<std::string>();
  }
};

/// One judge for all cases, which put back what they change.
const Judge& judge() {
  static const Judge one;
  return one;
}

}  // namespace

TEST_CASE("memory does not grow with the memes that are scored") {
  struct Many {
    std::size_t memes;
    std::size_t size() const { return memes; }
    sslmeme::Sample get(std::size_t i) const {
      sslmeme::Sample sample{sslmeme::Image{40, 32}, "so much love", {}, static_cast<std::int64_t>(i)};
      for (auto& value : sample.picture.pixels) value = static_cast<std::uint8_t>(i);
      return sample;
    }
  };
  at::set_num_threads(1);
  const sslmeme::MemeScorer scorer{judge().model};
  const auto out = judge().root / "many.jsonl";
  const auto growth = [&](std::size_t memes) {
    return sslmeme::test::peak_growth([&] { examples::score_stream(scorer, {.data = Many{memes}}, out); });
  };
  growth(1000);  // what the allocator keeps
  const auto few = growth(1000), many = growth(8000);
  CHECK(json_lines_of(out).size() == 8000);
  constexpr std::int64_t slack = 4096;  // KiB; a byte a pixel of 7,000 memes alone would be 27,000
  CHECK(many - few < slack);
}

TEST_CASE("each meme of a split gets a line that agrees with what finetune measured") {
  const auto& j = judge();
  const auto outcome =
      j.score("--data " + j.memes + " --split test_seen --nearest 3 --workers 2 --batch 3 --overwrite");
  INFO(outcome.output);
  REQUIRE(outcome.code == 0);
  CHECK_THAT(outcome.output, ContainsSubstring("8 memes scored in") && ContainsSubstring("a second"));
  const auto lines = json_lines_of(j.out);
  const auto predictions = json_lines_of(fs::path{j.model} / "predictions/test_seen.jsonl");
  REQUIRE(lines.size() == 8);
  for (std::size_t i = 0; i < 8; ++i) {
    CHECK(lines[i].at("id") == predictions[i].at("id"));
    CHECK(std::abs(lines[i].at("probability").get<double>() - predictions[i].at("score").get<double>()) < 1e-5);
    CHECK(lines[i].at("nearest").size() == 3);
    CHECK(lines[i].at("nearest")[0].at("picture").get<std::string>().ends_with(".png"));
    CHECK(lines[i].contains("without_words"));
    CHECK_FALSE(lines[i].contains("words"));
  }
  const auto first = bytes_of(j.out);
  CHECK(j.score("--data " + j.memes + " --split test_seen --nearest 3 --workers 0 --batch 3 --overwrite").code == 0);
  CHECK(bytes_of(j.out) == first);
  check_one_line(j.score("--data " + j.memes), "score_memes", "give --overwrite");
}

TEST_CASE("--why tells words and cells") {
  const auto& j = judge();
  const auto outcome = j.score("--data " + j.memes + " --split dev_seen --why --grid 4 --overwrite");
  INFO(outcome.output);
  REQUIRE(outcome.code == 0);
  const auto line = json_lines_of(j.out).at(2);
  CHECK(line.at("words").size() >= 2);
  CHECK(line.at("words")[0].contains("attention"));
  CHECK(line.at("words")[0].contains("occlusion"));
  CHECK(line.at("picture_occlusion").at("values").size() == 16);
  CHECK(line.at("picture_attention").at("rows") == 4);
}

TEST_CASE("memes that cannot be read are listed, and the exit code says so") {
  const auto& j = judge();
  const auto broken = j.picture_of_line(1), gone = j.picture_of_line(4);
  const auto broken_bytes = bytes_of(broken), gone_bytes = bytes_of(gone);
  fs::resize_file(broken, 100);
  fs::remove(gone);
  const auto outcome = j.score("--data " + j.memes + " --overwrite");
  INFO(outcome.output);
  CHECK(outcome.code == 3);
  CHECK_THAT(outcome.output, ContainsSubstring("6 memes scored") && ContainsSubstring("2 memes could not be read"));
  CHECK(json_lines_of(j.out).size() == 6);
  const auto listed = json_lines_of(j.out + ".unreadable.jsonl");
  REQUIRE(listed.size() == 2);
  CHECK(listed[0].at("fault") == "truncated");
  CHECK(listed[1].at("fault") == "missing");
  CHECK_THAT(listed[1].at("reason").get<std::string>(), ContainsSubstring(gone.filename().string()));

  fs::remove(broken);
  j.root.write(broken.lexically_relative(j.root.path), broken_bytes);
  j.root.write(gone.lexically_relative(j.root.path), gone_bytes);
  CHECK(j.score("--data " + j.memes + " --overwrite").code == 0);
  CHECK_FALSE(fs::exists(j.out + ".unreadable.jsonl"));
}

TEST_CASE("a folder of pictures is scored by name, its words read or none") {
  const auto& j = judge();
  const auto outcome = j.score("--images " + j.memes + " --overwrite");
  INFO(outcome.output);
  CHECK(outcome.code == 0);
  CHECK_THAT(outcome.output, ContainsSubstring("--ocr reads them"));
  const auto lines = json_lines_of(j.out);
  CHECK(lines.size() == 64);
  CHECK(lines[0].at("picture") == "img/00001.png");
  const auto read = j.score("--images " + j.memes + "/img --ocr --overwrite");
  INFO(read.output);
  if (read.code == 0) {
    CHECK(json_lines_of(j.out)[0].contains("text"));
  } else {
    check_one_line(read, "score_memes", "libtesseract-dev");
  }
}

TEST_CASE("each kind of bad input gets one line") {
  const auto& j = judge();
  const auto before = fs::exists(j.out) ? bytes_of(j.out) : "";
  const auto with_model = [&](const std::string& model, const std::string& more) {
    return run("score_memes", "--model " + model + " --out " + j.out + " --overwrite " + more);
  };
  const auto data = "--data " + j.memes;
  check_one_line(with_model((j.root / "none").string(), data), "score_memes", "no run directory");
  j.root.write("config.json", R"({"method": {"method": "modality_graph"}})");
  check_one_line(with_model(j.root.path.string(), data), "score_memes", "finetune --from");
  check_one_line(j.score("--overwrite --data " + (j.root / "none").string()), "score_memes", "none");
  check_one_line(j.score("--overwrite --split tran " + data), "score_memes", "test_seen");
  check_one_line(j.score("--overwrite --images " + (j.root / "none").string()), "score_memes", "none");
  check_one_line(run("score_memes", "--model " + j.model + " --out " + j.memes + " " + data), "score_memes", "folder");
  check_one_line(run("score_memes", "--model " + j.model + " --out " + (j.root / "no/where").string() + " " + data),
                 "score_memes", "no/where");
  CHECK(j.score("--overwrite").code == 2);
  CHECK((fs::exists(j.out) ? bytes_of(j.out) : "") == before);
}
