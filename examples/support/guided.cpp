#include "support/guided.hpp"

#include <sslmeme/core/files.hpp>
#include <sslmeme/eval/metrics.hpp>
#include <sslmeme/eval/neighbour_vote.hpp>

#include "support/json_file.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <map>

namespace examples {

void GuidedArguments::add_to(CLI::App& app) {
  auto* on = app.add_flag("--rgcl", rgcl,
                          "draw each meme to its nearest of the same label and drive it from that of the other (RGCL); "
                          "reads the training split once more each epoch");
  app.add_option("--rgcl-weight", weight, "of that loss beside cross-entropy")
      ->check(CLI::NonNegativeNumber)
      ->needs(on)
      ->capture_default_str();
  app.add_option("--rgcl-loss", loss, "log_ratio is the paper's, hinge what its authors' script runs")
      ->check(CLI::IsMember({"log_ratio", "hinge"}))
      ->needs(on)
      ->capture_default_str();
  app.add_option("--neighbours", neighbours, "so many of the nearest training memes vote on a meme")
      ->check(CLI::PositiveNumber)
      ->needs(on)
      ->capture_default_str();
}

Guided guide(const sm::Supervised& classifier, const sm::AnyDataset& train, const Preparation& preparation,
             const GuidedArguments& arguments) {
  const auto loss = arguments.loss == "hinge" ? sm::retrieval_guided_reference() : sm::RetrievalGuidedLoss{};
  sm::RetrievalGuided method{
      classifier, {.loss = loss, .weight = arguments.weight, .memory = static_cast<std::int64_t>(train.size())}};
  const auto remember = [method, judge = classifier, train, preparation]() mutable {
    auto loader = evaluation_loader(train, preparation);
    method.remember(sm::embed(judge, loader));
  };
  return {method, {remember}};
}

sm::Evaluation measure_votes(const sm::RetrievalGuided& method, const MeasuredSplits& splits,
                             const Preparation& preparation, const std::filesystem::path& run,
                             std::int64_t neighbours) {
  std::map<std::string, sm::Predictions> votes;
  for (const auto& split : splits.all) {
    auto loader = evaluation_loader(split.data, preparation);
    votes.emplace(split.name, sm::predict_by_vote(method, loader, {.k = neighbours}));
  }
  const auto& dev = votes.at(splits.dev);
  nlohmann::ordered_json of_splits;
  for (const auto& split : splits.all) {
    const auto& of_split = votes.at(split.name);
    auto& figures = of_splits[split.name] = {{"n", of_split.ids.size()}};
    if (!can_be_measured(of_split)) continue;
    const auto e = sm::evaluate(of_split, dev);
    figures["auroc"] = e.auroc;
    figures["accuracy"] = e.accuracy;
    figures["tuned_accuracy"] = e.tuned_accuracy;
  }
  const auto test = sm::evaluate(votes.at(splits.test), dev);
  const nlohmann::ordered_json json{{"k", neighbours},
                                    {"dev", splits.dev},
                                    {"test", splits.test},
                                    {"threshold", test.threshold},
                                    {"splits", of_splits}};
  sm::write_atomically(run / "votes.json", json.dump(2) + "\n");
  return test;
}

double vote_auroc(const std::filesystem::path& run) {
  return read_json(run / "votes.json", [](const std::string& text) {
    const auto json = nlohmann::json::parse(text);
    return json.at("splits").at(json.at("test").get<std::string>()).at("auroc").get<double>();
  });
}

}  // namespace examples
