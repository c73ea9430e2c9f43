#include "support/cli.hpp"

#include <sslmeme/core/error.hpp>
#include <sslmeme/core/memory.hpp>

#include <fmt/format.h>

#include <filesystem>
#include <iostream>
#include <map>

namespace examples {
namespace {

/// Splits NAME:key=value,… and writes each value through `fields`. Returns NAME.
std::string parse_encoder(const std::string& text, const std::map<std::string, std::function<void(double)>>& fields) {
  const auto colon = text.find(':');
  if (colon == std::string::npos) return text;
  for (const auto& item : CLI::detail::split(text.substr(colon + 1), ',')) {
    const auto equals = item.find('=');
    const auto field = fields.find(item.substr(0, equals));
    if (equals == std::string::npos || field == fields.end()) {
      std::string known;
      for (const auto& [key, set] : fields) known += (known.empty() ? "" : ", ") + key;
      throw sm::InvalidArgument(
          fmt::format("\"{}\" in the encoder \"{}\" is no key=value with a known key: {}", item, text, known));
    }
    double value = 0;
    if (!CLI::detail::lexical_cast(item.substr(equals + 1), value)) {
      throw sm::InvalidArgument(fmt::format("\"{}\" in the encoder \"{}\" has no number after \"=\"", item, text));
    }
    field->second(value);
  }
  return text.substr(0, colon);
}

constexpr int exit_interrupted = 75;

auto whole(std::int64_t& target) {
  return [&target](double value) { target = static_cast<std::int64_t>(value); };
}

}  // namespace

int run_program(CLI::App& app, int argc, char** argv, const std::function<void()>& body) {
  sm::keep_freed_memory();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  try {
    body();
    return 0;
  } catch (const Interrupted&) {
    std::cerr << app.get_name() << ": interrupted after a checkpoint; go on with --resume\n";
    return exit_interrupted;
  } catch (const std::exception& error) {
    std::string message = error.what();
    // LibTorch appends a stack trace; people need the first line.
    std::cerr << app.get_name() << ": " << message.substr(0, message.find('\n')) << '\n';
    return 1;
  }
}

sm::ImageEncoder parse_image_encoder(const std::string& text, sm::ImageEncoderOptions options) {
  bool checkpointing = false;
  const auto name = parse_encoder(text, {{"image_size", whole(options.image_size)},
                                         {"patch_size", whole(options.patch_size)},
                                         {"width", whole(options.width)},
                                         {"depth", whole(options.depth)},
                                         {"grad_checkpointing", [&](double value) { checkpointing = value != 0; }}});
  if (!name.starts_with("vit")) options.patch_size = 0;
  auto encoder = sm::image_encoder(name, options);
  encoder->set_grad_checkpointing(checkpointing);
  return encoder;
}

sm::TextEncoder parse_text_encoder(const std::string& text, sm::TextEncoderOptions options) {
  bool checkpointing = false;
  const auto name = parse_encoder(text, {{"grad_checkpointing", [&](double value) { checkpointing = value != 0; }},
                                         {"width", whole(options.width)},
                                         {"depth", whole(options.depth)},
                                         {"max_tokens", whole(options.max_tokens)},
                                         {"dropout", [&](double value) { options.dropout = value; }}});
  auto encoder = sm::text_encoder(name, options);
  encoder->set_grad_checkpointing(checkpointing);
  return encoder;
}

void TrainingArguments::add_to(CLI::App& app) {
  app.set_config("--config", "", "read options from a TOML file");
  app.add_option("--data", data, "folder of memes, in the Hateful Memes layout or one that --layout names")->required();
  add_layout_to(app);
  app.add_option("--split", split, "split to train on")->capture_default_str();
  app.add_option("--out", out, "run directory")->required();
  app.add_option("--size", size, "pixels of both edges")->capture_default_str();
  app.add_option("--epochs", epochs)->capture_default_str();
  app.add_option("--batch", batch, "samples a batch")->capture_default_str();
  app.add_option("--accumulate", accumulate, "batches a step, with the gradient of one large batch")
      ->capture_default_str();
  app.add_option("--lr", lr, "peak learning rate of AdamW")->capture_default_str();
  app.add_option("--weight-decay", weight_decay)->capture_default_str();
  app.add_option("--warmup", warmup_epochs, "epochs of linear warmup")->capture_default_str();
  app.add_option("--clip-norm", clip_norm, "gradients are scaled down to this norm; 0 never")->capture_default_str();
  app.add_option("--workers", workers, "threads that load data")->capture_default_str();
  app.add_option("--seed", seed)->capture_default_str();
  app.add_option("--device", device, "cpu, cuda, cuda:1")->capture_default_str();
  app.add_option("--vocab", vocabulary, "WordPiece vocab.txt; without it one is trained on the split's texts");
  app.add_option("--max-tokens", max_tokens, "longest text, in tokens")->capture_default_str();
  app.add_option("--checkpoint-every", every_epochs, "epochs between checkpoints")->capture_default_str();
  app.add_option("--keep", keep, "so many of the newest checkpoints stay")->capture_default_str();
  app.add_option("--skip-non-finite", skip, "so many steps in a row may have a loss that is not finite")
      ->capture_default_str();
  app.add_flag("--bf16", bf16, "encoders run in bfloat16");
  auto* go_on = app.add_flag("--resume", resume, "go on from the newest checkpoint in --out");
  app.add_flag("--overwrite", overwrite, "delete a run that is in --out")->excludes(go_on);
}

sm::TrainerOptions TrainingArguments::trainer() const {
  return {.epochs = epochs,
          .accumulate = accumulate,
          .optimizer = sm::AdamW{.lr = lr, .weight_decay = weight_decay},
          .schedule = sm::WarmupCosine{.warmup = sm::Epochs{warmup_epochs}},
          .precision = bf16 ? sm::Precision::bf16 : sm::Precision::fp32,
          .clip_norm = clip_norm,
          .skip_non_finite = skip,
          .seed = seed,
          .device = device,
          .output_dir = out,
          .existing = resume      ? sm::ExistingRun::resume
                      : overwrite ? sm::ExistingRun::overwrite
                                  : sm::ExistingRun::refuse};
}

sm::LoaderOptions TrainingArguments::loader(std::shared_ptr<const sm::Tokenizer> tokenizer) const {
  return {.batch_size = batch,
          .workers = workers,
          .seed = seed,
          .tokenizer = std::move(tokenizer),
          .max_tokens = max_tokens};
}

std::shared_ptr<const sm::WordPiece> TrainingArguments::tokenizer(const sm::AnyDataset& dataset) const {
  const auto saved = std::filesystem::path{out} / "vocab.txt";
  if (!vocabulary.empty()) return std::make_shared<sm::WordPiece>(sm::WordPiece::from_file(vocabulary));
  if (resume && std::filesystem::exists(saved)) return std::make_shared<sm::WordPiece>(sm::WordPiece::from_file(saved));
  return train_tokenizer(dataset);
}

std::shared_ptr<const sm::WordPiece> train_tokenizer(const sm::AnyDataset& data) {
  std::vector<std::string> texts;
  texts.reserve(data.size());
  for (std::size_t i = 0; i < data.size(); ++i) texts.emplace_back(data.text(i));
  return std::make_shared<sm::WordPiece>(
      sm::WordPiece::from_vocabulary(sm::train_wordpiece(texts, {.vocabulary_size = 2000})));
}

void VocabularyKeeper::on_fit_begin(const sm::StepInfo& info) const {
  tokenizer->save(info.session->output_dir() / "vocab.txt");
}

}  // namespace examples
