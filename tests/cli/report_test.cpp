// report on runs that the programs themselves made: figures that must be there, hostile words, runs that it refuses.
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <tuple>

#include "cli/programs.hpp"
#include "files.hpp"
#include "json_files.hpp"

namespace fs = std::filesystem;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;
using sslmeme::test::bytes_of;
using sslmeme::test::check_one_line;
using sslmeme::test::run;

namespace {

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++n;
  return n;
}

void require_success(const sslmeme::test::Outcome& outcome) {
  INFO(outcome.output);
  REQUIRE(outcome.code == 0);
}

sslmeme::test::Outcome check_report(const std::string& arguments) {
  return sslmeme::test::run_command(SSLMEME_SCRIPTS "/check_report " + arguments);
}

const std::string hostile = "<script>alert(1)</script>";

/// A pre-training, two seeds of a classifier from it and one from nothing, on 24 made memes, and the report of them.
/// The words of each meme in the test split are hostile.
struct Runs {
  sslmeme::test::TemporaryFolder root;
  std::string memes = (root / "memes").string(), out = (root / "report.html").string();
  sslmeme::test::Outcome made;

  Runs() {
    require_success(
        run("make_memes", memes + " --count 24 --dev 16 --test 24 --dev-unseen 4 --test-unseen 8 --size 32 --seed 3"));
    poison(root / "memes" / "test_seen.jsonl");
    const std::string small = " --size 32 --batch 8 --workers 1 --epochs 2 --lr 3e-3";
    const std::string encoders =
        " --image vit_tiny_patch16_224:patch_size=8,width=24,depth=1 --text minilm_l6:width=24,depth=1";
    require_success(run("pretrain_clip", in_out("clip") + small + encoders));
    for (const auto* seed : {"0", "1"}) {
      require_success(run("finetune", in_out("judge-seed" + std::string{seed}) + small + " --seed " + seed +
                                          " --from " + path("clip") + " --also test_unseen"));
    }
    require_success(run("finetune", in_out("fresh") + small + " --image resnet18:width=8,depth=1 --text " +
                                        "minilm_l6:width=24,depth=1"));
    made = run("report", all() + " " + path("clip") + " --map 20 --out " + out);
    require_success(made);
  }

  std::string path(const std::string& name) const { return (root / name).string(); }
  std::string in_out(const std::string& name) const { return "--data " + memes + " --out " + path(name); }
  std::string all() const { return path("judge-seed0") + " " + path("judge-seed1") + " " + path("fresh"); }

 private:
  /// The words of every meme of a split begin with what must never run.
  static void poison(const fs::path& file) {
    std::string text;
    for (auto line : sslmeme::test::json_lines_of(file)) {
      line["text"] = hostile + " " + line.at("text").get<std::string>();
      text += line.dump() + "\n";
    }
    std::ofstream{file} << text;
  }
};

/// While it lives a run says that it started from a longer pre-training, whose folder's name differs by a number alone.
class OtherPretraining {
 public:
  OtherPretraining(const Runs& runs, const std::string& run, const std::string& name)
      : results_{fs::path{runs.path(run)} / "results.json"}, before_{bytes_of(results_)} {
    const auto folder = runs.root / name;
    fs::create_directory(folder);
    auto config = sslmeme::test::json_of(fs::path{runs.path("clip")} / "config.json");
    config["trainer"]["epochs"] = 9;
    std::ofstream{folder / "config.json"} << config.dump();
    auto results = sslmeme::test::json_of(results_);
    results["from"] = folder.string();
    std::ofstream{results_} << results.dump();
  }
  ~OtherPretraining() { std::ofstream{results_} << before_; }
  OtherPretraining(const OtherPretraining&) = delete;
  OtherPretraining& operator=(const OtherPretraining&) = delete;

 private:
  fs::path results_;
  std::string before_;
};

/// Made once for all tests, which put back what they change.
const Runs& made_runs() {
  static const Runs runs;
  return runs;
}

}  // namespace

