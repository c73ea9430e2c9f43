#include "eval/scorer_files.hpp"

#include <sslmeme/core/error.hpp>
#include <sslmeme/core/files.hpp>
#include <sslmeme/nn/safetensors.hpp>
#include <sslmeme/text/clip_bpe.hpp>
#include <sslmeme/text/wordpiece.hpp>

#include "core/shown.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <span>
#include <sstream>

namespace sslmeme::detail {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

constexpr const char* remedy = "make it again: finetune --resume";

[[noreturn]] void damaged(const fs::path& file, const std::string& what) {
  throw DataError(fmt::format("{} {}; {}", shown_path(file), what, remedy));
}

ordered_json json_of(const FileDigest& digest) {
  return {{"bytes", digest.bytes}, {"crc32", digest.crc32}};
}

/// Throws DataError where a file is not the one that scorer.json tells of.
void check_digest(const fs::path& file, const nlohmann::json& expected) {
  const auto digest = digest_of(file);
  if (digest.bytes != expected.at("bytes").get<std::uint64_t>() ||
      digest.crc32 != expected.at("crc32").get<std::uint32_t>())
    damaged(file, "is not the file that scorer.json tells of");
}

/// Writes the tokenizer's file; what scorer.json says of it.
ordered_json save_tokenizer(const fs::path& run, const Tokenizer* tokenizer, const fs::path& merges) {
  if (tokenizer == nullptr) return nullptr;
  if (const auto* const words = dynamic_cast<const WordPiece*>(tokenizer)) {
    words->save(run / "vocab.txt");
    const auto& o = words->options();
    ordered_json json{{"kind", "wordpiece"},
                      {"file", "vocab.txt"},
                      {"lower_case", o.lower_case},
                      {"max_characters_per_word", o.max_characters_per_word},
                      {"tokenize_chinese_chars", o.tokenize_chinese_chars},
                      {"never_split", o.never_split}};
    if (o.strip_accents) json["strip_accents"] = *o.strip_accents;
    return json;
  }
  if (dynamic_cast<const ClipBpe*>(tokenizer) == nullptr || merges.empty()) {
    throw InvalidArgument(
        "save_scorer keeps the tokenizers WordPiece and ClipBpe, the latter by its file of merges: name it as merges");
  }
  const auto name = merges.extension() == ".gz" ? "merges.txt.gz" : "merges.txt";
  write_atomically(run / name, read_file(merges));
  return {{"kind", "clip"}, {"file", name}};
}

/// The file of a tokenizer's JSON, within the run.
fs::path tokenizer_file(const fs::path& run, const nlohmann::json& json) {
  const auto name = json.at("file").get<std::string>();
  if (name.empty() || name.starts_with('.') || name.find('/') != std::string::npos)
    damaged(run / "scorer.json", fmt::format("names the tokenizer's file {}", in_quotes(name)));
  return run / name;
}

std::shared_ptr<const Tokenizer> load_tokenizer(const fs::path& run, const nlohmann::json& json) {
  if (json.is_null()) return nullptr;
  const auto kind = json.at("kind").get<std::string>();
  const auto file = tokenizer_file(run, json);
  if (kind == "clip") return std::make_shared<ClipBpe>(ClipBpe::from_file(file));
  if (kind != "wordpiece")
    damaged(run / "scorer.json",
            fmt::format("names a tokenizer {}, which this version does not know", in_quotes(kind)));
  WordPieceOptions options;
  json.at("lower_case").get_to(options.lower_case);
  json.at("max_characters_per_word").get_to(options.max_characters_per_word);
  json.at("tokenize_chinese_chars").get_to(options.tokenize_chinese_chars);
  json.at("never_split").get_to(options.never_split);
  if (json.contains("strip_accents")) options.strip_accents = json.at("strip_accents").get<bool>();
  return std::make_shared<WordPiece>(WordPiece::from_file(file, options));
}

FileDigest write_memes(const fs::path& file, const std::vector<LabelledMeme>& memes) {
  return write_atomically(file, [&](const ByteSink& sink) {
    for (const auto& meme : memes) {
      const auto line =
          ordered_json{{"id", meme.id}, {"label", meme.label}, {"text", meme.text}, {"picture", meme.picture}}.dump(
              -1, ' ', false, nlohmann::json::error_handler_t::replace) +
          '\n';
      sink(std::as_bytes(std::span{line}));
    }
  });
}

std::vector<LabelledMeme> read_memes(const fs::path& file) {
  std::vector<LabelledMeme> memes;
  std::istringstream in{read_file(file)};
  for (std::string line; std::getline(in, line);) {
    const auto json = nlohmann::json::parse(line);
    memes.push_back({json.at("id"), json.at("label"), json.at("text"), json.at("picture")});
  }
  return memes;
}

MemeBank read_bank(const fs::path& run) {
  const auto file = run / "bank.safetensors";
  MemeBank bank;
  bank.memes = read_memes(run / "bank.jsonl");
  const auto stored = read_safetensors(file);
  for (const auto& [name, tensor] : stored.tensors) {
    auto* const place = name == "features"           ? &bank.features
                        : name == "image_background" ? &bank.image_background
                        : name == "text_background"  ? &bank.text_background
                                                     : nullptr;
    if (place == nullptr)
      damaged(file, fmt::format("holds a tensor {}, which this version does not know", in_quotes(name)));
    *place = tensor;
  }
  const auto rows = bank.features.defined() ? bank.features.size(0) : 0;
  if (rows != static_cast<std::int64_t>(bank.memes.size()))
    damaged(file, fmt::format("has {} rows, bank.jsonl {} lines", rows, bank.memes.size()));
  return bank;
}

}  // namespace

