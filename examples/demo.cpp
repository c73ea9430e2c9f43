// demo: makes memes, pre-trains CLIP and CASS-MM without labels, fine-tunes six classifiers, prints the table and
// writes the report.
#include "made_memes/made_memes.hpp"
#include "support/cli.hpp"
#include "support/demo_report.hpp"

#include <sslmeme/core/error.hpp>
#include <sslmeme/core/files.hpp>

#include <fmt/format.h>

#include <chrono>
#include <filesystem>
#include <iostream>

namespace {

using namespace examples;

/// A used directory is refused, entered or deleted, as the person asked.
void prepare(const DemoOptions& options, bool resume, bool overwrite) {
  if (std::filesystem::exists(options.out) && !std::filesystem::is_empty(options.out) && !resume) {
    if (!overwrite)
      throw sm::InvalidArgument(fmt::format(
          "{} holds a run already: choose another --out, --resume it or --overwrite it", options.out.string()));
    if (!std::filesystem::exists(options.out / "memes")) {
      throw sm::InvalidArgument(fmt::format("{} was not made by demo: choose another --out", options.out.string()));
    }
    sm::remove_tree(options.out);
  }
  sm::make_directory(options.out);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Trains CASS-MM, CLIP and supervised baselines on made memes and compares them.", "demo"};
  DemoOptions options;
  sm::MakeMemesOptions memes{.size = 64};
  int seeds = 2;
  bool resume = false, overwrite = false;
  app.add_option("--out", options.out, "run directory")->capture_default_str();
  app.add_option("--memes", memes.train, "memes to train on; a multiple of four")->capture_default_str();
  app.add_option("--seeds", seeds, "seeds to average over, run side by side")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  app.add_option("--pretrain-epochs", options.pretrain_epochs)->capture_default_str();
  app.add_option("--finetune-epochs", options.finetune_epochs)->capture_default_str();
  auto* go_on = app.add_flag("--resume", resume, "go on where an earlier demo in --out ended");
  app.add_flag("--overwrite", overwrite, "delete an earlier demo in --out")->excludes(go_on);
  app.footer("Example:\n  demo --out runs/demo --overwrite");

  return run_program(app, argc, argv, [&] {
    prepare(options, resume, overwrite);
    if (!std::filesystem::exists(options.out / "memes")) {
      memes.unlabelled = memes.train;
      std::cerr << "making " << memes.train << " labelled and as many unlabelled memes\n";
      sm::make_memes(std::filesystem::absolute(options.out / "memes"), memes);
    }
    if (!std::filesystem::exists(options.out / "memes" / "unlabelled.jsonl")) {
      throw sm::InvalidArgument(
          fmt::format("{} is of a demo that had no unlabelled memes: --overwrite it, or choose another --out",
                      options.out.string()));
    }
    const auto began = std::chrono::steady_clock::now();
    const auto demo = demo_experiment(options);
    run_seed_processes(seeds, [&](int seed, SeedProgress& progress) { run_seed(demo, seed, progress); });
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - began;

    const auto report = demo_report(demo, seeds, seconds.count());
    std::cout << sm::terminal_table(report.rows)
              << fmt::format("trained in {:.0f} s; report: {}\n", seconds.count(),
                             (options.out / "report.html").string());
    sm::write_atomically(options.out / "results.json", sm::results_json(report.rows, seconds.count()) + "\n");
    sm::write_report(options.out / "report.html", report);
  });
}
