// report: runs side by side as one HTML file that opens without network: figures, curves, thresholds, mistakes, maps.
#include <sslmeme/core/error.hpp>
#include <sslmeme/eval/report.hpp>

#include "support/cli.hpp"
#include "support/run_report.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

namespace {

using namespace examples;

struct Arguments {
  std::vector<std::string> runs;
  std::string out = "report.html";
  RunReportOptions report;
  bool quick = false;
};

void add_options(CLI::App& app, Arguments& a) {
  app.add_option("runs", a.runs,
                 "run directories of finetune (figures, curves, mistakes) and of pre-trainings (losses and collapse "
                 "monitors), each as RUN or NAME=RUN; runs that differ in their seed alone become one row");
  app.add_option("--out", a.out, "HTML file")->capture_default_str();
  app.add_option("--title", a.report.title, "heading; without it the name of the model, or how many there are");
  app.add_option("--tables", a.report.tables, "results.json of paper_tables: its tables and label-efficiency curves");
  app.add_option("--mistakes", a.report.mistakes, "memes shown of a model, and memes on which models disagree; 0 none")
      ->capture_default_str();
  app.add_option("--models", a.report.models, "so many models, best first, have mistakes and a map of their own")
      ->capture_default_str();
  app.add_option("--map", a.report.map_memes, "memes on an embedding map, at most 2000; 0 no maps")
      ->check(CLI::Range(0, 2000))
      ->capture_default_str();
  app.add_flag("--quick", a.quick, "run no classifier: no reasons and no maps");
  app.add_option("--resamples", a.report.resamples, "draws of the bootstrap")
      ->check(CLI::Range(2, 100'000))
      ->capture_default_str();
  app.add_option("--seed", a.report.seed, "of the bootstrap and of the memes on a map")->capture_default_str();
  app.footer(
      "Example:\n  report CLIP=runs/clip-0 CLIP=runs/clip-1 none=runs/none-0 runs/pretraining --out report.html");
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Compares runs in one HTML file that needs no network.", "report"};
  Arguments a;
  add_options(app, a);
  return run_program(app, argc, argv, [&] {
    if (a.runs.empty() && a.report.tables.empty())
      throw sm::InvalidArgument("nothing to report: give run directories, or --tables");
    check_output_file(a.out);
    if (a.quick) {
      a.report.reasons = false;
      a.report.map_memes = 0;
    }
    a.report.progress = [](const std::string& what) { std::cerr << what << '\n'; };
    const auto report = report_of(read_runs(a.runs), a.report);
    sm::write_report(a.out, report);
    if (!report.rows.empty()) std::cout << sm::terminal_table(report.rows);
    std::cout << a.out << '\n';
  });
}
