// paper_tables: every row of the paper's three tables, controls and label-efficiency curves, at one of three scales.
#include <sslmeme/core/error.hpp>
#include <sslmeme/core/files.hpp>

#include "made_memes/made_memes.hpp"
#include "support/cli.hpp"
#include "support/experiment.hpp"
#include "support/paper_plan.hpp"
#include "support/paper_results.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <filesystem>
#include <iostream>
#include <thread>
#include <tuple>

namespace {

using namespace examples;
namespace fs = std::filesystem;

struct Arguments {
  PaperOptions paper;
  DataArguments data;
  std::string out, train = "train", dev = "dev_seen", test = "test_seen", pool, device = "cpu", vocabulary;
  int seeds = 0, jobs = 0;
  bool bf16 = false, overwrite = false, list = false, from_scratch = false;
  bool made = false;  ///< the memes are made here
};

void add_options(CLI::App& app, Arguments& a) {
  app.add_option("--scale", a.paper.scale, "tiny (minutes), small (half an hour), paper (a GPU, or days)")
      ->check(CLI::IsMember({"tiny", "small", "paper"}))
      ->capture_default_str();
  app.add_option("--out", a.out, "folder of all runs; what is complete there is not run again");
  app.add_option("--data", a.data.data, "folder of memes; without it tiny and small make their own");
  a.data.add_layout_to(app);
  app.add_option("--train", a.train, "split to learn from")->capture_default_str();
  app.add_option("--dev", a.dev, "split to tune thresholds on")->capture_default_str();
  app.add_option("--test", a.test, "split to measure")->capture_default_str();
  app.add_option("--unlabelled", a.pool,
                 "split to pre-train on, without its labels [--train; of memes made here: unlabelled]");
  app.add_option("--only", a.paper.only, "run only rows whose keys begin so, e.g. table3,labels-clip; see --list")
      ->delimiter(',');
  app.add_flag("--list", a.list, "print the keys of all rows and end");
  app.add_flag("--beyond", a.paper.beyond, "also fusion heads, equal compute and what collapses");
  app.add_option("--seeds", a.seeds, "runs of each row [tiny 1, small 2, paper 3]")->check(CLI::Range(1, 64));
  app.add_option("--jobs", a.jobs, "seeds that run side by side [as many as there are cores; 1 on a GPU]")
      ->check(CLI::PositiveNumber);
  app.add_option("--device", a.device, "cpu, cuda, cuda:1")->capture_default_str();
  app.add_flag("--bf16", a.bf16, "encoders run in bfloat16");
  app.add_option("--cnn-weights", a.paper.cnn_weights, "safetensors file for ResNet-50 (timm, torchvision)");
  app.add_option("--vit-weights", a.paper.vit_weights, "safetensors file for ViT-B/16 (timm)");
  app.add_option("--text-weights", a.paper.text_weights, "safetensors file for DistilBERT (transformers)");
  app.add_option("--vocab", a.vocabulary, "WordPiece vocab.txt of --text-weights; without it one is trained");
  app.add_flag("--from-scratch", a.from_scratch, "--scale paper without weights, which is not what the paper did");
  app.add_flag("--overwrite", a.overwrite, "delete what is in --out");
  app.footer(
      "Examples:\n  paper_tables --scale small --out runs/tables\n  paper_tables --scale paper --data hateful_memes "
      "--out "
      "runs/paper --device cuda --bf16 --cnn-weights resnet50.safetensors --vit-weights vit_base.safetensors "
      "--text-weights distilbert.safetensors --vocab vocab.txt");
}

int cores() {
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

/// What decides the figures; a folder with other figures is not gone on with.
std::string fingerprint(const Arguments& a) {
  return nlohmann::ordered_json{
             {"scale", a.paper.scale},
             {"data", fs::absolute(a.data.data).lexically_normal().string()},
             {"layout", a.data.layout},
             {"columns", {a.data.columns.id, a.data.columns.picture, a.data.columns.text, a.data.columns.label}},
             {"label_names", a.data.label_names},
             {"splits", {a.train, a.dev, a.test, a.pool}},
             {"device", a.device},
             {"bf16", a.bf16},
             {"weights", {a.paper.cnn_weights, a.paper.vit_weights, a.paper.text_weights}},
             {"vocabulary", a.vocabulary}}
             .dump(2) +
         "\n";
}

void prepare_folder(const Arguments& a) {
  if (a.overwrite && fs::exists(fs::path{a.out} / "plan.json")) sm::remove_tree(a.out);
  if (fs::exists(a.out) && !fs::is_empty(a.out) && !fs::exists(fs::path{a.out} / "plan.json"))
    throw sm::InvalidArgument(fmt::format("{} was not made by paper_tables: choose another --out", a.out));
  sm::make_directory(a.out);
}

/// Without --data, tiny and small have memes of their own in --out.
void choose_data(Arguments& a) {
  if (!a.data.data.empty()) return;
  if (made_memes_of(a.paper.scale) == 0)
    throw sm::InvalidArgument("--scale paper needs --data: a folder in the layout of Hateful Memes");
  a.data.data = (fs::absolute(a.out) / "memes").string();
  a.data.layout = "memes";
  a.made = true;
  if (a.pool.empty()) a.pool = "unlabelled";
}

void make_own_memes(const Arguments& a) {
  if (!a.made || fs::exists(a.data.data)) return;
  const auto train = made_memes_of(a.paper.scale);
  std::cerr << "making " << train << " memes\n";
  const auto some = std::min(train / 2, 400);
  sm::make_memes(a.data.data, {.train = train,
                               .dev_seen = some,
                               .test_seen = std::min(train / 2, 800),
                               .dev_unseen = some,
                               .test_unseen = some,
                               .unlabelled = train,
                               .size = 64});
}

/// Writes the plan's fingerprint, or compares it with the one that is there.
void check_plan(const Arguments& a) {
  const auto file = fs::path{a.out} / "plan.json";
  const auto now = fingerprint(a);
  if (!fs::exists(file)) {
    sm::write_atomically(file, now);
  } else if (sm::read_file(file) != now) {
    throw sm::InvalidArgument(
        fmt::format("{} holds rows of other options ({}): choose another --out, give the same options, or --overwrite",
                    a.out, file.string()));
  }
}

/// Tells the plan how many labels there are.
void count_labels(Arguments& a) {
  const auto train = a.data.open(a.train);
  std::array<std::int64_t, 2> of_class{};
  for (std::size_t i = 0; i < train.size(); ++i) {
    const auto label = train.label(i).value_or(-1);
    if (label == 0 || label == 1) ++of_class[static_cast<std::size_t>(label)];
  }
  a.paper.memes = static_cast<std::int64_t>(train.size());
  a.paper.most_labels = 2 * std::min(of_class[0], of_class[1]);
}

/// The same of memes that are still to be made.
void foresee_labels(Arguments& a) {
  a.paper.memes = a.paper.most_labels = made_memes_of(a.paper.scale);
}

void check_made_splits(const Arguments& a) {
  static constexpr std::array made{"train", "dev_seen", "test_seen", "dev_unseen", "test_unseen", "unlabelled"};
  for (const auto& [option, split] : {std::pair{"--train", a.train}, std::pair{"--dev", a.dev},
                                      std::pair{"--test", a.test}, std::pair{"--unlabelled", a.pool}}) {
    const bool labels_wanted = option != std::string{"--unlabelled"};
    if (std::ranges::find(made, split) == made.end() || (labels_wanted && split == "unlabelled")) {
      throw sm::InvalidArgument(fmt::format("{} {}: memes made here have no such split{}; they have {}", option, split,
                                            labels_wanted ? " with labels" : "", fmt::join(made, ", ")));
    }
  }
}

void require_file(const char* option, const std::string& file) {
  if (!file.empty() && !fs::is_regular_file(file))
    throw sm::InvalidArgument(fmt::format("{} {}: there is no such file", option, file));
}

bool lies_in(const fs::path& inner, const fs::path& outer) {
  const auto a = fs::weakly_canonical(inner), b = fs::weakly_canonical(outer);
  return std::ranges::mismatch(b, a).in1 == b.end();
}

PaperPlan plan_of(Arguments& a) {
  auto plan = paper_plan(a.paper);
  plan.seeds = a.seeds > 0 ? a.seeds : a.paper.scale == "tiny" ? 1 : a.paper.scale == "small" ? 2 : 3;
  const bool on_cpu = a.device == "cpu";
  if (a.jobs == 0) a.jobs = on_cpu ? std::min(plan.seeds, cores()) : 1;
  auto& e = plan.experiment;
  e.out = a.out;
  e.data = a.data;
  e.train = a.train;
  e.dev = a.dev;
  e.test = a.test;
  e.pool = a.pool;
  e.vocabulary = a.vocabulary;
  e.device = a.device;
  e.precision = a.bf16 ? sm::Precision::bf16 : sm::Precision::fp32;
  const bool large = a.paper.scale == "paper";  // small networks lose time to a second thread
  e.threads = large ? std::max(1, cores() / a.jobs) : 1;
  e.workers = on_cpu ? 1 : std::max(1, cores() / a.jobs - 1);
  e.checkpoints = large;
  return plan;
}

/// Throws for weights that the scale wants and are not given, and for weights that do not fit.
void check_weights(const Arguments& a, const Experiment& experiment) {
  require_file("--cnn-weights", a.paper.cnn_weights);
  require_file("--vit-weights", a.paper.vit_weights);
  require_file("--text-weights", a.paper.text_weights);
  require_file("--vocab", a.vocabulary);
  if (!a.paper.text_weights.empty() && a.vocabulary.empty()) {
    throw sm::InvalidArgument(fmt::format(
        "--text-weights {} without --vocab: give the vocab.txt that they were trained with", a.paper.text_weights));
  }
  const auto used = used_encoders(experiment);
  for (const auto& [is_used, option, file, encoder] :
       {std::tuple{used.cnn, "--cnn-weights", a.paper.cnn_weights, experiment.cnn},
        std::tuple{used.vit, "--vit-weights", a.paper.vit_weights, experiment.vit},
        std::tuple{used.text, "--text-weights", a.paper.text_weights, experiment.text}}) {
    if (a.paper.scale != "paper" || a.from_scratch || !is_used || !file.empty()) continue;
    throw sm::InvalidArgument(fmt::format(
        "--scale paper begins with published weights, as the paper did: give {} FILE for {}, or --from-scratch", option,
        encoder));
  }
  run_apart([&] { check_encoders(experiment); });
}

/// Throws for options that cannot work, before anything is written or deleted.
void check_options(Arguments& a) {
  if (a.made) {
    check_made_splits(a);
    foresee_labels(a);
  } else {
    count_labels(a);
    open_splits(a.data, a.dev, a.test);
    if (!a.pool.empty()) a.data.open(a.pool);
    if (a.overwrite && lies_in(a.data.data, a.out)) {
      throw sm::InvalidArgument(fmt::format(
          "--overwrite would delete --data {}, which lies in --out {}: choose another --out", a.data.data, a.out));
    }
  }
  check_weights(a, plan_of(a).experiment);
}

/// How long the runs took that filled the folder so far.
double seconds_before(const fs::path& results) {
  if (!fs::exists(results)) return 0;
  const auto json = nlohmann::json::parse(sm::read_file(results), nullptr, /*allow_exceptions=*/false);
  return json.is_object() ? json.value("seconds", 0.0) : 0;
}

/// Names the rows that some of the seeds have, and not all.
std::string seeds_missing(const PaperPlan& whole, const PaperPlan& complete) {
  const auto measured = keys_of(complete);
  std::vector<std::string> keys;
  for (const auto& key : keys_of(whole)) {
    if (std::ranges::find(measured, key) != measured.end()) continue;
    for (int seed = 0; seed < whole.seeds; ++seed) {
      if (!fs::exists(fit_folder(whole.experiment, seed, key) / "scorer.json")) continue;
      keys.push_back(key);
      break;
    }
  }
  if (keys.empty()) return {};
  return fmt::format("Left out, since not all {} seeds of them are there (--only runs them): {}\n", whole.seeds,
                     fmt::join(keys, " "));
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Every row of the paper's tables, beside the published figures.", "paper_tables"};
  Arguments a;
  add_options(app, a);

  return run_program(app, argc, argv, [&] {
    if (a.list) {
      if (a.data.data.empty() && made_memes_of(a.paper.scale) > 0) foresee_labels(a);
      for (const auto& key : keys_of(paper_plan(a.paper))) std::cout << key << '\n';
      return;
    }
    if (a.out.empty()) throw sm::InvalidArgument("--out is missing: name the folder of all runs");
    choose_data(a);
    check_options(a);
    prepare_folder(a);
    check_plan(a);
    make_own_memes(a);
    if (a.made) count_labels(a);
    auto plan = plan_of(a);
    const auto began = std::chrono::steady_clock::now();
    run_seed_processes(
        plan.seeds, [&](int seed, SeedProgress& progress) { run_seed(plan.experiment, seed, progress); }, a.jobs);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - began;
    const auto results = fs::path{a.out} / "results.json";
    const auto total = seconds.count() + seconds_before(results);
    // Rows of earlier runs in the folder stay in its tables.
    a.paper.only.clear();
    a.paper.beyond = true;
    const auto whole = plan_of(a);
    plan = complete_part(whole);
    const auto figures = read_figures(plan);
    sm::write_atomically(results, paper_json(plan, figures, a.paper.scale, total));
    std::cout << paper_text(plan, figures) << seeds_missing(whole, plan)
              << fmt::format("{:.0f} s, {:.0f} s with earlier runs; figures: {}\n", seconds.count(), total,
                             results.string());
  });
}
