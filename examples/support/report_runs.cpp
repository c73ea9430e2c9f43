#include "support/report_runs.hpp"

#include <sslmeme/core/error.hpp>
#include <sslmeme/core/files.hpp>
#include <sslmeme/eval/metrics.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>
#include <string_view>
#include <utility>

namespace examples {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

/// A directory on the command line.
struct Named {
  std::string name;  ///< empty where none was given
  fs::path path;
};

Named parse(const std::string& argument) {
  const auto equals = argument.find('=');
  if (equals == std::string::npos || fs::exists(argument)) return {"", argument};
  return {argument.substr(0, equals), argument.substr(equals + 1)};
}

json read_config(const fs::path& run) {
  const auto path = run / "config.json";
  if (!fs::exists(path)) {
    throw sm::IoError(fmt::format("{} is no run directory: it has no config.json; give the --out of a training program",
                                  run.string()));
  }
  auto config = json::parse(sm::read_file(path), nullptr, /*allow_exceptions=*/false);
  if (!config.is_object() || !config.contains("trainer") || !config["trainer"].is_object() ||
      !config.contains("method"))
    throw sm::DataError(fmt::format("{} is damaged: it has no trainer and method", path.string()));
  return config;
}

std::string method_of(const json& config) {
  return config["method"].is_object() ? config["method"].value("method", std::string{"?"}) : "?";
}

template <class T>
void reorder(std::vector<T>& values, const std::vector<std::size_t>& order) {
  std::vector<T> moved;
  moved.reserve(order.size());
  for (const auto i : order) moved.push_back(values[i]);
  values = std::move(moved);
}

/// By id, so that runs can be compared row by row.
sm::Predictions by_id(sm::Predictions predictions) {
  std::vector<std::size_t> order(predictions.ids.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, {}, [&](std::size_t i) { return predictions.ids[i]; });
  reorder(predictions.ids, order);
  reorder(predictions.labels, order);
  reorder(predictions.logits, order);
  reorder(predictions.scores, order);
  return predictions;
}

/// Throws DataError unless every row has a label and a probability, and both classes are there.
void check_predictions(const fs::path& run, const std::string& split, const sm::Predictions& predictions) {
  const auto refuse = [&](const std::string& what) {
    throw sm::DataError(fmt::format("{} {}; measure the run again by finetune --resume",
                                    (run / "predictions" / (split + ".jsonl")).string(), what));
  };
  std::set<std::int64_t> classes;
  for (std::size_t i = 0; i < predictions.ids.size(); ++i) {
    const auto label = predictions.labels[i];
    const auto score = predictions.scores[i];
    if (label != 0 && label != 1) refuse(fmt::format("has no label 0 or 1 for id {}", predictions.ids[i]));
    if (!(score >= 0 && score <= 1) || !std::isfinite(predictions.logits[i]))
      refuse(fmt::format("has the score {} and logit {} for id {}", score, predictions.logits[i], predictions.ids[i]));
    classes.insert(label);
  }
  if (classes.size() != 2) refuse("does not hold memes of both classes");
}

JudgedRun read_judged(const fs::path& path, json config) {
  if (!fs::exists(path / "results.json")) {
    throw sm::InvalidArgument(
        fmt::format("{} is not finished: it has no results.json; go on with finetune --resume", path.string()));
  }
  auto results = read_results(path);
  auto test = by_id(read_predictions(path, results.test));
  check_predictions(path, results.test, test);
  const auto seed = config["trainer"].value("seed", std::uint64_t{0});
  return {path, seed, std::move(config), std::move(results), std::move(test)};
}

void erase_seeds(json& value) {
  if (value.is_object()) value.erase("seed");
  for (auto& member : value) {
    if (member.is_structured()) erase_seeds(member);
  }
}

std::string without_number(std::string name) {
  const auto end = name.find_last_not_of("0123456789");
  if (end == std::string::npos || end + 1 == name.size()) return name;
  return name.substr(0, name.find_last_not_of("-_.", end) + 1);
}

/// The path, each of its parts without the number at its end.
std::string numberless(const fs::path& path) {
  fs::path stem;
  for (const auto& part : fs::absolute(path).lexically_normal()) stem /= without_number(part.string());
  return stem.string();
}

/// A run's config.json without what may differ between runs of one model.
json shared_config(json config) {
  erase_seeds(config);
  config["trainer"].erase("threads");
  config["trainer"].erase("device");
  config.erase("versions");
  return config;
}

/// The pre-training that a run starts from, whichever its seed: its path, and its settings while it has a config.json.
json pretraining_of(const JudgedRun& run) {
  const auto& from = run.results.origin.from;
  if (from.empty()) return nullptr;
  return {numberless(from), fs::exists(fs::path{from} / "config.json") ? shared_config(read_config(from)) : json{}};
}

/// What runs of one model have in common. Each may start from a pre-training of its own seed.
std::string identity(const JudgedRun& run) {
  const auto& r = run.results;
  return json{
      shared_config(run.config), r.size, r.max_tokens, r.test, r.dev, r.data.data, r.data.layout, r.origin.train,
      pretraining_of(run)}
      .dump();
}

std::string last_part(const fs::path& directory) {
  const auto path = fs::absolute(directory).lexically_normal();
  return (path.has_filename() ? path : path.parent_path()).filename().string();
}

std::string parent_part(const fs::path& directory) {
  const auto path = fs::absolute(directory).lexically_normal();
  return last_part((path.has_filename() ? path : path.parent_path()).parent_path());
}

/// Seeds that are not all different are not the seeds of one model.
bool seeds_differ(const JudgedModel& model) {
  std::set<std::uint64_t> seeds;
  return std::ranges::all_of(model.runs, [&](const auto& run) { return seeds.insert(run.seed).second; });
}

std::size_t median_run(const JudgedModel& model) {
  std::vector<std::pair<double, std::size_t>> order;
  for (std::size_t i = 0; i < model.runs.size(); ++i)
    order.emplace_back(sm::auroc(model.runs[i].test.logits, model.runs[i].test.labels), i);
  std::ranges::sort(order);
  return order[(order.size() - 1) / 2].second;
}

/// Models of equal name get their folder's name too; those that still are equal, their whole path.
void tell_apart(std::vector<JudgedModel>& models, const std::set<std::string>& given) {
  const auto twice = [&](const std::string& name) { return std::ranges::count(models, name, &JudgedModel::name) > 1; };
  const auto rename = [&](auto name_of) {
    std::vector<std::pair<JudgedModel*, std::string>> changes;
    for (auto& model : models) {
      if (!given.contains(model.name) && twice(model.name))
        changes.emplace_back(&model, name_of(model.runs.front().path));
    }
    for (auto& [model, name] : changes) model->name = name;
  };
  rename(last_part);
  rename([](const fs::path& path) { return parent_part(path) + "/" + last_part(path); });
  rename([](const fs::path& path) { return path.string(); });
}

}  // namespace

