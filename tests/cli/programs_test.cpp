// The example programs as a person runs them: exit codes, one clear line for each kind of bad input, nothing lost.
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "files.hpp"

namespace fs = std::filesystem;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;

namespace {

struct Outcome {
  int code = -1;
  std::string output;  ///< stdout and stderr together

  long lines() const { return std::count(output.begin(), output.end(), '\n'); }
};

/// Runs a program of ours. LibTorch gets one thread: tests run side by side.
Outcome run(const std::string& program, const std::string& arguments) {
  const auto command =
      "OMP_NUM_THREADS=1 " + (fs::path{SSLMEME_PROGRAMS} / program).string() + " " + arguments + " 2>&1";
  FILE* pipe = ::popen(command.c_str(), "r");
  REQUIRE(pipe != nullptr);
  Outcome outcome;
  std::array<char, 4096> buffer{};
  while (const auto n = std::fread(buffer.data(), 1, buffer.size(), pipe)) outcome.output.append(buffer.data(), n);
  const int status = ::pclose(pipe);
  outcome.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  INFO(outcome.output);
  return outcome;
}

/// A folder of 32 made memes that is removed in the end.
struct TinyMemes {
  sslmeme::test::TemporaryFolder root;
  std::string memes = (root / "memes").string();
  std::string encoders =
      " --size 32 --batch 8 --workers 1 --image resnet18:width=8,depth=1 --text minilm_l6:width=24,depth=1";
  std::string small = encoders + " --epochs 1";

  TinyMemes() {
    const auto made =
        run("make_memes", memes + " --count 32 --dev 8 --test 8 --dev-unseen 8 --test-unseen 8 --size 32 --seed 3");
    INFO(made.output);
    REQUIRE(made.code == 0);
  }

  std::string in_out(const std::string& run_name) const {
    return "--data " + memes + " --out " + (root / run_name).string();
  }
};

void check_one_line(const Outcome& outcome, const std::string& program, const std::string& part) {
  INFO(outcome.output);
  CHECK(outcome.code == 1);
  CHECK(outcome.lines() == 1);
  CHECK_THAT(outcome.output, StartsWith(program + ": "));
  CHECK_THAT(outcome.output, ContainsSubstring(part));
}

}  // namespace

TEST_CASE("Programs show an example in --help and refuse a wrong command line with code 2") {
  for (const auto* program :
       {"make_memes", "pretrain_clip", "pretrain_cass", "pretrain_cass_mm", "finetune", "my_loss", "demo"}) {
    INFO(program);
    const auto help = run(program, "--help");
    CHECK(help.code == 0);
    CHECK_THAT(help.output, ContainsSubstring("Example"));
    CHECK(run(program, "--no-such-option").code == 2);
  }
}

TEST_CASE("Pre-training, fine-tuning, resuming and refusing a used directory") {
  const TinyMemes tiny;
  const auto clip = run("pretrain_clip", tiny.in_out("clip") + tiny.small);
  INFO(clip.output);
  REQUIRE(clip.code == 0);
  CHECK(fs::exists(tiny.root / "clip/model.safetensors"));
  CHECK(fs::exists(tiny.root / "clip/vocab.txt"));

  check_one_line(run("pretrain_clip", tiny.in_out("clip") + tiny.small), "pretrain_clip", "holds a run already");
  CHECK(run("pretrain_clip", tiny.in_out("clip") + tiny.small + " --resume").code == 0);

  const auto tuned = run("finetune", tiny.in_out("ft") + tiny.small + " --from " + (tiny.root / "clip").string());
  INFO(tuned.output);
  CHECK(tuned.code == 0);
  CHECK_THAT(tuned.output, ContainsSubstring("test_seen: AUROC"));
  CHECK(fs::exists(tiny.root / "ft/results.json"));

  const std::string pictures = " --size 32 --batch 8 --workers 1 --epochs 1 --cnn resnet18:width=8,depth=1 --vit ";
  const std::string vit = "vit_tiny_patch16_224:patch_size=16,width=24,depth=1";
  CHECK(run("pretrain_cass", tiny.in_out("cass") + pictures + vit).code == 0);
  CHECK(run("pretrain_cass_mm", tiny.in_out("mm") + pictures + vit + " --text minilm_l6:width=24,depth=1").code == 0);
  const auto mine =
      run("my_loss", "--data " + tiny.memes + " --size 32 --batch 8 --epochs 1 --encoder resnet18:width=8,depth=1");
  INFO(mine.output);
  CHECK(mine.code == 0);
}

TEST_CASE("Each kind of bad input gets one line that names it") {
  const TinyMemes tiny;
  const auto clip = [&](const std::string& arguments) { return run("pretrain_clip", arguments); };

  SECTION("missing folder") {
    check_one_line(
        clip("--data " + (tiny.root / "nowhere").string() + " --out " + (tiny.root / "a").string() + tiny.small),
        "pretrain_clip", "nowhere");
  }
  SECTION("missing split") {
    check_one_line(clip(tiny.in_out("a") + tiny.small + " --split tran"), "pretrain_clip", "train.jsonl");
  }
  SECTION("wrong line") {
    std::ofstream{fs::path{tiny.memes} / "train.jsonl", std::ios::app} << "{\"id\": 1, oops\n";
    check_one_line(clip(tiny.in_out("a") + tiny.small), "pretrain_clip", "train.jsonl:33");
  }
  SECTION("missing picture") {
    fs::remove(fs::directory_iterator{fs::path{tiny.memes} / "img"} -> path());
    const auto outcome = clip(tiny.in_out("a") + tiny.small + " --split train");
    // The picture may belong to another split: then remove all.
    if (outcome.code == 0) {
      fs::remove_all(fs::path{tiny.memes} / "img");
      check_one_line(clip(tiny.in_out("b") + tiny.small), "pretrain_clip", "train.jsonl:1");
    } else {
      check_one_line(outcome, "pretrain_clip", "train.jsonl:");
    }
  }
  SECTION("truncated picture") {
    for (const auto& picture : fs::directory_iterator{fs::path{tiny.memes} / "img"})
      fs::resize_file(picture.path(), 200);
    const auto outcome = clip(tiny.in_out("a") + tiny.small);
    INFO(outcome.output);
    CHECK(outcome.code == 1);
    CHECK_THAT(outcome.output, ContainsSubstring("sample") && ContainsSubstring(".png"));
    CHECK_FALSE(fs::exists(tiny.root / "a/model.safetensors"));
  }
  SECTION("unknown backbone") {
    check_one_line(clip(tiny.in_out("a") + " --image resnet81"), "pretrain_clip", "resnet18");
  }
  SECTION("wrong picture size") {
    check_one_line(clip(tiny.in_out("a") + " --size 33 --image vit_tiny_patch16_224"), "pretrain_clip", "48");
  }
  SECTION("weights that are not there") {
    check_one_line(run("finetune", tiny.in_out("a") + tiny.small + " --from " + (tiny.root / "none").string()),
                   "finetune", "none");
  }
  SECTION("loss that is not finite") {
    const auto outcome = clip(tiny.in_out("a") + tiny.encoders + " --epochs 40 --warmup 0 --clip-norm 0 --lr 1e30");
    INFO(outcome.output);
    CHECK(outcome.code == 1);
    CHECK_THAT(outcome.output, ContainsSubstring("at step") && ContainsSubstring("ids "));
  }
}
