#include "support/experiment.hpp"

#include <sslmeme/core/files.hpp>
#include <sslmeme/data/views.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <sstream>

namespace examples {

sm::DataLoader evaluation_loader(const sm::AnyDataset& data, int size, std::shared_ptr<const sm::Tokenizer> tokenizer,
                                 std::int64_t max_tokens) {
  return {data,
          sm::eval_views({.size = size}),
          {.batch_size = 128,
           .shuffle = false,
           .drop_last = false,
           .tokenizer = std::move(tokenizer),
           .max_tokens = max_tokens}};
}

Measured measure(sm::Supervised& classifier, const Splits& splits, int size,
                 const std::shared_ptr<const sm::Tokenizer>& tokenizer, std::int64_t max_tokens) {
  const auto scores = [&](const sm::AnyDataset& data) {
    auto loader = evaluation_loader(data, size, tokenizer, max_tokens);
    return sm::predict(classifier, loader);
  };
  const auto dev = scores(splits.dev);
  Measured measured{{}, scores(splits.test), {}};
  measured.test = sm::evaluate(measured.predictions, dev);
  if (splits.unseen) measured.unseen = sm::evaluate(scores(*splits.unseen), dev);
  return measured;
}

void write_predictions(const std::filesystem::path& path, const sm::Predictions& predictions) {
  std::string text;
  for (std::size_t i = 0; i < predictions.ids.size(); ++i) {
    nlohmann::json line{{"id", predictions.ids[i]}, {"score", predictions.scores[i]}};
    if (predictions.labels[i] >= 0) line["label"] = predictions.labels[i];
    text += line.dump() + '\n';
  }
  sm::write_atomically(path, text);
}

sm::Predictions read_predictions(const std::filesystem::path& path) {
  sm::Predictions predictions;
  std::istringstream in{sm::read_file(path)};
  for (std::string line; std::getline(in, line);) {
    const auto json = nlohmann::json::parse(line);
    predictions.ids.push_back(json.at("id"));
    predictions.scores.push_back(json.at("score"));
    predictions.labels.push_back(json.value("label", -1));
  }
  return predictions;
}

}  // namespace examples
