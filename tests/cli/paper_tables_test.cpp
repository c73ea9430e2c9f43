// paper_tables at its smallest: rows, what is kept, what is refused.
#include <sslmeme/nn/weights.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <cmath>
#include <filesystem>
#include <set>
#include <sstream>
#include <string>

#include "cli/programs.hpp"
#include "files.hpp"
#include "json_files.hpp"
#include "support/cli.hpp"
#include "support/paper_results.hpp"

namespace fs = std::filesystem;
using Catch::Matchers::ContainsSubstring;
using sslmeme::test::bytes_of;
using sslmeme::test::check_one_line;
using sslmeme::test::run;

TEST_CASE("paper_tables lists a row for each of the paper's, controls and label counts") {
  const auto listed = run("paper_tables", "--scale paper --beyond --list");
  REQUIRE(listed.code == 0);
  std::set<std::string> keys;
  std::istringstream lines{listed.output};
  for (std::string line; std::getline(lines, line);) CHECK(keys.insert(line).second);
  for (const std::string table : {"table1", "table2"}) {
    for (const std::string method : {"supervised", "cass", "dino"}) {
      CHECK(keys.contains(table + "-" + method + "-224"));
      CHECK(keys.contains(table + "-" + method + "-384"));
    }
  }
  for (const auto* key : {"table3-clip", "table3-cass_mm-vit", "table3-cass_mm-cnn", "controls-picture",
                          "controls-words", "controls-both-cnn", "labels-none-50", "labels-clip-200",
                          "labels-cass-1000", "labels-dino-all", "labels-cass_mm-50", "fusion-clip-cmaf"})
    CHECK(keys.contains(key));
}

TEST_CASE("paper_tables measures rows, goes on where it was, and takes no other options in the same folder") {
  const sslmeme::test::TemporaryFolder folder;
  const auto out = (folder.path / "tables").string();
  const auto tables = [&](const std::string& more) { return run("paper_tables", "--scale tiny --out " + out + more); };

  const auto first = tables(" --only table3-cass_mm,labels-clip-50");
  INFO(first.output);
  REQUIRE(first.code == 0);
  CHECK_THAT(first.output, ContainsSubstring("CASS-MM (ResNet)") && ContainsSubstring("0.552 ± 0.050") &&
                               ContainsSubstring("figures: " + out + "/results.json"));
  const auto results = sslmeme::test::json_of(fs::path{out} / "results.json");
  REQUIRE(results.at("tables").size() == 1);
  const auto& rows = results.at("tables").at(0).at("rows");
  REQUIRE(rows.size() == 2);
  CHECK(rows.at(1).at("published").at("accuracy_mean") == 0.5817);
  CHECK(rows.at(0).at("seeds") == 1);
  REQUIRE(results.at("label_efficiency").size() == 2);  // 50 labels, and all of CASS-MM's row
  CHECK(results.at("losses").at("pretrain-cass_mm").contains("cnn-vit"));
  CHECK(results.at("collapse").size() == 5);  // cnn, vit, text; image, text

  const auto fit = fs::path{out} / "seed-0/table3-cass_mm-vit";
  const auto predictions = bytes_of(fit / "predictions/test_seen.jsonl");
  const auto when = fs::last_write_time(fit / "model.safetensors");
  const auto more = tables(" --only table3-cass_mm,controls-words");
  INFO(more.output);
  REQUIRE(more.code == 0);
  CHECK(fs::last_write_time(fit / "model.safetensors") == when);
  const auto both = sslmeme::test::json_of(fs::path{out} / "results.json");
  REQUIRE(both.at("tables").size() == 2);
  CHECK(both.at("tables").at(0).at("rows") == rows);
  CHECK(both.at("tables").at(1).at("rows").at(0).at("classifier") == "controls-words");
  CHECK(both.at("label_efficiency") == results.at("label_efficiency"));  // not asked for again, still there
  CHECK(both.at("losses").contains("pretrain-clip"));

  sslmeme::remove_tree(fit);  // as if it had been interrupted there
  REQUIRE(tables(" --only table3-cass_mm-vit").code == 0);
  CHECK(bytes_of(fit / "predictions/test_seen.jsonl") == predictions);

  check_one_line(tables(" --bf16 --only table3-cass_mm"), "paper_tables", "holds rows of other options");
  check_one_line(tables(" --only table4"), "paper_tables", "no row begins with \"table4\"");
  check_one_line(tables(" --only fusion"), "paper_tables", "are there with --beyond alone");
  check_one_line(tables(" --only labels-clip-200"), "paper_tables", "no row begins with");  // of 160 memes
  CHECK_THAT(run("paper_tables", "--scale tiny --list").output,
             ContainsSubstring("labels-clip-50") && !ContainsSubstring("labels-clip-200"));
  check_one_line(run("paper_tables", "--scale paper --out " + out + "2"), "paper_tables", "needs --data");
  CHECK_FALSE(fs::exists(out + "2"));
  check_one_line(run("paper_tables", "--scale tiny --out " + folder.path.string()), "paper_tables",
                 "was not made by paper_tables");
  for (const auto* wrong : {"--test nope", "--dev unlabelled", "--vocab nowhere.txt"})
    check_one_line(run("paper_tables", "--scale tiny --out " + out + "3 " + wrong), "paper_tables", wrong);
  CHECK_FALSE(fs::exists(out + "3"));
  check_one_line(run("paper_tables", "--scale tiny --overwrite --data " + out + "/memes --out " + out), "paper_tables",
                 "--overwrite would delete --data");
  CHECK(bytes_of(fit / "predictions/test_seen.jsonl") == predictions);
}

