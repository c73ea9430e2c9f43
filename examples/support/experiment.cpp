#include "support/experiment.hpp"

#include <sslmeme/core/error.hpp>
#include <sslmeme/core/files.hpp>
#include <sslmeme/data/views.hpp>
#include <sslmeme/eval/calibration.hpp>
#include <sslmeme/eval/metrics.hpp>
#include <sslmeme/train/session.hpp>

#include "support/json_file.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <sstream>

namespace examples {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace {

/// Samples labelled 0, labelled 1, and without either.
using LabelCounts = std::array<std::int64_t, 3>;

LabelCounts count_labels(std::span<const std::int64_t> labels) {
  LabelCounts counts{};
  for (const auto label : labels) ++counts[label == 0 || label == 1 ? static_cast<std::size_t>(label) : 2];
  return counts;
}

bool can_be_measured(const LabelCounts& counts) {
  return counts[0] > 0 && counts[1] > 0 && counts[2] == 0;
}

void require_both_classes(const sm::NamedDataset& split, const char* option) {
  std::vector<std::int64_t> labels;
  for (std::size_t i = 0; i < split.data.size(); ++i) labels.push_back(split.data.label(i).value_or(-1));
  const auto counts = count_labels(labels);
  if (can_be_measured(counts)) return;
  throw sm::InvalidArgument(fmt::format(
      "the split {} has {} harmless memes, {} harmful ones and {} without a label 0 or 1; figures need both "
      "classes and a label for each: choose another {}",
      split.name, counts[0], counts[1], counts[2], option));
}

/// The temperature that dev tells, or 1 and why it tells none.
void fit_temperature(const sm::Predictions& dev, RunResults& results) {
  try {
    results.temperature = sm::fit_temperature(dev.logits, dev.labels).temperature;
  } catch (const sm::InvalidArgument& error) {
    results.temperature_note = error.what();
  }
}

ordered_json json_of(const RunResults& results) {
  const auto& data = results.data;
  ordered_json splits = ordered_json::object();
  for (const auto& [name, figures] : results.splits) {
    auto& split = splits[name] = {{"n", figures.n}};
    if (!figures.evaluation) continue;
    split["auroc"] = figures.evaluation->auroc;
    split["accuracy"] = figures.evaluation->accuracy;
    split["tuned_accuracy"] = figures.evaluation->tuned_accuracy;
  }
  ordered_json json{{"test", results.test},
                    {"dev", results.dev},
                    {"threshold", results.threshold},
                    {"temperature", results.temperature}};
  if (!results.temperature_note.empty()) json["temperature_note"] = results.temperature_note;
  json["size"] = results.size;
  json["max_tokens"] = results.max_tokens;
  json["train"] = results.origin.train;
  if (!results.origin.from.empty()) json["from"] = results.origin.from;
  json["data"] = {{"data", data.data},
                  {"layout", data.layout},
                  {"columns",
                   {{"id", data.columns.id},
                    {"picture", data.columns.picture},
                    {"text", data.columns.text},
                    {"label", data.columns.label}}},
                  {"label_names", data.label_names}};
  json["splits"] = std::move(splits);
  return json;
}

RunResults results_of(const nlohmann::json& json) {
  RunResults results;
  results.origin = {json.value("train", "train"), json.value("from", "")};
  json.at("test").get_to(results.test);
  json.at("dev").get_to(results.dev);
  json.at("threshold").get_to(results.threshold);
  json.at("temperature").get_to(results.temperature);
  results.temperature_note = json.value("temperature_note", "");
  json.at("size").get_to(results.size);
  json.at("max_tokens").get_to(results.max_tokens);
  const auto &data = json.at("data"), &columns = data.at("columns");
  data.at("data").get_to(results.data.data);
  data.at("layout").get_to(results.data.layout);
  data.at("label_names").get_to(results.data.label_names);
  results.data.columns = {columns.at("id"), columns.at("picture"), columns.at("text"), columns.at("label")};
  for (const auto& [name, split] : json.at("splits").items()) {
    auto& figures = results.splits[name];
    split.at("n").get_to(figures.n);
    if (split.contains("auroc")) {
      figures.evaluation =
          sm::Evaluation{split.at("auroc"), split.at("accuracy"), split.at("tuned_accuracy"), results.threshold};
    }
  }
  return results;
}

fs::path predictions_file(const fs::path& run, const std::string& split) {
  return run / "predictions" / (split + ".jsonl");
}

void write_predictions(const fs::path& path, const sm::Predictions& predictions) {
  sm::make_directory(path.parent_path());  // a split may lie in a sub-folder
  std::string text;
  for (std::size_t i = 0; i < predictions.ids.size(); ++i) {
    ordered_json line{{"id", predictions.ids[i]}};
    if (predictions.labels[i] >= 0) line["label"] = predictions.labels[i];
    line["logit"] = predictions.logits[i];
    line["score"] = predictions.scores[i];
    text += line.dump() + '\n';
  }
  sm::write_atomically(path, text);
}

}  // namespace

MeasuredSplits open_splits(const DataArguments& where, const std::string& dev, const std::string& test,
                           const std::vector<std::string>& also) {
  MeasuredSplits splits{where.resolved(), dev, test, {}};
  std::vector<std::string> names{dev, test};
  names.insert(names.end(), also.begin(), also.end());
  for (const auto& name : names) {
    if (std::ranges::find(splits.all, name, &sm::NamedDataset::name) == splits.all.end())
      splits.all.push_back({name, splits.where.open(name)});
  }
  require_both_classes(splits.all.front(), "--dev");
  if (test != dev) require_both_classes(splits.all[1], "--test");
  return splits;
}

sm::DataLoader evaluation_loader(const sm::AnyDataset& data, const Preparation& preparation) {
  return {data,
          sm::eval_views({.size = preparation.size}),
          {.batch_size = 128,
           .shuffle = false,
           .drop_last = false,
           .tokenizer = preparation.tokenizer,
           .max_tokens = preparation.max_tokens}};
}

const sm::Evaluation& RunResults::of(const std::string& split) const {
  const auto found = splits.find(split);
  if (found == splits.end() || !found->second.evaluation)
    throw sm::InvalidArgument(fmt::format("the run has no figures of a split {}", split));
  return *found->second.evaluation;
}

bool can_be_measured(const sm::Predictions& predictions) {
  return can_be_measured(count_labels(predictions.labels));
}

RunResults measure_run(sm::Supervised& classifier, const MeasuredSplits& splits, const Preparation& preparation,
                       const fs::path& run, const Origin& origin) {
  std::vector<sm::Predictions> predictions;
  for (const auto& split : splits.all) {
    auto loader = evaluation_loader(split.data, preparation);
    predictions.push_back(sm::predict(classifier, loader));
  }
  RunResults results{.origin = origin,
                     .data = splits.where,
                     .dev = splits.dev,
                     .test = splits.test,
                     .size = preparation.size,
                     .max_tokens = preparation.max_tokens};
  const auto absolute = [](std::string& path) { path = fs::absolute(path).lexically_normal().string(); };
  absolute(results.data.data);
  if (!origin.from.empty()) absolute(results.origin.from);
  fit_temperature(predictions.front(), results);
  const sm::TemperatureScaling scaling{.temperature = results.temperature};
  for (auto& of_split : predictions) of_split.scores = scaling.apply(of_split.logits);

  const auto& dev = predictions.front();
  results.threshold = sm::best_threshold(dev.scores, dev.labels);
  for (std::size_t i = 0; i < predictions.size(); ++i) {
    const auto& of_split = predictions[i];
    auto& figures = results.splits[splits.all[i].name];
    figures.n = static_cast<std::int64_t>(of_split.ids.size());
    if (can_be_measured(of_split)) figures.evaluation = sm::evaluate(of_split, dev);
    write_predictions(predictions_file(run, splits.all[i].name), of_split);
  }
  sm::write_atomically(run / "results.json", json_of(results).dump(2) + "\n");
  return results;
}

void ForgetResults::on_fit_begin(const sm::StepInfo& info) const {
  if (info.rank != 0) return;
  for (const auto* name :
       {"scorer.json", "bank.safetensors", "bank.jsonl", "votes.json", "results.json", "predictions"})
    sm::remove_tree(info.session->output_dir() / name);
}

RunResults read_results(const fs::path& run) {
  return read_json(run / "results.json",
                   [](const std::string& text) { return results_of(nlohmann::json::parse(text)); });
}

sm::Predictions read_predictions(const fs::path& run, const std::string& split) {
  return read_json(predictions_file(run, split), [](const std::string& text) {
    sm::Predictions predictions;
    std::istringstream in{text};
    for (std::string line; std::getline(in, line);) {
      const auto json = nlohmann::json::parse(line);
      predictions.ids.push_back(json.at("id"));
      predictions.labels.push_back(json.value("label", std::int64_t{-1}));
      predictions.logits.push_back(json.at("logit"));
      predictions.scores.push_back(json.at("score"));
    }
    return predictions;
  });
}

}  // namespace examples