TEST_CASE("report shows its runs, and refuses those that it cannot show") {
  const auto& runs = made_runs();
  const auto &out = runs.out, &made_output = runs.made.output;
  CHECK_THAT(made_output, ContainsSubstring("│ judge ") && ContainsSubstring("│ fresh "));
  const auto html = bytes_of(out);
  for (const auto* id : {"figure-table", "figure-tests", "figure-roc", "figure-precision-recall", "figure-calibration",
                         "figure-thresholds", "figure-disagreements", "figure-mistakes-1", "figure-mistakes-2",
                         "figure-map-1", "figure-map-2", "figure-finetune-loss", "figure-finetune-metric-1",
                         "figure-pretraining-1-loss", "figure-pretraining-1-deviation", "figure-pretraining-1-rank",
                         "figure-pretraining-1-norm", "figure-settings"}) {
    INFO(id);
    CHECK(count(html, std::string{" id=\""} + id + "\"") == 1);
  }
  CHECK(count(html, "://") == 0);
  CHECK(count(html, "<script") == 1);
  CHECK(count(html, "alert(1)") == count(html, "&lt;script&gt;alert(1)&lt;/script&gt;"));
  CHECK(count(html, "alert(1)") > 0);
  CHECK(count(html, "class=\"heat\"") > 0);  // attention of the ViT, occlusion of the ResNet
  CHECK(count(html, "picture alone") > 0);
  CHECK(count(html, "class=\"outline\"") > 0);  // occlusion, beside the attention of the ViT
  CHECK(count(html, ", attention 1.00\">") > 0);
  CHECK(count(html, ">pre-trained by<") == 1);
  CHECK_THAT(html, ContainsSubstring(runs.path("clip")) && ContainsSubstring(">nothing<"));

  SECTION("seeds of a model are one row, whose figures are those of results.json") {
    const auto auroc = [&](const std::string& name) {
      const auto results = sslmeme::test::json_of(fs::path{runs.path(name)} / "results.json");
      return results.at("splits").at("test_seen").at("auroc").get<double>();
    };
    const double mean = (auroc("judge-seed0") + auroc("judge-seed1")) / 2;
    char text[16];
    std::snprintf(text, sizeof text, "%.3f", mean);
    CHECK_THAT(made_output, ContainsSubstring(std::string{"│ judge │ "} + text + " ± "));
    CHECK_THAT(html, ContainsSubstring("AUROC, test_unseen"));
  }
  SECTION("the same again is the same file") {
    const auto again = runs.path("again.html");
    require_success(run("report", runs.all() + " " + runs.path("clip") + " --map 20 --out " + again));
    CHECK(bytes_of(again) == html);
  }
  SECTION("names, and no classifier is run") {
    const auto quick = runs.path("quick.html");
    require_success(run("report", "A=" + runs.path("judge-seed0") + " 'B & C'=" + runs.path("fresh") +
                                      " --quick --mistakes 3 --title 'Two of them' --out " + quick));
    const auto page = bytes_of(quick);
    CHECK_THAT(page, ContainsSubstring("<h1>Two of them</h1>") && ContainsSubstring("B &amp; C"));
    CHECK(count(page, "figure-map") == 0);
    CHECK(count(page, "class=\"heat\"") == 0);
  }
  SECTION("a map of too few memes is no reason to fail") {
    const auto few = runs.path("few.html");
    require_success(run("report", runs.path("fresh") + " --map 2 --mistakes 1 --out " + few));
    CHECK_THAT(bytes_of(few), ContainsSubstring("fresh has no map: ") && !ContainsSubstring("id=\"figure-map"));
  }
  SECTION("memes that are gone are told of") {
    fs::rename(runs.memes, runs.path("elsewhere"));
    const auto gone = runs.path("gone.html");
    const auto outcome = run("report", runs.path("fresh") + " --out " + gone);
    fs::rename(runs.path("elsewhere"), runs.memes);
    require_success(outcome);
    CHECK_THAT(bytes_of(gone), ContainsSubstring("cannot be shown") && !ContainsSubstring("figure-mistakes"));
  }
  SECTION("other memes than those of another run") {
    const auto file = fs::path{runs.path("fresh")} / "predictions/test_seen.jsonl";
    const auto text = bytes_of(file);
    std::ofstream{file} << text.substr(text.find('\n') + 1);
    const auto other = runs.path("other.html");
    const auto outcome = run("report", runs.all() + " --quick --out " + other);
    std::ofstream{file} << text;
    require_success(outcome);
    CHECK_THAT(bytes_of(other), ContainsSubstring("Models were measured on different memes") &&
                                    ContainsSubstring("none of them is the best") &&
                                    !ContainsSubstring("id=\"figure-tests") && !ContainsSubstring("Best AUROC") &&
                                    !ContainsSubstring("id=\"figure-disagreements"));
  }
  SECTION("what cannot be shown gets one line, and the former file stays") {
    const auto refused = [&](const std::string& arguments, const std::string& part) {
      check_one_line(run("report", arguments + " --quick --out " + out), "report", part);
      CHECK(bytes_of(out) == html);
    };
    refused(runs.path("nowhere"), "nowhere is no run directory");
    refused(runs.memes, "is no run directory");
    refused(runs.path("fresh") + " " + runs.path("fresh"), "is given twice");
    refused("A=" + runs.path("judge-seed0") + " A=" + runs.path("fresh"), "in more than the seed");
    {
      const OtherPretraining longer{runs, "judge-seed1", "clip-9"};
      refused("A=" + runs.path("judge-seed0") + " A=" + runs.path("judge-seed1"), "in more than the seed");
    }
    refused("--tables " + runs.path("fresh/config.json"), "results.json of paper_tables");
    refused("", "give run directories");
    fs::rename(fs::path{runs.path("fresh")} / "results.json", runs.path("results.json"));
    refused(runs.path("fresh"), "fresh is not finished: it has no results.json");
    fs::rename(runs.path("results.json"), fs::path{runs.path("fresh")} / "results.json");
    const auto file = fs::path{runs.path("fresh")} / "predictions/test_seen.jsonl";
    const auto text = bytes_of(file);
    std::ofstream{file} << "{\"id\": 1}\n";
    refused(runs.path("fresh"), "test_seen.jsonl is damaged");
    std::ofstream{file} << text.substr(0, text.find('\n') + 1);
    refused(runs.path("fresh"), "does not hold memes of both classes");
    std::ofstream{file} << text;
  }
}