TEST_CASE("paper_tables begins with weights, and says what does not fit before it writes anything") {
  const sslmeme::test::TemporaryFolder folder;
  const auto data = (folder.path / "memes").string(), out = (folder.path / "tables").string();
  REQUIRE(run("make_memes", data + " --count 60 --dev 8 --test 8 --dev-unseen 4 --test-unseen 4 --size 32").code == 0);
  const auto vocab = folder.write("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\nlove\n").string();
  const auto text_weights = [&](const char* name, const std::string& encoder, std::int64_t words) {
    const auto path = folder.path / name;
    sslmeme::save_pretrained(path, *examples::parse_text_encoder(encoder, {.vocabulary_size = words, .seed = 9}));
    return " --text-weights " + path.string();
  };
  const auto tables = [&](const std::string& scale, const std::string& more) {
    return run("paper_tables", "--scale " + scale + " --only controls-words --data " + data + " --out " + out + more);
  };
  const auto words = " --vocab " + vocab;
  const auto fits = text_weights("fits.safetensors", "minilm_l6:width=48,depth=1,max_tokens=24", 7);

  check_one_line(tables("tiny", fits), "paper_tables", "without --vocab");
  check_one_line(
      tables("tiny", text_weights("wide.safetensors", "minilm_l6:width=60,depth=1,max_tokens=24", 7) + words),
      "paper_tables", "wide.safetensors");
  check_one_line(
      tables("tiny", text_weights("more.safetensors", "minilm_l6:width=48,depth=1,max_tokens=24", 8) + words),
      "paper_tables", "more.safetensors");
  check_one_line(tables("paper", words), "paper_tables", "give --text-weights FILE for distilbert, or --from-scratch");
  check_one_line(run("paper_tables", "--scale paper --only table2-cass --data " + data + " --out " + out),
                 "paper_tables", "give --cnn-weights FILE for resnet50");
  CHECK_FALSE(fs::exists(out));

  // A published DistilBERT has 512 positions, more than texts are long here; it is the folder that is refused.
  const auto distilbert = text_weights("distilbert.safetensors", "distilbert", 7);
  const auto in_use = run("paper_tables", "--scale paper --only controls-words --data " + data + " --out " +
                                              folder.path.string() + distilbert + words);
  CHECK(in_use.code == 1);
  CHECK_THAT(in_use.output, ContainsSubstring("100 tensors from hugging_face") &&
                                ContainsSubstring("paper_tables: " + folder.path.string() + " was not made"));

  const auto trained = tables("tiny", fits + words);
  INFO(trained.output);
  REQUIRE(trained.code == 0);
  CHECK_THAT(trained.output, ContainsSubstring("weights=" + (folder.path / "fits.safetensors").string()));
  const auto fresh_out = (folder.path / "fresh").string();
  REQUIRE(
      run("paper_tables", "--scale tiny --only controls-words --data " + data + words + " --out " + fresh_out).code ==
      0);
  const auto model = [](const std::string& tables) {
    return bytes_of(fs::path{tables} / "seed-0/controls-words/model.safetensors");
  };
  CHECK((model(out) != model(fresh_out)));
}

