// What a run keeps for MemeScorer: scorer.json, bank.safetensors, bank.jsonl and the tokenizer's file.
#pragma once

#include <sslmeme/eval/meme_scorer.hpp>

#include <filesystem>
#include <memory>

namespace sslmeme::detail {

/// Throws InvalidArgument for settings that cannot work.
void check_settings(const ScorerSettings& settings);

struct ScorerFiles {
  ScorerSettings settings;
  std::shared_ptr<const Tokenizer> tokenizer;
  MemeBank bank;
};

/// scorer.json comes last, so that a run that has it is whole.
void write_scorer_files(const std::filesystem::path& run, const ScorerFiles& files,
                        const std::filesystem::path& merges);

/// Throws InvalidArgument for a run without scorer.json, DataError for files other than those that it tells of.
ScorerFiles read_scorer_files(const std::filesystem::path& run);

}  // namespace sslmeme::detail