TEST_CASE("report shows what paper_tables measured") {
  const sslmeme::test::TemporaryFolder root;
  const auto tables = root.write("results.json", R"({"scale": "tiny", "data": "memes", "split": "test_seen",
    "threshold": "tuned on dev",
    "tables": [{"key": "table3", "title": "Table 3", "rows": [
      {"title": "CLIP", "auroc_mean": 0.9, "auroc_std": 0.01, "accuracy_mean": 0.8, "accuracy_std": 0.02,
       "tuned_accuracy_mean": 0.82, "tuned_accuracy_std": 0.01, "seeds": 2,
       "published": {"auroc_mean": 0.7, "auroc_std": 0.0, "accuracy_mean": 0.6, "accuracy_std": 0}},
      {"title": "ours alone", "auroc_mean": 0.5, "accuracy_mean": 0.5, "tuned_accuracy_mean": 0.5, "seeds": 1}]}],
    "label_efficiency": [{"pretraining": "CLIP", "labels": 200, "auroc_mean": 0.8, "auroc_std": 0.02, "seeds": 2},
      {"pretraining": "CLIP", "labels": 50, "auroc_mean": 0.6, "auroc_std": 0.03, "seeds": 2},
      {"pretraining": "none", "labels": 50, "auroc_mean": 0.5, "auroc_std": 0, "seeds": 2}],
    "losses": {"clip": {"image-text": [3, 2, 1]}},
    "collapse": [{"pretraining": "CLIP", "node": "image", "std": 0.93, "effective_rank": 20.5}]})");
  const auto out = root / "report.html";
  require_success(run("report", "--tables " + tables.string() + " --out " + out.string()));
  const auto html = bytes_of(out);
  for (const auto* id : {"figure-paper-1", "figure-label-efficiency", "figure-paper-losses-1", "figure-collapse"})
    CHECK(count(html, std::string{" id=\""} + id + "\"") == 1);
  CHECK_THAT(html, ContainsSubstring("<th scope=\"row\">CLIP</th><td>0.900 ± 0.010</td><td>0.700 ± 0.000</td>"));
  CHECK_THAT(html, ContainsSubstring("<th scope=\"row\">ours alone</th><td>0.500</td><td>–</td>"));
  const auto first = html.find("<title>CLIP: labels 50, AUROC 0.6 ± 0.03</title>");
  CHECK((first != std::string::npos && first < html.find("<title>CLIP: labels 200, AUROC 0.8 ± 0.02</title>")));
}