std::string name_without_seed(const fs::path& directory) {
  const auto full = last_part(directory);
  auto name = without_number(full);
  for (const std::string_view word : {"seed", "run", "s"}) {
    if (name == full || !name.ends_with(word)) continue;
    const auto rest = name.substr(0, name.size() - word.size());
    if (const auto end = rest.find_last_not_of("-_."); end != std::string::npos && end + 1 < rest.size())
      return rest.substr(0, end + 1);
  }
  return name;
}

double steps_per_epoch(const json& config) {
  const auto& trainer = config["trainer"];
  const auto batches = trainer.value("batches_per_epoch", 1.0), accumulate = trainer.value("accumulate", 1.0);
  return std::max(1.0, std::ceil(batches / std::max(1.0, accumulate)));
}

ReportedRuns read_runs(const std::vector<std::string>& arguments) {
  ReportedRuns runs;
  std::set<fs::path> seen;
  std::set<std::string> given;
  std::map<std::string, std::string> identities;                      // of given names
  std::map<std::pair<std::string, std::string>, std::size_t> places;  // of models, by name or path, and identity
  for (const auto& argument : arguments) {
    const auto [name, path] = parse(argument);
    auto config = read_config(path);
    if (!seen.insert(fs::canonical(path)).second)
      throw sm::InvalidArgument(fmt::format("{} is given twice; give each run once", path.string()));
    if (method_of(config) != "supervised") {
      runs.pretrainings.push_back(
          {name.empty() ? last_part(path) : name, path, method_of(config), fs::exists(path / "model.safetensors")});
      continue;
    }
    auto run = read_judged(path, std::move(config));
    const auto same = identity(run);
    if (!name.empty() && identities.emplace(name, same).first->second != same) {
      throw sm::InvalidArgument(
          fmt::format("{} differs from the other runs named \"{}\" in more than the seed: give it "
                      "another name",
                      path.string(), name));
    }
    if (!name.empty()) given.insert(name);
    const auto [place, is_new] =
        places.emplace(std::pair{name.empty() ? numberless(path) : "=" + name, same}, runs.models.size());
    if (is_new) runs.models.push_back({name.empty() ? last_part(path) : name, {}});
    auto& model = runs.models[place->second];
    if (name.empty() && !model.runs.empty()) model.name = name_without_seed(path);
    model.runs.push_back(std::move(run));
  }

  std::vector<JudgedModel> models;
  for (auto& model : runs.models) {
    std::ranges::stable_sort(model.runs, {}, &JudgedRun::seed);
    if (seeds_differ(model)) {
      models.push_back(std::move(model));
    } else if (given.contains(model.name)) {
      throw sm::InvalidArgument(
          fmt::format("two runs named \"{}\" have the same seed: give them different names", model.name));
    } else {
      for (auto& run : model.runs) models.push_back({last_part(run.path), {std::move(run)}});
    }
  }
  for (auto& model : models) model.typical = median_run(model);
  tell_apart(models, given);
  runs.models = std::move(models);
  return runs;
}

}  // namespace examples
