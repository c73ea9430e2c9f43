#include "support/paper_results.hpp"

#include "support/guided.hpp"
#include "support/run_curves.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <vector>

namespace examples {
namespace {

using nlohmann::ordered_json;

/// A row of a table for the terminal.
sm::ReportRow terminal_row(const PaperFigures& figures, const PaperRow& row) {
  auto result = figures.classifiers.at(row.classifier);
  result.model = row.title;
  if (row.published) {
    result.extra.push_back({"published_auroc", "AUROC, published", row.published->auroc});
    result.extra.push_back({"published_accuracy", "accuracy, published", row.published->accuracy});
  }
  if (const auto votes = figures.votes.find(row.classifier); votes != figures.votes.end())
    result.extra.push_back({"vote_auroc", "AUROC by vote", votes->second});
  return result;
}

void put(ordered_json& json, const std::string& name, const sm::Summary& summary) {
  json[name + "_mean"] = summary.mean;
  json[name + "_std"] = summary.deviation;
}

ordered_json json_of(const PaperPlan& plan, const PaperFigures& all, const PaperRow& row) {
  const auto& figures = all.classifiers.at(row.classifier);
  ordered_json json{{"title", row.title}, {"classifier", row.classifier}};
  put(json, "auroc", figures.auroc);
  put(json, "accuracy", figures.accuracy);
  put(json, "tuned_accuracy", figures.extra.front().value);
  if (const auto votes = all.votes.find(row.classifier); votes != all.votes.end())
    put(json, "vote_auroc", votes->second);
  json["seeds"] = figures.auroc.n;
  json["split"] = plan.experiment.test;
  if (row.published) {
    auto& published = json["published"] = ordered_json::object();
    put(published, "auroc", row.published->auroc);
    put(published, "accuracy", row.published->accuracy);
  }
  for (int seed = 0; seed < plan.seeds; ++seed)
    json["runs"].push_back(fit_folder(plan.experiment, seed, row.classifier).string());
  return json;
}

/// Mean loss of each part of a pre-training at every epoch: the paper's plot of CASS-MM's losses, and the others'.
ordered_json losses_of(const Histories& histories) {
  ordered_json curves = ordered_json::object();
  for (const auto& [part, value] : histories.front().front().parts) {
    if (!is_monitor(part)) curves[part] = mean_curve(histories, part, part).value;
  }
  return curves;
}

/// What the collapse monitor saw at the end of a pre-training of seed 0, a line a node.
std::vector<ordered_json> collapse_of(const PretrainFit& fit, const Histories& histories) {
  std::vector<ordered_json> lines;
  for (const auto& node : histories.front().back().health) {
    lines.push_back({{"pretraining", fit.title},
                     {"fit", fit.key},
                     {"node", node.name},
                     {"std", node.deviation},
                     {"effective_rank", node.effective_rank}});
  }
  return lines;
}

std::string label_table(const PaperPlan& plan, const PaperFigures& figures) {
  std::vector<std::int64_t> counts;
  std::vector<std::string> starts;
  for (const auto& point : plan.label_points) {
    if (std::ranges::find(counts, point.labels) == counts.end()) counts.push_back(point.labels);
    if (std::ranges::find(starts, point.pretraining) == starts.end()) starts.push_back(point.pretraining);
  }
  std::ranges::sort(counts);
  std::string text = fmt::format("{:<14}", "labels");
  for (const auto n : counts) text += fmt::format("{:>16}", n);
  text += '\n';
  for (const auto& start : starts) {
    text += fmt::format("{:<14}", start);
    for (const auto n : counts) {
      const auto point = std::ranges::find_if(plan.label_points,
                                              [&](const auto& p) { return p.pretraining == start && p.labels == n; });
      if (point == plan.label_points.end()) {
        text += fmt::format("{:>16}", "");
        continue;
      }
      const auto& auroc = figures.classifiers.at(point->classifier).auroc;
      text += fmt::format("{:>8.3f} ± {:.3f}", auroc.mean, auroc.deviation);
    }
    text += '\n';
  }
  return text;
}

/// collapse_of() all pre-trainings, and what they cost, for people.
std::string collapse_table(const PaperPlan& plan, const PaperFigures& figures) {
  std::string text;
  for (const auto& fit : plan.experiment.pretrainings) {
    for (const auto& line : collapse_of(fit, figures.pretrainings.at(fit.key))) {
      text += fmt::format("{:<28}{:<9}{:>8.3f}{:>8.1f}{:>9.0f} s\n", fit.key, line.at("node").get<std::string>(),
                          line.at("std").get<double>(), line.at("effective_rank").get<double>(),
                          figures.seconds.at(fit.key));
    }
  }
  return text.empty() ? text
                      : "Features at the end of pre-training (seed 0): deviation (1 spread, 0 collapsed), effective "
                        "rank; time it took\n" +
                            text;
}

/// What is measured, and from what: it holds for every row.
std::string heading(const Experiment& e) {
  return fmt::format(
      "AUROC and accuracy on {} of {}; accuracy at 0.5, and at the threshold that is best on {}. Labels of {}; "
      "pre-trained on {}, without labels. Encoders, fresh where no weights are named: {}; {}; {}.\n",
      e.test, e.data.data, e.dev, e.train, e.pretraining_split(), e.cnn, e.vit, e.text);
}

/// The sum over all steps, from what they logged.
double training_seconds(const std::filesystem::path& run, std::int64_t batch) {
  double seconds = 0;
  const auto curves = read_curves(run);
  for (const auto& curve : curves.speed.all()) {
    for (const auto rate : curve.value) {
      if (rate > 0) seconds += static_cast<double>(batch) / rate;
    }
  }
  return seconds;
}

}  // namespace

std::optional<double> modality_margin(const PaperPlan& plan, const PaperFigures& figures) {
  constexpr std::size_t rows_of_table3 = 3;
  double one = -std::numeric_limits<double>::infinity(), both = -one;
  std::size_t multimodal = 0;
  for (const auto& table : plan.tables) {
    for (const auto& row : table.rows) {
      const auto fit = std::ranges::find(plan.experiment.classifiers, row.classifier, &FinetuneFit::key);
      const auto mean = figures.classifiers.at(row.classifier).auroc.mean;
      const bool unimodal = !fit->words || fit->picture == PictureEncoder::none;
      if (unimodal) one = std::max(one, mean);
      if (table.key != "table3") continue;
      both = std::min(both, mean);
      ++multimodal;
    }
  }
  if (!std::isfinite(one) || multimodal < rows_of_table3) return {};
  return both - one;
}

PaperFigures read_figures(const PaperPlan& plan) {
  const auto& e = plan.experiment;
  PaperFigures figures;
  for (const auto& fit : e.classifiers) {
    figures.classifiers.emplace(fit.key, report_row(fit.title, results_of(e, plan.seeds, fit.key)));
    if (!fit.retrieval_guided) continue;
    std::vector<double> votes;
    for (int seed = 0; seed < plan.seeds; ++seed) votes.push_back(vote_auroc(fit_folder(e, seed, fit.key)));
    figures.votes.emplace(fit.key, sm::summarize(votes));
  }
  for (const auto& fit : e.pretrainings) {
    figures.pretrainings.emplace(fit.key, histories_of(e, plan.seeds, fit.key));
    for (int seed = 0; seed < plan.seeds; ++seed)
      figures.seconds[fit.key] += training_seconds(fit_folder(e, seed, fit.key), e.batch) / plan.seeds;
  }
  return figures;
}

std::string paper_text(const PaperPlan& plan, const PaperFigures& figures) {
  auto text = heading(plan.experiment);
  for (const auto& table : plan.tables) {
    std::vector<sm::ReportRow> rows;
    for (const auto& row : table.rows) rows.push_back(terminal_row(figures, row));
    text += table.title + '\n' + sm::terminal_table(rows);
  }
  if (!plan.label_points.empty()) text += "AUROC by number of labels (ViT and words)\n" + label_table(plan, figures);
  text += collapse_table(plan, figures);
  if (const auto margin = modality_margin(plan, figures))
    text += fmt::format("the worst row of table 3 is {:.3f} AUROC above the best of one modality\n", *margin);
  return text;
}

std::string paper_json(const PaperPlan& plan, const PaperFigures& figures, const std::string& scale, double seconds) {
  const auto& e = plan.experiment;
  ordered_json json{{"scale", scale},
                    {"data", e.data.data},
                    {"train", e.train},
                    {"unlabelled", e.pretraining_split()},
                    {"split", e.test},
                    {"dev", e.dev},
                    {"threshold", "accuracy at 0.5, tuned_accuracy at the threshold that is best on dev"},
                    {"seeds", plan.seeds},
                    {"encoders", {{"cnn", e.cnn}, {"vit", e.vit}, {"text", e.text}}},
                    {"tables", ordered_json::array()},
                    {"label_efficiency", ordered_json::array()},
                    {"pretrainings", ordered_json::array()},
                    {"losses", ordered_json::object()},
                    {"collapse", ordered_json::array()}};
  for (const auto& table : plan.tables) {
    ordered_json rows = ordered_json::array();
    for (const auto& row : table.rows) rows.push_back(json_of(plan, figures, row));
    json["tables"].push_back({{"key", table.key}, {"title", table.title}, {"rows", std::move(rows)}});
  }
  for (const auto& point : plan.label_points) {
    ordered_json line{{"pretraining", point.pretraining}, {"labels", point.labels}, {"classifier", point.classifier}};
    const auto& auroc = figures.classifiers.at(point.classifier).auroc;
    put(line, "auroc", auroc);
    line["seeds"] = auroc.n;
    json["label_efficiency"].push_back(std::move(line));
  }
  for (const auto& fit : e.pretrainings) {
    const auto& histories = figures.pretrainings.at(fit.key);
    json["pretrainings"].push_back(
        {{"fit", fit.key}, {"title", fit.title}, {"epochs", fit.epochs}, {"seconds", figures.seconds.at(fit.key)}});
    json["losses"][fit.key] = losses_of(histories);
    for (auto& line : collapse_of(fit, histories)) json["collapse"].push_back(std::move(line));
  }
  if (const auto margin = modality_margin(plan, figures)) json["modality_margin"] = *margin;
  json["seconds"] = seconds;
  return json.dump(2) + "\n";
}

}  // namespace examples
