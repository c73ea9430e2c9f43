#include "support/run_curves.hpp"

#include <sslmeme/core/error.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <fstream>

namespace examples {
namespace {

using Json = nlohmann::json;

/// Of `count` neighbours the mean.
sm::LossCurve averaged(const sm::LossCurve& curve, std::size_t count) {
  sm::LossCurve thin{.name = curve.name};
  for (std::size_t begin = 0; begin < curve.value.size(); begin += count) {
    const auto end = std::min(begin + count, curve.value.size());
    double x = 0, y = 0;
    for (auto i = begin; i < end; ++i) {
      x += curve.epoch[i];
      y += curve.value[i];
    }
    thin.epoch.push_back(x / static_cast<double>(end - begin));
    thin.value.push_back(y / static_cast<double>(end - begin));
  }
  return thin;
}

bool is_log_line(const Json& line) {
  if (!line.is_object() || !line.contains("step") || !line["step"].is_number()) return false;
  return std::ranges::all_of(std::array{"parts", "features", "metrics"},
                             [&](const char* key) { return !line.contains(key) || line[key].is_object(); });
}

/// Where a part goes that is_monitor().
Curves* monitor(RunCurves& curves, const std::string& part) {
  if (part == "teacher_entropy") return &curves.teacher_entropy;
  if (part == "teacher_entropy_share") return &curves.teacher_entropy_share;
  if (part == "center_norm") return &curves.center_norm;
  if (part == "agreement") return &curves.agreement;
  return nullptr;
}

void add_step(RunCurves& curves, double x, const Json& line) {
  const auto value = [&](const char* key) { return line.value(key, Json{}); };
  curves.loss.add("loss", x, value("loss"));
  const auto parts = line.value("parts", Json::object());
  Json of_loss = Json::object();
  for (const auto& [name, part] : parts.items()) {
    if (auto* const watched = monitor(curves, name)) {
      watched->add(name, x, part);
    } else {
      of_loss[name] = part;
    }
  }
  if (of_loss.size() > 1) {  // a single part is the loss
    for (const auto& [name, part] : of_loss.items()) curves.loss.add(name, x, part);
  }
  curves.rate.add("learning rate", x, value("learning_rate"));
  curves.norm.add("gradient norm", x, value("gradient_norm"));
  curves.speed.add("samples a second", x, value("samples_per_second"));
  curves.wait.add("share", x, value("data_wait_share"));
  curves.memory.add("resident", x, value("resident_mb"));
  const auto features = line.value("features", Json::object());
  for (const auto& [node, health] : features.items()) {
    curves.deviation.add(node, x, health.value("deviation", Json{}));
    curves.rank.add(node, x, health.value("effective_rank", Json{}));
    if (const auto warning = health.value("warning", std::string{}); !warning.empty())
      curves.warnings.emplace(node, fmt::format("step {}: {}", line["step"].dump(), warning));
  }
}

}  // namespace

bool is_monitor(const std::string& part) {
  RunCurves curves;
  return monitor(curves, part) != nullptr;
}

void Curves::add(const std::string& name, double x, const Json& value) {
  if (!value.is_number()) return;
  auto found = std::ranges::find(curves_, name, &sm::LossCurve::name);
  if (found == curves_.end()) found = curves_.insert(curves_.end(), {.name = name});
  found->epoch.push_back(x);
  found->value.push_back(value.get<double>());
}

std::vector<sm::LossCurve> Curves::thinned(std::size_t most) const {
  auto all = curves_;
  for (auto& curve : all) {
    const auto together = (curve.value.size() + most - 1) / most;
    if (together > 1) curve = averaged(curve, together);
  }
  return all;
}

RunCurves read_curves(const std::filesystem::path& run, double scale) {
  const auto path = run / "log.jsonl";
  std::ifstream log{path};
  if (!log) throw sm::IoError(path.string() + " cannot be read: is this a run directory?");
  RunCurves curves;
  std::int64_t number = 0;
  for (std::string line; std::getline(log, line);) {
    ++number;
    const auto json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!is_log_line(json) && log.eof()) break;  // cut off: the run is being written, or was killed
    if (!is_log_line(json))
      throw sm::DataError(fmt::format("{}:{} is no line of a training log", path.string(), number));
    const auto x = scale * json["step"].get<double>();
    try {
      if (json.contains("metrics")) {
        for (const auto& [name, value] : json["metrics"].items()) curves.metrics.add(name, x, value);
        continue;
      }
      ++curves.steps;
      if (json.contains("skipped")) {
        ++curves.skipped;
      } else {
        add_step(curves, x, json);
      }
    } catch (const Json::exception&) {  // a member of another type
      throw sm::DataError(fmt::format("{}:{} is no line of a training log", path.string(), number));
    }
  }
  if (curves.steps == 0) throw sm::DataError(path.string() + " holds no step yet");
  return curves;
}

std::vector<sm::LossChart> charts_of(const RunCurves& curves, const ChartsOf& how) {
  std::vector<sm::LossChart> charts;
  const auto add = [&](const char* id, const char* title, const char* caption, const char* unit, const Curves& shown,
                       bool may_fold) {
    if (shown.empty()) return;
    charts.push_back({.id = how.id + id,
                      .title = title,
                      .caption = caption,
                      .x_label = how.x_label,
                      .y_label = unit,
                      .curves = shown.thinned(),
                      .section = how.section,
                      .folded = how.fold && may_fold});
  };
  add("loss", "Loss", "The loss of each step, and its parts where there are several.", "loss", curves.loss, false);
  add("metrics", "Metrics", "Measured at the ends of epochs.", "value", curves.metrics, false);
  add("deviation", "Spread of the features",
      "Deviation of the normalised features times √d: near 1 spread, 0 collapsed.", "deviation", curves.deviation,
      false);
  add("rank", "Effective rank", "How many directions the features really use.", "rank", curves.rank, false);
  const bool of_ln_k = !curves.teacher_entropy_share.empty();  // runs of an older version have the nats alone
  add("entropy", "Entropy of the teacher",
      of_ln_k ? "Over ln of the number of prototypes. 0: it always chooses the same one; 1: it does not choose."
              : "0: it always chooses the same prototype; ln of the number of prototypes: it does not choose.",
      of_ln_k ? "share of ln K" : "nats", of_ln_k ? curves.teacher_entropy_share : curves.teacher_entropy, false);
  add("center", "Norm of the centre", "What the teacher's outputs have in common; it should level off.", "norm",
      curves.center_norm, false);
  add("agreement", "Agreement", "Cosine between student and teacher.", "cosine", curves.agreement, false);
  add("norm", "Gradient", "Norm of all gradients together, before clipping.", "norm", curves.norm, true);
  add("rate", "Learning rate", "Of parameters without a rule of their own.", "rate", curves.rate, true);
  add("speed", "Speed", "Since the beginning of each epoch, waiting for data included.", "samples/s", curves.speed,
      true);
  add("wait", "Waiting for data", "Part of each epoch's time; near 0 the loader keeps up.", "share", curves.wait, true);
  add("memory", "Memory", "Main memory that the process holds.", "MB", curves.memory, true);
  return charts;
}

}  // namespace examples
