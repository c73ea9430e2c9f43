#include "support/run_report.hpp"

#include <sslmeme/core/error.hpp>
#include <sslmeme/eval/calibration.hpp>
#include <sslmeme/eval/compare.hpp>
#include <sslmeme/eval/curve_bands.hpp>
#include <sslmeme/eval/metrics.hpp>

#include "support/report_memes.hpp"
#include "support/run_curves.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>

namespace examples {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::int64_t bins = 15;           // of calibration, in table and diagrams
constexpr std::size_t smooth_points = 120;  // of a loss curve beside others

/// Of logits: two sure probabilities may both be 1.
double auroc_of(const JudgedRun& run) {
  return sm::auroc(run.test.logits, run.test.labels);
}

sm::Confusion confusion_of(const JudgedRun& run) {
  return sm::confusion(run.test.scores, run.test.labels, run.results.threshold);
}

/// DeLong's variance takes two of each class.
bool has_variance(const JudgedRun& run) {
  const auto harmful = std::ranges::count(run.test.labels, 1);
  return harmful >= 2 && std::ssize(run.test.labels) - harmful >= 2;
}

/// Splits beside dev and test that all runs of a model measured.
std::vector<std::string> further_splits(const JudgedModel& model) {
  std::vector<std::string> names;
  for (const auto& [name, figures] : model.runs.front().results.splits) {
    const auto& first = model.runs.front().results;
    const bool everywhere = std::ranges::all_of(model.runs, [&, &split = name](const JudgedRun& run) {
      const auto found = run.results.splits.find(split);
      return found != run.results.splits.end() && found->second.evaluation.has_value();
    });
    if (everywhere && name != first.dev && name != first.test) names.push_back(name);
  }
  return names;
}

sm::ReportRow row_of(const JudgedModel& model) {
  sm::ReportRow row{.model = model.name, .auroc = over_seeds(model.runs, auroc_of)};
  if (model.runs.size() == 1 && has_variance(model.shown()))
    row.auroc_interval = sm::delong_interval(model.shown().test.logits, model.shown().test.labels).interval;
  const auto add = [&](const char* key, const char* title, auto figure, bool lower = false) {
    row.extra.push_back({key, title, over_seeds(model.runs, figure), lower});
  };
  add("average_precision", "Average precision",
      [](const JudgedRun& run) { return sm::average_precision(run.test.logits, run.test.labels); });
  add("accuracy_tuned", "Accuracy, tuned", [](const JudgedRun& run) { return confusion_of(run).accuracy(); });
  add("f1_tuned", "F1, tuned", [](const JudgedRun& run) { return confusion_of(run).f1(); });
  add(
      "ece", "ECE",
      [](const JudgedRun& run) { return sm::expected_calibration_error(run.test.scores, run.test.labels, bins); },
      true);
  for (const auto& split : further_splits(model)) {
    row.extra.push_back({"auroc_" + split, "AUROC, " + split,
                         over_seeds(model.runs, [&](const JudgedRun& run) { return run.results.of(split).auroc; })});
  }
  return row;
}

void add_curves(sm::Report& report, const JudgedModel& model, const RunReportOptions& options) {
  const auto& [scores, labels, ids, logits] = model.shown().test;
  const sm::BandOptions band{.resamples = options.resamples, .seed = options.seed};
  const auto harmful = static_cast<double>(std::ranges::count(labels, 1)) / static_cast<double>(labels.size());
  report.rocs.push_back({.name = model.name,
                         .curve = sm::roc_curve(scores, labels),
                         .auroc = auroc_of(model.shown()),
                         .band = sm::roc_band(scores, labels, band)});
  report.precision_recalls.push_back({.name = model.name,
                                      .curve = sm::precision_recall_curve(scores, labels),
                                      .average_precision = sm::average_precision(logits, labels),
                                      .harmful = harmful,
                                      .band = sm::precision_recall_band(scores, labels, band)});
  const auto& results = model.shown().results;
  report.calibrations.push_back(
      sm::calibration_series(model.name, logits, labels, results.temperature, results.threshold, bins));
  report.thresholds.push_back(sm::threshold_series(model.name, scores, labels, results.threshold));
}

/// Whether all models judged the same memes with the same labels.
bool same_memes(const std::vector<JudgedModel>& models) {
  const auto& first = models.front().shown().test;
  return std::ranges::all_of(models, [&](const JudgedModel& model) {
    const auto& test = model.shown().test;
    return test.ids == first.ids && test.labels == first.labels;
  });
}

std::string data_note(const JudgedRun& run) {
  return fmt::format("{} of {} ({} memes, {} harmful)", run.results.test, run.results.data.data, run.test.ids.size(),
                     std::ranges::count(run.test.labels, 1));
}

void add_tests(sm::Report& report, const std::vector<JudgedModel>& models) {
  if (models.size() < 2) return;
  if (!same_memes(models)) {
    std::vector<std::string> where;
    for (const auto& model : models) where.push_back(fmt::format("{} on {}", model.name, data_note(model.shown())));
    report.notes.push_back(
        fmt::format("Models were measured on different memes, so there is no paired test and no "
                    "list of disagreements: {}.",
                    fmt::join(where, "; ")));
    return;
  }
  if (!has_variance(models.front().shown())) {
    report.notes.emplace_back("There is no paired test: it takes at least two memes of each class.");
    return;
  }
  std::vector<std::string> names;
  std::vector<std::vector<double>> scores;
  for (const auto& model : models) {
    names.push_back(model.name);
    scores.push_back(model.shown().test.logits);
  }
  report.tests = sm::pairwise_tests(std::move(names), scores, models.front().shown().test.labels);
}

/// Best first.
std::vector<const JudgedModel*> by_auroc(const std::vector<JudgedModel>& models) {
  std::vector<const JudgedModel*> order;
  for (const auto& model : models) order.push_back(&model);
  std::ranges::stable_sort(order, std::greater{},
                           [](const auto* model) { return over_seeds(model->runs, auroc_of).mean; });
  return order;
}

/// Does `add`, or notes that `lacks` and why: a meme that is gone or damaged costs its figure, not the report.
template <class Add>
void or_note(sm::Report& report, const std::string& lacks, Add add) {
  try {
    add();
  } catch (const sm::Error& error) {
    report.notes.push_back(fmt::format("{}: {}", lacks, error.what()));
  }
}

/// The memes of a run's test split; none, and a note, where they are not there any more.
std::optional<MemesById> memes_of(const JudgedRun& run, sm::Report& report) {
  std::optional<MemesById> memes;
  or_note(report, fmt::format("Memes of {} cannot be shown", run.path.string()),
          [&] { memes.emplace(run.results.data, run.results.test); });
  return memes;
}

/// What tells reasons and places memes on a map; none, and a note, for a run without scorer.json.
std::optional<Reasons> reasons_of(const JudgedModel& model, sm::Report& report) {
  std::optional<Reasons> reasons;
  or_note(report, model.name + " has neither reasons nor a map", [&] { reasons.emplace(model.shown()); });
  return reasons;
}

/// A map, or a note where there is none: of too few memes, of features that are all the same, of memes that are gone.
void add_map(sm::Report& report, const JudgedModel& model, const MemesById& memes, const Reasons& reasons,
             const RunReportOptions& options, std::size_t number) {
  or_note(report, model.name + " has no map", [&] {
    auto map = map_of(model.shown(), memes, reasons.scorer(), options.map_memes, options.seed);
    map.id = fmt::format("figure-map-{}", number);
    map.title = "Memes as " + model.name + " sees them";
    report.maps.push_back(std::move(map));
  });
}

void add_memes(sm::Report& report, const std::vector<JudgedModel>& models, const RunReportOptions& options) {
  const auto order = by_auroc(models);
  for (std::size_t i = 0; i < std::min(order.size(), options.models); ++i) {
    const auto& model = *order[i];
    const auto& run = model.shown();
    const auto memes = memes_of(run, report);
    if (!memes) continue;
    std::optional<Reasons> reasons;
    if ((options.reasons && options.mistakes > 0) || options.map_memes > 0) reasons = reasons_of(model, report);
    if (options.mistakes > 0) {
      options.progress(fmt::format("{}: looking at mistakes", model.name));
      or_note(report, model.name + " has no list of mistakes", [&] {
        auto gallery = mistakes_of(run, *memes, options.mistakes, options.reasons && reasons ? &*reasons : nullptr);
        gallery.id = fmt::format("figure-mistakes-{}", i + 1);
        gallery.title = models.size() > 1 ? "Mistakes of " + model.name : "Its surest mistakes";
        report.galleries.push_back(std::move(gallery));
      });
    }
    if (options.map_memes > 0 && reasons) {
      options.progress(fmt::format("{}: drawing the map", model.name));
      add_map(report, model, *memes, *reasons, options, i + 1);
    }
  }
  if (order.size() > options.models)
    report.notes.push_back(
        fmt::format("Mistakes and maps are those of the {} models of highest AUROC.", options.models));
  if (models.size() < 2 || options.mistakes == 0 || !same_memes(models)) return;
  if (const auto memes = memes_of(models.front().shown(), report)) {
    or_note(report, "There is no list of disagreements",
            [&] { report.disagreements = disagreements_of(models, *memes, options.mistakes); });
  }
}

/// Losses and metrics of fine-tuning, a line a model, over epochs.
void add_training(sm::Report& report, const std::vector<JudgedModel>& models) {
  sm::LossChart loss{.id = "figure-finetune-loss",
                     .title = "Loss of fine-tuning",
                     .caption =
                         "Binary cross-entropy on the labels that it learns from, neighbouring steps averaged. "
                         "Saying ½ to everything costs ln 2 = 0.693.",
                     .y_label = "binary cross-entropy",
                     .section = "Training"};
  std::map<std::string, sm::LossChart> metrics;
  for (const auto& model : models) {
    const auto& run = model.shown();
    const auto curves = read_curves(run.path, 1 / steps_per_epoch(run.config));
    auto parts = curves.loss.thinned(smooth_points);
    auto shown = std::ranges::find(parts, "bce", &sm::LossCurve::name);  // RGCL has another part beside it
    if (shown == parts.end()) shown = std::ranges::find(parts, "loss", &sm::LossCurve::name);
    if (shown != parts.end()) {
      shown->name = model.name;
      loss.curves.push_back(std::move(*shown));
    }
    for (auto& curve : curves.metrics.thinned()) {
      auto& chart = metrics[curve.name];
      chart.title = chart.y_label = curve.name;
      chart.caption = "Measured at the end of each epoch.";
      curve.name = model.name;
      chart.curves.push_back(std::move(curve));
    }
  }
  report.charts.push_back(std::move(loss));
  int number = 0;
  for (auto& [name, chart] : metrics) {
    chart.id = fmt::format("figure-finetune-metric-{}", ++number);
    report.charts.push_back(std::move(chart));
  }
}

void add_pretraining(sm::Report& report, const PretrainedRun& run, std::size_t number) {
  const auto curves = read_curves(run.path);
  for (auto& chart : charts_of(
           curves,
           {.id = fmt::format("figure-pretraining-{}-", number), .section = "Pre-training: " + run.name, .fold = true}))
    report.charts.push_back(std::move(chart));
  for (const auto& [node, warning] : curves.warnings) report.notes.push_back(fmt::format("{}: {}", run.name, warning));
  if (curves.skipped > 0)
    report.notes.push_back(fmt::format("{}: {} of {} steps were skipped: their loss or gradient was not finite.",
                                       run.name, curves.skipped, curves.steps));
  if (!run.finished)
    report.notes.push_back(fmt::format("{} is not finished: it has {} steps so far.", run.name, curves.steps));
}

/// {"trainer.epochs": "13", …}, but for seeds and versions.
void flatten(const json& value, const std::string& path, std::map<std::string, std::string>& flat) {
  for (const auto& [key, member] : value.items()) {
    if (key == "seed" || key == "versions") continue;
    const auto name = path.empty() ? key : path + "." + key;
    if (member.is_structured() && !member.empty()) {
      flatten(member, name, flat);
    } else {
      flat[name] = member.is_string() ? member.get<std::string>() : member.dump();
    }
  }
}

std::map<std::string, std::string> settings_of(const JudgedRun& run) {
  std::map<std::string, std::string> flat;
  flatten(run.config, "", flat);
  flat["picture size"] = std::to_string(run.results.size);
  flat["longest text, tokens"] = std::to_string(run.results.max_tokens);
  flat["trained on"] = run.results.origin.train;
  flat["pre-trained by"] = run.results.origin.from.empty() ? "nothing" : run.results.origin.from;
  flat["tuned on"] = run.results.dev;
  flat["measured on"] = run.results.test;
  flat["data"] = run.results.data.data;
  return flat;
}

/// The settings in which models differ.
void add_differences(sm::Report& report, const std::vector<JudgedModel>& models) {
  if (models.size() < 2) return;
  sm::ReportTable table{.id = "figure-settings",
                        .title = "Settings in which the models differ",
                        .caption =
                            "From their config.json and results.json; what all have in common is left out, and seeds "
                            "are.",
                        .columns = {"Setting"},
                        .section = "What differs"};
  std::vector<std::map<std::string, std::string>> all;
  std::set<std::string> names;
  for (const auto& model : models) {
    table.columns.push_back(model.name);
    all.push_back(settings_of(model.shown()));
    for (const auto& [name, value] : all.back()) names.insert(name);
  }
  for (const auto& name : names) {
    std::vector<std::string> row{name};
    for (const auto& settings : all) {
      const auto found = settings.find(name);
      row.push_back(found == settings.end() ? "–" : found->second);
    }
    if (std::ranges::any_of(row.begin() + 2, row.end(), [&](const auto& value) { return value != row[1]; }))
      table.rows.push_back(std::move(row));
  }
  if (!table.rows.empty()) report.tables.push_back(std::move(table));
}

std::string seeds_text(const JudgedModel& model) {
  return model.runs.size() == 1 ? "one seed" : fmt::format("{} seeds", model.runs.size());
}

void add_highlights(sm::Report& report, const std::vector<JudgedModel>& models) {
  const auto& best = *by_auroc(models).front();
  const auto row = row_of(best);
  const auto note = row.auroc_interval ? fmt::format("95 % interval {:.3f} – {:.3f}", row.auroc_interval->low,
                                                     row.auroc_interval->high)
                    : row.auroc.n > 1  ? fmt::format("± {:.3f} over {}", row.auroc.deviation, seeds_text(best))
                                       : "";
  const auto confusion = confusion_of(best.shown());
  const auto& labels = best.shown().test.labels;
  report.highlights = {
      {fmt::format("{:.3f}", row.auroc.mean), models.size() > 1 ? "Best AUROC: " + best.name : "AUROC", note},
      {fmt::format("{} of {}", confusion.tp, confusion.tp + confusion.fn), "Harmful memes found",
       fmt::format("at the threshold {:.3f}, tuned on {}", best.shown().results.threshold, best.shown().results.dev)},
      {fmt::format("{} of {}", confusion.fp, confusion.fp + confusion.tn), "Harmless memes falsely accused",
       "at the same threshold"},
      {fmt::format("{:.3f}", sm::expected_calibration_error(best.shown().test.scores, labels, bins)),
       "Calibration error",
       best.shown().results.temperature == 1
           ? "as the classifier gives probabilities; 0 is best"
           : fmt::format("after temperature {:.2f}; 0 is best", best.shown().results.temperature)}};
}

void add_models(sm::Report& report, const std::vector<JudgedModel>& models, const RunReportOptions& options) {
  const auto& first = models.front().shown();
  report.comparable = same_memes(models);
  if (report.comparable) add_highlights(report, models);
  if (report.comparable) report.notes.push_back(fmt::format("Measured on {}.", data_note(first)));
  std::set<std::string> tuned_on;
  for (const auto& model : models) tuned_on.insert(model.shown().results.dev);
  report.notes.push_back(
      fmt::format("AUROC is pooled over the split, ties count half. Thresholds and temperatures come from {} alone; "
                  "accuracy and F1 "
                  "are at that threshold, ECE (expected calibration error, {} bins) is after the temperature.",
                  fmt::join(tuned_on, ", "), bins));
  if (std::ranges::any_of(models, [](const JudgedModel& model) { return model.runs.size() > 1; }))
    report.notes.emplace_back(
        "A model with several seeds is one row; its curves, tests and memes are those of its run of median AUROC.");
  for (const auto& model : models) {
    options.progress(fmt::format("{}: curves", model.name));
    report.rows.push_back(row_of(model));
    add_curves(report, model, options);
    const auto& note = model.shown().results.temperature_note;
    if (!note.empty())
      report.notes.push_back(fmt::format("{}: its probabilities are not calibrated: {}", model.name, note));
  }
  add_tests(report, models);
  add_memes(report, models, options);
  add_training(report, models);
  add_differences(report, models);
}

std::string title_of(const ReportedRuns& runs) {
  if (runs.models.size() == 1) return runs.models.front().name;
  if (runs.models.size() > 1) return fmt::format("{} models side by side", runs.models.size());
  if (runs.pretrainings.empty()) return "The paper's tables";
  return runs.pretrainings.size() == 1 ? runs.pretrainings.front().name : "Pre-training";
}

std::string subtitle_of(const ReportedRuns& runs) {
  std::size_t judged = 0;
  for (const auto& model : runs.models) judged += model.runs.size();
  std::vector<std::string> parts;
  if (judged > 0) parts.push_back(fmt::format("{} fine-tuned run{}", judged, judged == 1 ? "" : "s"));
  if (const auto n = runs.pretrainings.size(); n > 0)
    parts.push_back(fmt::format("{} pre-training{}", n, n == 1 ? "" : "s"));
  return fmt::format("{}", fmt::join(parts, ", "));
}

/// Every run, its folder and its configuration.
std::string configurations(const ReportedRuns& runs) {
  std::string text;
  for (const auto& model : runs.models) {
    for (const auto& run : model.runs)
      text += fmt::format("{} (seed {}): {}\n{}\n\n", model.name, run.seed, run.path.string(), run.config.dump(2));
  }
  for (const auto& run : runs.pretrainings)
    text += fmt::format("{} ({}): {}\n", run.name, run.method, run.path.string());
  return text;
}

}  // namespace

sm::Report report_of(const ReportedRuns& runs, const RunReportOptions& options) {
  sm::Report report{.title = options.title.empty() ? title_of(runs) : options.title, .subtitle = subtitle_of(runs)};
  if (!runs.models.empty()) add_models(report, runs.models, options);
  for (std::size_t i = 0; i < runs.pretrainings.size(); ++i) add_pretraining(report, runs.pretrainings[i], i + 1);
  if (!options.tables.empty()) add_paper_tables(report, options.tables);
  report.config = configurations(runs);
  return report;
}

}  // namespace examples
