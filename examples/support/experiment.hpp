// Fine-tuning and measuring, as finetune and demo both do it.
#pragma once

#include <sslmeme/data/meme_jsonl.hpp>
#include <sslmeme/eval/predict.hpp>
#include <sslmeme/method/supervised.hpp>
#include <sslmeme/text/tokenizer.hpp>
#include <sslmeme/train/session.hpp>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

namespace examples {

namespace sm = sslmeme;

/// The splits of a meme folder that a classifier is trained and measured on.
struct Splits {
  sm::AnyDataset train, dev, test;
  std::optional<sm::AnyDataset> unseen;
};

struct Measured {
  sm::Evaluation test;
  sm::Predictions predictions;  ///< on test
  std::optional<sm::Evaluation> unseen;
};

/// A loader that leaves nothing out, in the dataset's order.
sm::DataLoader evaluation_loader(const sm::AnyDataset& data, int size, std::shared_ptr<const sm::Tokenizer> tokenizer,
                                 std::int64_t max_tokens);

/// Predicts on dev (for the threshold), test and, where there is one, unseen.
Measured measure(sm::Supervised& classifier, const Splits& splits, int size,
                 const std::shared_ptr<const sm::Tokenizer>& tokenizer, std::int64_t max_tokens);

/// Writes {"id", "label", "score"} lines. The file appears whole or not at all. Throws IoError.
void write_predictions(const std::filesystem::path& path, const sm::Predictions& predictions);
sm::Predictions read_predictions(const std::filesystem::path& path);

}  // namespace examples
