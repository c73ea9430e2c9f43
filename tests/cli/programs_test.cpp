// The example programs as a person runs them: exit codes, one clear line for each kind of bad input, nothing lost.
#include <sslmeme/nn/backbone.hpp>
#include <sslmeme/nn/weights.hpp>
#include <sslmeme/train/session.hpp>

#include <fmt/format.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <cmath>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <regex>
#include <string>
#include <string_view>

#include "cli/programs.hpp"
#include "files.hpp"
#include "json_files.hpp"
#include "ranks.hpp"

namespace fs = std::filesystem;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;
using sslmeme::test::check_one_line;
using sslmeme::test::run;

namespace {

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

/// What finetune left is told in one way by its figures and by its predictions.
void check_results(const fs::path& run, const std::string& memes) {
  const auto results = sslmeme::test::json_of(run / "results.json");
  CHECK(results.at("dev") == "dev_seen");
  CHECK(results.at("test") == "test_seen");
  CHECK(results.at("data").at("data") == memes);
  CHECK(results.at("data").at("layout") == "memes");
  CHECK(results.at("size") == 32);
  const double temperature = results.at("temperature"), threshold = results.at("threshold");
  for (const auto* split : {"dev_seen", "test_seen", "test_unseen"}) {
    INFO(split);
    const auto& figures = results.at("splits").at(split);
    const auto lines = sslmeme::test::json_lines_of(run / "predictions" / (std::string{split} + ".jsonl"));
    CHECK(figures.at("n") == lines.size());
    REQUIRE(lines.size() == 8);
    int right = 0;
    for (const auto& line : lines) {
      const double score = line.at("score"), logit = line.at("logit");
      CHECK(std::abs(score - 1 / (1 + std::exp(-logit / temperature))) < 1e-12);
      right += (score >= threshold) == (line.at("label") == 1) ? 1 : 0;
    }
    CHECK(std::abs(figures.at("tuned_accuracy").get<double>() - right / 8.0) < 1e-12);
  }
  CHECK_FALSE(fs::exists(run / "predictions.jsonl"));
}

}  // namespace