void check_settings(const ScorerSettings& s) {
  if (!(s.threshold >= 0))
    throw InvalidArgument(fmt::format("ScorerSettings::threshold is {}: give 0 or more", s.threshold));
  if (!(s.temperature > 0 && std::isfinite(s.temperature)))
    throw InvalidArgument(fmt::format("ScorerSettings::temperature is {}: must be positive", s.temperature));
  if (s.max_tokens < 2)
    throw InvalidArgument(fmt::format("ScorerSettings::max_tokens is {}: must be at least 2", s.max_tokens));
  eval_views({.size = s.size});  // refuses a bad size
}

void write_scorer_files(const fs::path& run, const ScorerFiles& files, const fs::path& merges) {
  const auto& [settings, tokenizer, bank] = files;
  NamedTensors tensors;
  const auto add = [&](const char* name, const Tensor& tensor) {
    if (tensor.defined()) tensors.emplace_back(name, tensor);
  };
  add("features", bank.features);
  add("image_background", bank.image_background);
  add("text_background", bank.text_background);
  const auto token_json = save_tokenizer(run, tokenizer.get(), merges);
  ordered_json digests{{"model.safetensors", json_of(digest_of(run / "model.safetensors"))},
                       {"bank.safetensors", json_of(write_safetensors(run / "bank.safetensors", tensors))},
                       {"bank.jsonl", json_of(write_memes(run / "bank.jsonl", bank.memes))}};
  if (tokenizer) {
    const auto name = token_json.at("file").get<std::string>();
    digests[name] = json_of(digest_of(run / name));
  }
  ordered_json json{{"size", settings.size},           {"max_tokens", settings.max_tokens},
                    {"threshold", settings.threshold}, {"temperature", settings.temperature},
                    {"tokenizer", token_json},         {"files", digests}};
  if (!settings.temperature_note.empty()) json["temperature_note"] = settings.temperature_note;
  write_atomically(run / "scorer.json", json.dump(2) + "\n");
}

ScorerFiles read_scorer_files(const fs::path& run) {
  const auto file = run / "scorer.json";
  if (std::error_code error; !fs::exists(file, error)) {
    throw InvalidArgument(
        fmt::format("{} is no scorer yet, it has no scorer.json: finish it by finetune --resume", shown_path(run)));
  }
  try {
    const auto json = nlohmann::json::parse(read_file(file));
    const auto& digests = json.at("files");
    for (const auto& [name, digest] : digests.items()) {
      if (name.starts_with('.') || name.find('/') != std::string::npos)
        damaged(file, fmt::format("names the file {}", in_quotes(name)));
      check_digest(run / name, digest);
    }
    ScorerFiles files;
    json.at("size").get_to(files.settings.size);
    json.at("max_tokens").get_to(files.settings.max_tokens);
    json.at("threshold").get_to(files.settings.threshold);
    json.at("temperature").get_to(files.settings.temperature);
    files.settings.temperature_note = json.value("temperature_note", "");
    files.tokenizer = load_tokenizer(run, json.at("tokenizer"));
    files.bank = read_bank(run);
    return files;
  } catch (const nlohmann::json::exception& error) {
    damaged(file, fmt::format("or a file that it names cannot be read: {}", error.what()));
  }
}

}  // namespace sslmeme::detail
