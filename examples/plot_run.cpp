// plot_run: curves of any run directory as one HTML file that opens without network.
#include <sslmeme/core/files.hpp>
#include <sslmeme/eval/report.hpp>

#include "support/cli.hpp"
#include "support/run_curves.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <iostream>

namespace {

namespace sm = sslmeme;
namespace fs = std::filesystem;

sm::Report report_of(const fs::path& run) {
  const auto curves = examples::read_curves(run);
  sm::Report report{.title = "Run " + fs::absolute(run).lexically_normal().filename().string(),
                    .subtitle = fmt::format("{} steps", curves.steps),
                    .charts = examples::charts_of(curves),
                    .config = sm::read_file(run / "config.json")};
  for (const auto& [node, warning] : curves.warnings) report.notes.push_back(warning);
  if (curves.skipped > 0)
    report.notes.push_back(
        fmt::format("{} steps were skipped: their loss or gradient was not finite.", curves.skipped));
  return report;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Draws the curves of a run directory, finished or not, as one HTML file.", "plot_run"};
  std::string run, out;
  app.add_option("run", run, "run directory")->required();
  app.add_option("--out", out, "HTML file [RUN/report.html]");
  app.footer("Example:\n  plot_run runs/cass");
  return examples::run_program(app, argc, argv, [&] {
    const fs::path path = out.empty() ? fs::path{run} / "report.html" : fs::path{out};
    if (!out.empty()) examples::check_output_file(path);
    sm::write_report(path, report_of(run));
    std::cout << path.string() << '\n';
  });
}