TEST_CASE("Programs show an example in --help and refuse a wrong command line with code 2") {
  for (const auto* program :
       {"make_memes", "pretrain_clip", "pretrain_cass", "pretrain_cass_mm", "pretrain_dino", "finetune", "my_loss",
        "demo", "embed", "inspect_data", "split_data", "score_memes", "report"}) {
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

  const auto tuned = run(
      "finetune", tiny.in_out("ft") + tiny.small + " --from " + (tiny.root / "clip").string() + " --also test_unseen");
  INFO(tuned.output);
  CHECK(tuned.code == 0);
  CHECK_THAT(tuned.output, ContainsSubstring("test_seen: AUROC") && ContainsSubstring("\ntest_unseen: AUROC"));
  check_results(tiny.root / "ft", tiny.memes);

  const std::string pictures = " --size 32 --batch 8 --workers 1 --epochs 1 --cnn resnet18:width=8,depth=1 --vit ";
  const std::string vit = "vit_tiny_patch16_224:patch_size=16,width=24,depth=1";
  CHECK(run("pretrain_cass", tiny.in_out("cass") + pictures + vit).code == 0);
  const auto reference = tiny.in_out("reference") + pictures + vit + " --reference";
  CHECK(run("pretrain_cass", reference).code == 0);
  const auto published = sslmeme::test::json_of(tiny.root / "reference/config.json").at("trainer");
  CHECK(published.at("optimizer").at("weight_decay") == 0);
  CHECK(published.at("parameters").at("rules").size() == 1);
  CHECK(published.at("schedule").at("name") == "CosineWave");
  CHECK(published.at("clip_norm") == 0);
  CHECK(run("pretrain_cass", reference + " --overwrite --warmup 2").code == 2);
  CHECK(run("pretrain_cass_mm", tiny.in_out("mm") + pictures + vit + " --text minilm_l6:width=24,depth=1").code == 0);
  CHECK(run("pretrain_cass_mm", tiny.in_out("mm") + " --fused --mask-duplicates").code == 2);
  const auto mine =
      run("my_loss", "--data " + tiny.memes + " --size 32 --batch 8 --epochs 1 --encoder resnet18:width=8,depth=1");
  INFO(mine.output);
  CHECK(mine.code == 0);
}

TEST_CASE("Two processes pre-train and fine-tune as one, and only the first writes") {
  const TinyMemes tiny;
  const auto both = [&](const std::string& program, const std::string& arguments) {
    const auto port = sslmeme::test::free_port();
    const auto rank = [&](int r) {
      return fmt::format("RANK={} WORLD_SIZE=2 MASTER_ADDR=127.0.0.1 MASTER_PORT={} OMP_NUM_THREADS=1 {}/{} {}", r,
                         port, SSLMEME_PROGRAMS, program, arguments);
    };
    return sslmeme::test::run_command("{ " + rank(1) + " & first=$!; " + rank(0) + " && wait $first; }");
  };
  const auto clip = both("pretrain_clip", tiny.in_out("clip") + tiny.small);
  INFO(clip.output);
  REQUIRE(clip.code == 0);
  CHECK(std::regex_search(clip.output, std::regex{"^waiting for 1 more at 127.0.0.1:\\d+\nclip epoch 1/1 [^\n]*\n$"}));
  const auto log = sslmeme::test::json_lines_of(tiny.root / "clip/log.jsonl");
  const auto alone = run("pretrain_clip", tiny.in_out("alone") + tiny.small);
  REQUIRE(alone.code == 0);
  CHECK(log.size() == sslmeme::test::json_lines_of(tiny.root / "alone/log.jsonl").size() / 2);
  CHECK(sslmeme::test::json_of(tiny.root / "clip/config.json").at("trainer").at("ranks") == 2);

  const auto tuned = both(
      "finetune", tiny.in_out("ft") + tiny.small + " --from " + (tiny.root / "clip").string() + " --also test_unseen");
  INFO(tuned.output);
  CHECK(tuned.code == 0);
  check_results(tiny.root / "ft", tiny.memes);
  CHECK(run("score_memes", "--model " + (tiny.root / "ft").string() + " --data " + tiny.memes +
                               " --split test_seen --out " + (tiny.root / "scores.jsonl").string())
            .code == 0);
}

TEST_CASE("pretrain_dino measures its teacher after every epoch, and a resumed run goes on with the curve") {
  const sslmeme::test::TemporaryFolder root;
  const auto made = run("make_memes", (root / "memes").string() +
                                          " --count 32 --dev 8 --test 8 --dev-unseen 8 --test-unseen 8 --size 32 "
                                          "--classes 3 --seed 3");
  INFO(made.output);
  REQUIRE(made.code == 0);
  const auto emoji = root / "memes/emoji", out = root / "dino";
  const auto dino = [&](const std::string& arguments) {
    return run("pretrain_dino", "--data " + (emoji / "train").string() + " --knn " + emoji.string() + " --out " +
                                    out.string() +
                                    " --size 32 --batch 64 --workers 1 --locals 0 --prototypes 32 --hidden 16 "
                                    "--batch-norm --encoder resnet18:width=4,depth=1" +
                                    arguments);
  };
  const auto first = dino(" --epochs 2");
  INFO(first.output);
  REQUIRE(first.code == 0);
  CHECK_THAT(first.output, ContainsSubstring("k-NN accuracy over "));
  const auto before = sslmeme::test::json_of(out / "knn.json");
  CHECK(before.at("epochs") == nlohmann::json{0, 1, 2});
  for (const double accuracy : before.at("accuracy")) CHECK((accuracy >= 0 && accuracy <= 1));

  const auto second = dino(" --epochs 3 --resume");
  INFO(second.output);
  REQUIRE(second.code == 0);
  CHECK_THAT(second.output, ContainsSubstring("after epoch 0, ") && ContainsSubstring("after epoch 3 "));
  const auto after = sslmeme::test::json_of(out / "knn.json");
  CHECK(after.at("epochs") == nlohmann::json{0, 1, 2, 3});
  REQUIRE(after.at("accuracy").size() == 4);
  for (std::size_t i = 0; i < 3; ++i) CHECK(after.at("accuracy")[i] == before.at("accuracy")[i]);
  CHECK(fs::exists(out / "knn.html"));
}

TEST_CASE("finetune takes every fusion, and retrieval beside it, with frozen encoders and after a stop") {
  const TinyMemes tiny;
  for (const std::string fusion : {"concat", "align", "cross", "cmaf"}) {
    INFO(fusion);
    const auto plain = run("finetune", tiny.in_out(fusion) + tiny.small + " --fusion " + fusion);
    INFO(plain.output);
    CHECK(plain.code == 0);
    CHECK(sslmeme::test::json_of(tiny.root / fusion / "config.json").at("method").at("fusion").at("kind") == fusion);
    CHECK_FALSE(fs::exists(tiny.root / fusion / "votes.json"));
  }
  const auto arguments =
      tiny.in_out("rgcl") + tiny.small + " --fusion cmaf --freeze --rgcl --neighbours 5 --also test_unseen";
  const auto guided = run("finetune", arguments);
  INFO(guided.output);
  REQUIRE(guided.code == 0);
  CHECK_THAT(guided.output, ContainsSubstring("test_seen: by the vote of 5 neighbours AUROC 0."));
  const auto votes = sslmeme::test::json_of(tiny.root / "rgcl/votes.json");
  CHECK(votes.at("k") == 5);
  CHECK(votes.at("splits").at("test_seen").at("n") == 8);
  CHECK(votes.at("splits").at("dev_seen").at("auroc").is_number());
  const auto method = sslmeme::test::json_of(tiny.root / "rgcl/config.json").at("method");
  CHECK(method.at("retrieval_guided").at("memory") == 32);
  CHECK(method.at("train_encoders") == false);
  check_results(tiny.root / "rgcl", tiny.memes);
  CHECK(run("finetune", arguments + " --resume").code == 0);
  check_one_line(run("finetune", arguments + " --resume --rgcl-weight 2"), "finetune", "retrieval_guided/weight");
  const auto scored = run("score_memes", "--model " + (tiny.root / "rgcl").string() + " --data " + tiny.memes +
                                             " --split test_seen --out " + (tiny.root / "scores.jsonl").string());
  INFO(scored.output);
  CHECK(scored.code == 0);
  CHECK(run("finetune", tiny.in_out("a") + tiny.small + " --rgcl-weight 2").code == 2);  // needs --rgcl
  check_one_line(run("finetune", tiny.in_out("a") + tiny.small + " --fusion cmfa"), "finetune",
                 "no fusion is called \"cmfa\"; did you mean: cmaf");
}

TEST_CASE("inspect_data tells what is there, writes JSON and fails on leaks where asked to") {
  const TinyMemes tiny;
  const auto json = (tiny.root / "report.json").string();
  const auto clean = run("inspect_data", tiny.memes + " --strict --json " + json);
  INFO(clean.output);
  REQUIRE(clean.code == 0);
  CHECK_THAT(clean.output, StartsWith("split") && ContainsSubstring("\ntrain") && ContainsSubstring("\ntest_unseen"));
  CHECK_THAT(clean.output, !ContainsSubstring("leak") && !ContainsSubstring("unreadable in"));
  const auto report = sslmeme::test::json_of(json);
  REQUIRE(report.at("splits").size() == 5);
  CHECK(report.at("splits").at(0).at("name") == "train");
  CHECK(report.at("splits").at(0).at("samples") == 32);

  const auto copy_of_first = [&](const std::string& name, const std::string& split) {
    fs::copy_file(fs::path{tiny.memes} / "img/00001.png", fs::path{tiny.memes} / name);
    std::ofstream{fs::path{tiny.memes} / split, std::ios::app}
        << R"({"id": 99, "img": ")" + name + R"(", "label": 0, "text": "again"})" << '\n';
  };
  SECTION("a leak") {
    copy_of_first("again.png", "dev_seen.jsonl");
    CHECK(run("inspect_data", tiny.memes).code == 0);
    const auto strict = run("inspect_data", tiny.memes + " --strict --splits train,dev_seen");
    INFO(strict.output);
    CHECK(strict.code == 1);
    CHECK_THAT(strict.output, ContainsSubstring("leak: 1 of dev_seen is in train too, 1 exactly") &&
                                  ContainsSubstring("again.png is ") &&
                                  ContainsSubstring("inspect_data: 0 unreadable, 1 pairs of splits with leaks"));
  }
  SECTION("a damaged picture") {
    copy_of_first("broken.png", "train.jsonl");
    fs::resize_file(fs::path{tiny.memes} / "broken.png", 100);
    const auto strict = run("inspect_data", tiny.memes + " --strict");
    INFO(strict.output);
    CHECK(strict.code == 1);
    CHECK_THAT(strict.output, ContainsSubstring("unreadable in train: 1") && ContainsSubstring("broken.png"));
  }
  SECTION("nothing there") {
    check_one_line(run("inspect_data", (tiny.root / "nowhere").string()), "inspect_data", "nowhere");
    fs::create_directory(tiny.root / "empty");
    check_one_line(run("inspect_data", (tiny.root / "empty").string()), "inspect_data", "train.jsonl");
    check_one_line(run("inspect_data", tiny.memes + " --splits tran"), "inspect_data", "train.jsonl");
  }
}

TEST_CASE("A table and folders of pictures are trained on as they are, and a table can be split") {
  const TinyMemes tiny;
  const fs::path pictures = fs::path{tiny.memes} / "img";
  const auto data = tiny.root / "data";
  SECTION("a table") {
    fs::create_directories(data / "img");
    std::ofstream train{data / "train.csv"}, val{data / "val.csv"};
    train << "file,words,kind\n";
    val << "file,words,kind\n";
    for (int i = 1; i <= 48; ++i) {
      const auto name = "img/000" + std::string(i < 10 ? "0" : "") + std::to_string(i) + ".png";
      fs::copy_file(fs::path{tiny.memes} / name, data / name);
      (i <= 32 ? train : val) << name << ",\"some, words " << i % 5 << "\"," << (i % 2 == 0 ? "benign" : "hateful")
                              << '\n';
    }
    train.close();
    val.close();
    const auto columns =
        " --id-column \"\" --picture-column file --text-column words --label-column kind --label-names benign,hateful";
    const auto tuned = run("finetune", "--data " + data.string() + " --out " + (tiny.root / "ft").string() +
                                           tiny.small + columns + " --dev val --test val");
    INFO(tuned.output);
    CHECK(tuned.code == 0);
    CHECK_THAT(tuned.output, ContainsSubstring("16 memes"));

    const auto split = "split_data";
    check_one_line(run(split, data.string() + columns), split, "choose one with --split");
    const auto dealt = run(split, data.string() + columns + " --split train --dev 0.25 --test 0.25");
    INFO(dealt.output);
    CHECK(dealt.code == 0);
    CHECK_THAT(dealt.output, ContainsSubstring("32 different pictures; 0 memes left out"));
    CHECK(run("inspect_data", data.string() + " --layout memes --strict").code == 0);
    CHECK(sslmeme::test::json_lines_of(data / "train.jsonl").size() == 16);
    CHECK(sslmeme::test::json_lines_of(data / "dev_seen.jsonl").size() == 8);
    const auto first = sslmeme::test::bytes_of(data / "test_seen.jsonl");
    const auto again = columns + std::string{" --layout csv --split train --dev 0.25 --test 0.25"};
    CHECK(run(split, data.string() + again).code == 1);  // there already
    const auto whole = columns + std::string{" --layout csv --split train --dev 0.9 --test 0.1 --overwrite"};
    CHECK(run(split, data.string() + whole).code == 0);  // 1 − 0.9 − 0.1 is less than 0 in binary
    CHECK(run(split, data.string() + again + " --overwrite").code == 0);
    CHECK(sslmeme::test::bytes_of(data / "test_seen.jsonl") == first);
  }
  SECTION("a sub-folder a class") {
    for (const auto* label : {"cats", "dogs"}) fs::create_directories(data / label);
    for (const auto& picture : fs::directory_iterator{pictures})
      fs::copy_file(picture,
                    data / (picture.path().stem().string() < "00017" ? "cats" : "dogs") / picture.path().filename());
    const auto inspected = run("inspect_data", data.string());
    INFO(inspected.output);
    CHECK_THAT(inspected.output, ContainsSubstring("0: 16, 1: 48"));
    const auto cass = run("pretrain_cass", "--data " + data.string() + " --out " + (tiny.root / "cass").string() +
                                               " --size 32 --batch 8 --workers 1 --epochs 1 --cnn "
                                               "resnet18:width=8,depth=1 --vit "
                                               "vit_tiny_patch16_224:patch_size=16,width=24,depth=1");
    INFO(cass.output);
    CHECK(cass.code == 0);
  }
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
      sslmeme::remove_tree(fs::path{tiny.memes} / "img");
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
  SECTION("a split to measure without labels") {
    const auto blind = fs::path{tiny.memes} / "blind.jsonl";
    std::ofstream{blind} << R"({"id": 1, "img": "img/00001.png", "text": "no label"})" << '\n';
    check_one_line(run("finetune", tiny.in_out("a") + tiny.small + " --test blind"), "finetune",
                   "blind has 0 harmless memes, 0 harmful ones and 1 without a label");
    CHECK_FALSE(fs::exists(tiny.root / "a"));
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

TEST_CASE("CLIP's text encoder learns from CLIP's tokens, and its merges go from run to run") {
  const TinyMemes tiny;
  const std::string merges = "heading\nt h\nth e</w>\ny o\nyo u</w>\n";
  const auto merges_file = tiny.root.write("bpe.txt", merges).string();
  const std::string once = " --size 32 --batch 8 --workers 1 --epochs 1";
  const std::string text = " --text ViT-B-32:width=16,depth=1";
  const auto clip = tiny.in_out("clip") + once + " --image resnet18:width=8,depth=1" + text;
  const auto trained = run("pretrain_clip", clip + " --vocab " + merges_file);
  INFO(trained.output);
  REQUIRE(trained.code == 0);
  CHECK(sslmeme::test::bytes_of(tiny.root / "clip/merges.txt") == merges);
  CHECK_FALSE(fs::exists(tiny.root / "clip/vocab.txt"));
  const auto nodes = sslmeme::test::json_of(tiny.root / "clip/config.json").at("method").at("nodes");
  CHECK(nodes.at("text").at("encoder").at("options").at("vocabulary_size") == 512 + 4 + 2);
  CHECK(run("pretrain_clip", clip + " --resume").code == 0);  // by the run's own merges

  const auto from_clip = tiny.in_out("ft") + once + " --from " + (tiny.root / "clip").string();
  const auto tuned = run("finetune", from_clip);
  INFO(tuned.output);
  REQUIRE(tuned.code == 0);
  CHECK(sslmeme::test::bytes_of(tiny.root / "ft/merges.txt") == merges);
  CHECK(sslmeme::test::json_of(tiny.root / "ft/scorer.json").at("tokenizer").at("kind") == "clip");
  const auto scored = run("score_memes", "--model " + (tiny.root / "ft").string() + " --data " + tiny.memes +
                                             " --split test_seen --out " + (tiny.root / "scores.jsonl").string());
  INFO(scored.output);
  CHECK(scored.code == 0);
  CHECK(sslmeme::test::json_lines_of(tiny.root / "scores.jsonl").size() == 8);
  const auto fewer = tiny.root.write("fewer.txt", "heading\nt h\n").string();
  check_one_line(run("finetune", from_clip + " --overwrite --vocab " + fewer), "finetune",
                 "fewer.txt has 515 tokens, the text encoder of ");

  // Published merges are compressed.
  const auto cass_mm = tiny.in_out("mm") + once + text +
                       " --cnn resnet18:width=8,depth=1 --vit vit_tiny_patch16_224:patch_size=16,width=24,depth=1";
  check_one_line(run("pretrain_cass_mm", cass_mm), "pretrain_cass_mm", "give its merges by --vocab");
  const std::string published = SSLMEME_TEST_DATA "/text/bpe_simple_vocab_16e6.txt.gz";
  const auto mm = run("pretrain_cass_mm", cass_mm + " --vocab " + published);
  INFO(mm.output);
  CHECK(mm.code == 0);
  CHECK((sslmeme::test::bytes_of(tiny.root / "mm/merges.txt.gz") == sslmeme::test::bytes_of(published)));
}

TEST_CASE("A vocabulary that the text encoder cannot read is refused before anything is trained") {
  const TinyMemes tiny;
  const auto merges = tiny.root.write("bpe.txt", "heading\nt h\n").string();
  const auto pieces = tiny.root.write("pieces.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\nyou\n").string();
  const auto text = tiny.in_out("a") + tiny.encoders.substr(0, tiny.encoders.find(" --text")) + " --text ";
  for (const std::string program : {"pretrain_clip", "finetune"}) {
    INFO(program);
    check_one_line(run(program, text + "ViT-B-32:width=16,depth=1"), program,
                   "the text encoder ViT-B-32 reads CLIP's tokens: give its merges by --vocab");
    check_one_line(run(program, text + "ViT-B-32:width=16,depth=1 --vocab " + pieces), program,
                   "pieces.txt:2: \"[UNK]\" is no merge");
    check_one_line(run(program, text + "minilm_l6:width=24,depth=1 --vocab " + merges), program, "WordPiece vocab.txt");
  }
  CHECK_FALSE(fs::exists(tiny.root / "a"));
}

TEST_CASE("Encoders on the command line start from weights=FILE, and refuse a file that does not fit") {
  const TinyMemes tiny;
  const auto pieces = tiny.root.write("pieces.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\nyou\nthe\n").string();
  const auto image = sslmeme::image_encoder("resnet18", {.width = 8, .depth = 1, .seed = 11});
  const auto text = sslmeme::text_encoder("minilm_l6", {.vocabulary_size = 6, .width = 24, .depth = 1, .seed = 12});
  const auto image_file = (tiny.root / "image.safetensors").string(),
             text_file = (tiny.root / "text.safetensors").string();
  sslmeme::save_weights(image_file, *image);
  sslmeme::save_weights(text_file, *text);
  const auto arguments = tiny.in_out("clip") + " --size 32 --batch 8 --workers 1 --epochs 1 --lr 0 --vocab " + pieces;
  const auto outcome = run("pretrain_clip", arguments + " --image resnet18:width=8,depth=1,weights=" + image_file +
                                                " --text minilm_l6:width=24,depth=1,weights=" + text_file);
  INFO(outcome.output);
  REQUIRE(outcome.code == 0);
  CHECK_THAT(outcome.output, ContainsSubstring(image_file + ": ") && ContainsSubstring(text_file + ": ") &&
                                 ContainsSubstring(" tensors from "));
  // A learning rate of 0 leaves parameters as they were read.
  const auto check_kept = [](const sslmeme::Backbone& kept, const sslmeme::Backbone& read) {
    const auto parameters = kept.named_parameters();
    for (const auto& parameter : read.named_parameters()) {
      INFO(parameter.key());
      CHECK(torch::equal(parameters[parameter.key()], parameter.value()));
    }
  };
  check_kept(*sslmeme::load_image_encoder(tiny.root / "clip", "image"), *image);
  check_kept(*sslmeme::load_text_encoder(tiny.root / "clip", "text"), *text);

  check_one_line(run("pretrain_clip", arguments +
                                          " --overwrite --text minilm_l6:width=24,depth=1 --image "
                                          "resnet18:width=4,depth=1,weights=" +
                                          image_file),
                 "pretrain_clip",
                 "image.safetensors: the weights, read as timm, do not fit the model (of another shape: ");
}
