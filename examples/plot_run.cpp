// plot_run: curves of any run directory as one HTML file that opens without network.
#include <sslmeme/core/error.hpp>
#include <sslmeme/core/files.hpp>
#include <sslmeme/eval/report.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <fstream>
#include <iostream>

#include "support/cli.hpp"

namespace {

using Json = nlohmann::json;
namespace sm = sslmeme;
namespace fs = std::filesystem;

constexpr std::size_t most_points = 400;  // more than a screen shows

/// Curves by name, in the order in which names turn up.
class Curves {
 public:
  void add(const std::string& name, double x, const Json& value) {
    if (!value.is_number()) return;
    auto found = std::find_if(curves_.begin(), curves_.end(), [&](const auto& curve) { return curve.name == name; });
    if (found == curves_.end()) found = curves_.insert(curves_.end(), {name, {}, {}});
    found->epoch.push_back(x);
    found->value.push_back(value.get<double>());
  }

  /// Neighbours are averaged where there are too many points to see.
  std::vector<sm::LossCurve> thinned() const {
    auto all = curves_;
    for (auto& curve : all) {
      const auto together = (curve.value.size() + most_points - 1) / most_points;
      sm::LossCurve thin{curve.name, {}, {}};
      for (std::size_t begin = 0; together > 1 && begin < curve.value.size(); begin += together) {
        const auto end = std::min(begin + together, curve.value.size());
        double x = 0, y = 0;
        for (auto i = begin; i < end; ++i) {
          x += curve.epoch[i];
          y += curve.value[i];
        }
        thin.epoch.push_back(x / static_cast<double>(end - begin));
        thin.value.push_back(y / static_cast<double>(end - begin));
      }
      if (together > 1) curve = std::move(thin);
    }
    return all;
  }
  bool empty() const { return curves_.empty(); }

 private:
  std::vector<sm::LossCurve> curves_;
};

sm::Report report_of(const fs::path& run) {
  std::ifstream log{run / "log.jsonl"};
  if (!log) throw sm::IoError((run / "log.jsonl").string() + " cannot be read: is this a run directory?");
  Curves loss, metrics, rate, norm, deviation, rank, speed, wait, memory;
  std::int64_t steps = 0, skipped = 0, number = 0;
  for (std::string line; std::getline(log, line);) {
    ++number;
    const auto json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object() || !json.contains("step")) {
      throw sm::DataError((run / "log.jsonl").string() + ":" + std::to_string(number) +
                          " is no line of a training log");
    }
    const auto step = json["step"].get<double>();
    if (json.contains("metrics")) {
      for (const auto& [name, value] : json["metrics"].items()) metrics.add(name, step, value);
      continue;
    }
    ++steps;
    if (json.contains("skipped")) {
      ++skipped;
      continue;
    }
    loss.add("loss", step, json.value("loss", Json{}));
    const auto parts = json.value("parts", Json::object());
    for (const auto& [name, value] : parts.items()) {
      if (parts.size() > 1) loss.add(name, step, value);
    }
    rate.add("learning rate", step, json.value("learning_rate", Json{}));
    norm.add("gradient norm", step, json.value("gradient_norm", Json{}));
    speed.add("samples a second", step, json.value("samples_per_second", Json{}));
    wait.add("share", step, json.value("data_wait_share", Json{}));
    memory.add("resident", step, json.value("resident_mb", Json{}));
    const auto features = json.value("features", Json::object());
    for (const auto& [node, health] : features.items()) {
      deviation.add(node, step, health.value("deviation", Json{}));
      rank.add(node, step, health.value("effective_rank", Json{}));
    }
  }
  if (steps == 0) throw sm::DataError((run / "log.jsonl").string() + " holds no step yet");

  sm::Report report{.title = "Run " + fs::absolute(run).lexically_normal().filename().string(),
                    .subtitle = std::to_string(steps) + " steps",
                    .config = sm::read_file(run / "config.json")};
  if (skipped > 0)
    report.notes.push_back(std::to_string(skipped) + " steps were skipped: their loss or gradient was not finite.");
  const auto chart = [&](const char* id, const char* title, const char* caption, const char* unit,
                         const Curves& curves) {
    if (!curves.empty()) report.charts.push_back({id, title, caption, "step", unit, curves.thinned()});
  };
  chart("figure-loss", "Loss", "The loss of each step, and its parts where there are several.", "loss", loss);
  chart("figure-metrics", "Metrics", "Measured at the ends of epochs.", "value", metrics);
  chart("figure-deviation", "Spread of the features",
        "Deviation of the normalised features times √d: near 1 spread, 0 collapsed.", "deviation", deviation);
  chart("figure-rank", "Effective rank", "How many directions the features really use.", "rank", rank);
  chart("figure-norm", "Gradient", "Norm of all gradients together, before clipping.", "norm", norm);
  chart("figure-rate", "Learning rate", "Of parameters without a rule of their own.", "rate", rate);
  chart("figure-speed", "Speed", "Since the beginning of each epoch, waiting for data included.", "samples/s", speed);
  chart("figure-wait", "Waiting for data", "Part of each epoch's time; near 0 the loader keeps up.", "share", wait);
  chart("figure-memory", "Memory", "Main memory that the process holds.", "MB", memory);
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
    sm::write_report(path, report_of(run));
    std::cout << path.string() << '\n';
  });
}