TEST_CASE("Losses and what tells of a collapse are drawn from a log, also of a run that goes on") {
  const sslmeme::test::TemporaryFolder root;
  const auto folder = root / "dino";
  fs::create_directory(folder);
  root.write("dino/config.json", R"({"trainer": {"seed": 1, "batches_per_epoch": 2}, "method": {"method": "dino"}})");
  nlohmann::json step{{"epoch", 0},
                      {"loss", 2.5},
                      {"learning_rate", 0.1},
                      {"gradient_norm", 3},
                      {"parts", {{"dino", 2.5}, {"teacher_entropy", 1.25}, {"center_norm", 0.5}, {"agreement", 0.75}}}};
  const nlohmann::json skipped{{"step", 3}, {"epoch", 1}, {"skipped", true}, {"note", "no"}};
  const nlohmann::json health{{"deviation", 0.01}, {"effective_rank", 1.5}, {"warning", "student has collapsed"}};
  const nlohmann::json last{{"step", 4}, {"epoch", 1}, {"loss", 2}, {"features", {{"student", health}}}};
  const nlohmann::json metrics{{"step", 4}, {"metrics", {{"knn_accuracy", 0.625}}}};
  std::string lines;
  for (const int number : {1, 2}) {
    step["step"] = number;
    lines += step.dump() + "\n";
  }
  for (const auto& line : {skipped, last, metrics}) lines += line.dump() + "\n";
  const auto log = root.write("dino/log.jsonl", lines);

  for (const auto& [command, id, notes] :
       {std::tuple{"plot_run", "figure-", "1 steps were skipped"},
        std::tuple{"report", "figure-pretraining-1-", "1 of 4 steps were skipped"}}) {
    INFO(command);
    const auto out = root / "out.html";
    require_success(run(command, folder.string() + " --out " + out.string()));
    const auto html = bytes_of(out);
    for (const auto* kind :
         {"loss", "metrics", "deviation", "rank", "entropy", "center", "agreement", "norm", "rate"}) {
      INFO(kind);
      CHECK(count(html, " id=\"" + std::string{id} + kind + "\"") == 1);
    }
    CHECK_THAT(html, ContainsSubstring(notes) && ContainsSubstring("step 4: student has collapsed"));
    CHECK_THAT(html, ContainsSubstring("<title>teacher_entropy: step 1, nats 1.25</title>"));
    CHECK(count(html, "teacher_entropy: step 1, loss") == 0);
  }
  CHECK_THAT(bytes_of(root / "out.html"), ContainsSubstring("dino is not finished: it has 4 steps so far."));

  // As it stands on disk while the run is being trained, or after it was killed.
  std::ofstream{log, std::ios::app} << "{\"step\": 5, \"los";
  require_success(run("plot_run", folder.string() + " --out " + (root / "cut.html").string()));
  CHECK_THAT(bytes_of(root / "cut.html"), ContainsSubstring("step 4: student has collapsed"));

  std::ofstream{log, std::ios::app} << "s\": 1, \"parts\": 7}\n";
  check_one_line(run("plot_run", folder.string()), "plot_run", "log.jsonl:6 is no line of a training log");
  std::ofstream{log} << "";
  check_one_line(run("report", folder.string()), "report", "log.jsonl holds no step yet");
}

TEST_CASE("The entropy of a teacher is drawn over ln K, and a loss of one part once") {
  const sslmeme::test::TemporaryFolder root;
  fs::create_directory(root / "dino");
  root.write("dino/config.json", R"({"trainer": {"seed": 1, "batches_per_epoch": 2}, "method": {"method": "dino"}})");
  nlohmann::json line{{"epoch", 0}, {"loss", 2.5}};
  line["parts"] = {{"dino", 2.5}, {"teacher_entropy", 1.25}, {"teacher_entropy_share", 0.625}};
  std::string lines;
  for (const int number : {1, 2}) {
    line["step"] = number;
    lines += line.dump() + "\n";
  }
  root.write("dino/log.jsonl", lines);
  require_success(run("plot_run", (root / "dino").string() + " --out " + (root / "out.html").string()));
  const auto html = bytes_of(root / "out.html");
  CHECK_THAT(html, ContainsSubstring("<title>teacher_entropy_share: step 1, share of ln K 0.625</title>"));
  CHECK(count(html, "teacher_entropy: step") == 0);
  CHECK_THAT(html, ContainsSubstring("<title>loss: step 1, loss 2.5</title>"));
  CHECK(count(html, "<title>dino: step") == 0);
}

TEST_CASE("In Chromium the report is whole, quiet and readable", "[.browser]") {
  const auto& runs = made_runs();
  std::string expected;
  for (const auto* id : {"figure-table", "figure-tests", "figure-roc", "figure-precision-recall", "figure-calibration",
                         "figure-thresholds", "figure-disagreements", "figure-mistakes-1", "figure-map-1",
                         "figure-finetune-loss", "figure-pretraining-1-rank"})
    expected += std::string{" --expect "} + id;
  const auto outcome = check_report(runs.out + expected);
  if (outcome.code == 77) SKIP(outcome.output);
  INFO(outcome.output);
  CHECK(outcome.code == 0);

  // It would see what is wrong.
  auto html = bytes_of(runs.out);
  html.replace(html.find("<h1>"), 4, "<h1><img src=\"http://example.invalid/x.png\" alt=\"x\">");
  const auto broken = runs.root.write("broken.html", html);
  const auto complaint = check_report(broken.string() + " --expect figure-gone");
  INFO(complaint.output);
  CHECK(complaint.code == 1);
  CHECK_THAT(complaint.output, ContainsSubstring("there is no figure-gone") && ContainsSubstring("console: ") &&
                                   ContainsSubstring("the picture \"x\" is not shown"));
}
