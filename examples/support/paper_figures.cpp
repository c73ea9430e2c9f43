// What paper_tables wrote, as tables and curves of a report.
#include <sslmeme/core/error.hpp>
#include <sslmeme/core/files.hpp>

#include "support/run_report.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <map>
#include <string>

namespace examples {
namespace {

using nlohmann::ordered_json;

/// "0.712 ± 0.010" of NAME_mean and NAME_std; a dash where they are not there.
std::string figure(const ordered_json& row, const std::string& name) {
  if (!row.contains(name + "_mean")) return "–";
  const auto mean = row.at(name + "_mean").get<double>();
  if (!row.contains(name + "_std") || row.value("seeds", 2) < 2) return fmt::format("{:.3f}", mean);
  return fmt::format("{:.3f} ± {:.3f}", mean, row.at(name + "_std").get<double>());
}

sm::ReportTable table_of(const ordered_json& table, const std::string& caption, int number) {
  sm::ReportTable shown{
      .id = fmt::format("figure-paper-{}", number),
      .title = table.at("title").get<std::string>(),
      .caption = caption,
      .columns = {"Row", "AUROC", "AUROC, published", "Accuracy", "Accuracy, tuned", "Accuracy, published", "Seeds"},
      .section = "Published beside ours"};
  const auto nothing = ordered_json::object();
  for (const auto& row : table.at("rows")) {
    const auto& published = row.contains("published") ? row.at("published") : nothing;
    shown.rows.push_back({row.at("title").get<std::string>(), figure(row, "auroc"), figure(published, "auroc"),
                          figure(row, "accuracy"), figure(row, "tuned_accuracy"), figure(published, "accuracy"),
                          row.contains("seeds") ? row.at("seeds").dump() : "–"});
  }
  return shown;
}

/// A line a pre-training, AUROC over the number of labels.
sm::LossChart label_efficiency(const ordered_json& points) {
  sm::LossChart chart{.id = "figure-label-efficiency",
                      .title = "How few labels will do?",
                      .caption =
                          "AUROC after fine-tuning on so many labels, from each pre-training; bars are one "
                          "deviation over seeds.",
                      .x_label = "labels",
                      .y_label = "AUROC",
                      .section = "Label efficiency",
                      .log_x = true};
  for (const auto& point : points) {
    const auto name = point.at("pretraining").get<std::string>();
    auto curve = std::ranges::find(chart.curves, name, &sm::LossCurve::name);
    if (curve == chart.curves.end()) curve = chart.curves.insert(curve, {.name = name});
    const auto labels = point.at("labels").get<double>();
    const auto place = std::ranges::lower_bound(curve->epoch, labels) - curve->epoch.begin();
    curve->epoch.insert(curve->epoch.begin() + place, labels);
    curve->value.insert(curve->value.begin() + place, point.at("auroc_mean").get<double>());
    curve->deviation.insert(curve->deviation.begin() + place, point.value("auroc_std", 0.0));
  }
  return chart;
}

/// What a part of a loss compares: "CNN – words" of "cnn-text".
std::string spelled_out(const std::string& part) {
  if (part == "cnn-vit") return "CNN – transformer";
  if (part == "cnn-text") return "CNN – words";
  if (part == "vit-text") return "transformer – words";
  return part == "image-text" ? "picture – words" : part;
}

/// Losses of each pre-training, one value an epoch.
sm::LossChart losses_of(const std::string& name, const ordered_json& parts, int number) {
  sm::LossChart chart{.id = fmt::format("figure-paper-losses-{}", number),
                      .title = name,
                      .caption = "Mean loss of each part at every epoch.",
                      .section = "Losses of the pre-trainings"};
  for (const auto& [part, values] : parts.items()) {
    sm::LossCurve curve{.name = spelled_out(part)};
    for (const auto& value : values) {
      curve.epoch.push_back(static_cast<double>(curve.epoch.size() + 1));
      curve.value.push_back(value.get<double>());
    }
    chart.curves.push_back(std::move(curve));
  }
  return chart;
}

sm::ReportTable collapse_of(const ordered_json& lines) {
  sm::ReportTable table{.id = "figure-collapse",
                        .title = "What collapses",
                        .caption =
                            "Spread (deviation of the normalised features times √d; 0 is collapsed) and effective "
                            "rank of each node's features at the end.",
                        .columns = {"Pre-training", "Node", "Spread", "Effective rank"},
                        .section = "Published beside ours"};
  for (const auto& line : lines) {
    table.rows.push_back({line.at("pretraining").get<std::string>(), line.at("node").get<std::string>(),
                          fmt::format("{:.3f}", line.at("std").get<double>()),
                          fmt::format("{:.1f}", line.at("effective_rank").get<double>())});
  }
  return table;
}

void add(sm::Report& report, const ordered_json& results) {
  const auto caption =
      fmt::format("{} of {}, scale {}. {}. Labels of {}; pre-trained on {}, without labels.",
                  results.value("split", "The test split"), results.value("data", "?"), results.value("scale", "?"),
                  results.value("threshold", "mean ± deviation over seeds"), results.value("train", "train"),
                  results.value("unlabelled", "train"));
  int number = 0;
  for (const auto& table : results.value("tables", ordered_json::array()))
    report.tables.push_back(table_of(table, caption, ++number));
  if (const auto points = results.value("label_efficiency", ordered_json::array()); !points.empty())
    report.charts.push_back(label_efficiency(points));
  number = 0;
  const auto losses = results.value("losses", ordered_json::object());
  std::map<std::string, std::string> titles;
  for (const auto& fit : results.value("pretrainings", ordered_json::array()))
    titles[fit.at("fit").get<std::string>()] =
        fmt::format("{} ({})", fit.at("title").get<std::string>(), fit.at("fit").get<std::string>());
  for (const auto& [name, parts] : losses.items())
    report.charts.push_back(losses_of(titles.contains(name) ? titles[name] : name, parts, ++number));
  if (const auto lines = results.value("collapse", ordered_json::array()); !lines.empty())
    report.tables.push_back(collapse_of(lines));
}

}  // namespace

void add_paper_tables(sm::Report& report, const std::filesystem::path& file) {
  const auto text = sm::read_file(file);
  try {
    const auto results = ordered_json::parse(text);
    if (!results.contains("tables") && !results.contains("label_efficiency"))
      throw sm::DataError(fmt::format(
          "{} has neither tables nor label_efficiency: give the results.json of paper_tables", file.string()));
    add(report, results);
  } catch (const nlohmann::json::exception& error) {
    throw sm::DataError(fmt::format("{} cannot be read as results of paper_tables: {}", file.string(), error.what()));
  }
}

}  // namespace examples