TEST_CASE("The margin of both modalities over one is that of the worst row over the best") {
  auto plan = examples::paper_plan({.scale = "tiny"});
  examples::PaperFigures figures;
  for (const auto& fit : plan.experiment.classifiers)
    figures.classifiers[fit.key] = {.model = fit.title, .auroc = {0.5, 0, 1}};
  figures.classifiers.at("table3-clip").auroc.mean = 0.95;
  figures.classifiers.at("table3-cass_mm-vit").auroc.mean = 0.9;
  figures.classifiers.at("table3-cass_mm-cnn").auroc.mean = 0.99;
  figures.classifiers.at("controls-words").auroc.mean = 0.52;
  figures.classifiers.at("controls-both-cnn").auroc.mean = 0.98;  // no row of one modality
  const auto margin = examples::modality_margin(plan, figures);
  REQUIRE(margin);
  CHECK(std::abs(*margin - 0.38) < 1e-12);
  CHECK_FALSE(examples::modality_margin(examples::paper_plan({.scale = "tiny", .only = {"controls"}}), figures));
  CHECK_FALSE(examples::modality_margin(examples::paper_plan({.scale = "tiny", .only = {"table3"}}), figures));
}

TEST_CASE("paper_tables trains every method and head, and report shows what came out") {
  const sslmeme::test::TemporaryFolder folder;
  const auto out = (folder.path / "tables").string();
  const auto outcome =
      run("paper_tables", "--scale tiny --beyond --out " + out +
                              " --only table1-cass-32,table2-dino-48,fusion-clip-rgcl,compute,labels-none");
  INFO(outcome.output);
  REQUIRE(outcome.code == 0);
  CHECK_THAT(outcome.output, ContainsSubstring("AUROC and accuracy on test_seen of ") &&
                                 ContainsSubstring("Labels of train; pre-trained on unlabelled") &&
                                 !ContainsSubstring("the worst row of table 3"));  // not all rows are there
  const auto results = sslmeme::test::json_of(fs::path{out} / "results.json");
  CHECK(results.at("unlabelled") == "unlabelled");
  std::set<std::string> keys, fits;
  for (const auto& table : results.at("tables")) {
    for (const auto& row : table.at("rows")) {
      const auto key = row.at("classifier").get<std::string>();
      keys.insert(key);
      CHECK(row.contains("vote_auroc_mean") == (key.find("rgcl") != std::string::npos));
    }
  }
  CHECK_THAT(outcome.output, ContainsSubstring("AUROC by vote"));
  CHECK((keys == std::set<std::string>{"table1-cass-32", "table2-dino-48", "fusion-clip-rgcl", "compute-clip",
                                       "table3-cass_mm-vit", "compute-cass_mm_reference", "controls-both-vit",
                                       "fusion-clip-rgcl-tuned"}));
  for (const auto& fit : results.at("pretrainings")) {
    fits.insert(fit.at("fit"));
    CHECK(fit.at("seconds") > 0);
  }
  CHECK((fits == std::set<std::string>{"pretrain-cass-32", "pretrain-dino-vit-48", "pretrain-clip",
                                       "pretrain-clip-longer", "pretrain-cass_mm", "pretrain-cass_mm_reference"}));
  CHECK(fs::exists(fs::path{out} / "seed-0/compute-clip/scorer.json"));

  // It is the unlabelled memes that were pre-trained on: from others, with the same seed, come other weights.
  const auto other = (folder.path / "other").string();
  REQUIRE(run("paper_tables", "--scale tiny --unlabelled train --only labels-clip-50 --out " + other).code == 0);
  const auto clip = [](const std::string& tables) {
    return bytes_of(fs::path{tables} / "seed-0/pretrain-clip/model.safetensors");
  };
  CHECK((clip(other) != clip(out)));

  const auto page = (folder.path / "tables.html").string();
  REQUIRE(run("report", "--tables " + out + "/results.json --out " + page).code == 0);
  CHECK_THAT(bytes_of(page), ContainsSubstring("id=\"figure-label-efficiency") &&
                                 ContainsSubstring("CASS-MM (pretrain-cass_mm)") &&
                                 ContainsSubstring("CNN – transformer") && ContainsSubstring("transformer – words") &&
                                 ContainsSubstring("id=\"figure-collapse"));
  const auto in_browser = sslmeme::test::run_command(SSLMEME_SCRIPTS "/check_report " + page +
                                                     " --expect figure-label-efficiency --expect figure-paper-1 "
                                                     "--expect figure-paper-losses-1 --expect figure-collapse");
  INFO(in_browser.output);
  CHECK((in_browser.code == 0 || in_browser.code == 77));  // 77: no Chromium here
}
