#include "support/cli.hpp"

#include <sslmeme/core/error.hpp>
#include <sslmeme/core/files.hpp>
#include <sslmeme/core/memory.hpp>
#include <sslmeme/nn/weights.hpp>
#include <sslmeme/text/clip_bpe.hpp>
#include <sslmeme/train/distributed.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iostream>
#include <map>
#include <optional>

namespace examples {
namespace {

/// Writes the value of a key; false for one that it does not take.
using Field = std::function<bool(const std::string&)>;
using Fields = std::map<std::string, Field>;

/// A number, into any arithmetic type.
template <class T>
Field number(T& target) {
  return [&target](const std::string& text) {
    double value = 0;
    if (!CLI::detail::lexical_cast(text, value)) return false;
    if (!(std::abs(value) < 0x1p53)) return false;
    target = static_cast<T>(value);
    return static_cast<double>(target) == value;
  };
}

Field optional_number(std::optional<double>& target) {
  return [&target](const std::string& text) { return CLI::detail::lexical_cast(text, target.emplace()); };
}

Field flag(bool& target) {
  return [&target](const std::string& text) {
    target = text == "1";
    return target || text == "0";
  };
}

Field pooling(std::optional<sm::Pooling>& target) {
  return [&target](const std::string& text) {
    target = text == "mean" ? sm::Pooling::mean : sm::Pooling::first;
    return text == "mean" || text == "first";
  };
}

/// Splits NAME:key=value,… and writes each value through `fields`. Returns NAME.
std::string parse_encoder(const std::string& text, const Fields& fields) {
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
    if (!field->second(item.substr(equals + 1))) {
      throw sm::InvalidArgument(
          fmt::format("\"{}\" in the encoder \"{}\" has no value that {} takes", item, text, field->first));
    }
  }
  return text.substr(0, colon);
}

/// What an encoder on the command line has beside its architecture.
struct Extras {
  bool grad_checkpointing = false;
  std::string weights = {};

  void add_to(Fields& fields) {
    fields.emplace("grad_checkpointing", flag(grad_checkpointing));
    fields.emplace("weights", [this](const std::string& text) { return !(weights = text).empty(); });
  }
  void apply_to(sm::Backbone& encoder) const {
    encoder.set_grad_checkpointing(grad_checkpointing);
    if (weights.empty()) return;
    const auto report = sm::load_weights(weights, encoder, sm::without_head({.resample = true}));
    std::cerr << fmt::format("{}: {}\n", weights, report.summary());
  }
};

/// Where a run keeps its vocabulary, if it has one.
std::filesystem::path kept_vocabulary(const std::filesystem::path& run, bool clip) {
  if (!clip) return run / "vocab.txt";
  std::error_code error;
  const auto compressed = run / "merges.txt.gz";
  return std::filesystem::exists(compressed, error) ? compressed : run / "merges.txt";
}

Words read_words(const std::filesystem::path& file, bool clip) {
  try {
    if (!clip) return {std::make_shared<const sm::WordPiece>(sm::WordPiece::from_file(file))};
    return {std::make_shared<const sm::ClipBpe>(sm::ClipBpe::from_file(file)), sm::read_file(file)};
  } catch (const sm::DataError& error) {
    throw sm::DataError(fmt::format("{} (--vocab {})", error.what(),
                                    clip ? "of CLIP's text encoder is its merges, bpe_simple_vocab_16e6.txt.gz"
                                         : "of a text encoder that is not CLIP's is a WordPiece vocab.txt"));
  }
}

constexpr int exit_interrupted = 75;

}  // namespace

void check_output_file(const std::filesystem::path& out) {
  std::error_code error;
  if (std::filesystem::is_directory(out, error))
    throw sm::InvalidArgument(fmt::format("--out {} is a folder: give the name of a file", out.string()));
  const auto folder = std::filesystem::absolute(out).parent_path();
  if (!std::filesystem::is_directory(folder, error))
    throw sm::InvalidArgument(fmt::format("--out {}: there is no folder {}", out.string(), folder.string()));
}

void check_new_file(const std::filesystem::path& out, bool overwrite) {
  check_output_file(out);
  std::error_code error;
  if (!overwrite && std::filesystem::exists(out, error)) {
    throw sm::InvalidArgument(
        fmt::format("{} is there already: give --overwrite to replace it, or another --out", out.string()));
  }
}

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
  Extras extras;
  Fields fields{{"image_size", number(options.image_size)},
                {"patch_size", number(options.patch_size)},
                {"width", number(options.width)},
                {"depth", number(options.depth)},
                {"pooling", pooling(options.pooling)},
                {"norm_eps", optional_number(options.norm_eps)},
                {"drop_rate", number(options.drop_rate)},
                {"pos_drop_rate", number(options.pos_drop_rate)},
                {"proj_drop_rate", number(options.proj_drop_rate)},
                {"attn_drop_rate", number(options.attn_drop_rate)},
                {"drop_path_rate", number(options.drop_path_rate)},
                {"patch_drop_rate", number(options.patch_drop_rate)}};
  extras.add_to(fields);
  const auto name = parse_encoder(text, fields);
  auto encoder = sm::image_encoder(name, options);
  extras.apply_to(*encoder);
  return encoder;
}

sm::TextEncoder parse_text_encoder(const std::string& text, sm::TextEncoderOptions options) {
  Extras extras;
  Fields fields{{"width", number(options.width)},
                {"depth", number(options.depth)},
                {"dropout", optional_number(options.dropout)},
                {"attention_dropout", optional_number(options.attention_dropout)},
                {"pooling", pooling(options.pooling)},
                {"max_tokens", number(options.max_tokens)}};
  extras.add_to(fields);
  const auto name = parse_encoder(text, fields);
  auto encoder = sm::text_encoder(name, options);
  extras.apply_to(*encoder);
  return encoder;
}

std::string bare_name(const std::string& encoder) {
  return encoder.substr(0, encoder.find(':'));
}

Reads reads_of(const std::string& encoder) {
  const auto registry = sm::BackboneRegistry::built_in();
  const auto has = [name = bare_name(encoder)](const std::vector<std::string>& names) {
    return std::ranges::find(names, name) != names.end();
  };
  return {has(registry.image_names()), has(registry.text_names())};
}

bool is_clip(const std::string& encoder) {
  const auto reads = reads_of(encoder);
  return reads.pictures && reads.texts;
}

std::string Words::file() const {
  if (merges.empty()) return "vocab.txt";
  return merges.starts_with("\x1F\x8B") ? "merges.txt.gz" : "merges.txt";
}

void TrainingArguments::join_ranks() {
  const auto of_environment = sm::ranks_from_environment();
  if (!of_environment) return;
  if (of_environment->rank == 0 && of_environment->size > 1) {
    std::cerr << fmt::format("waiting for {} more at {}:{}\n", of_environment->size - 1, of_environment->address,
                             of_environment->port);
  }
  ranks = sm::connect_ranks(*of_environment);
  if (device == "cuda" && ranks->size() > 1) device = fmt::format("cuda:{}", of_environment->local_rank);
}

void TrainingArguments::add_to(CLI::App& app) {
  app.set_config("--config", "", "read options from a TOML file");
  app.add_option("--data", data, "folder of memes, in the Hateful Memes layout or one that --layout names")->required();
  add_layout_to(app);
  app.add_option("--split", split, "split to train on")->capture_default_str();
  app.add_option("--out", out, "run directory")->required();
  app.add_option("--size", size, "pixels of both edges")->capture_default_str();
  app.add_option("--epochs", epochs)->capture_default_str();
  app.add_option("--batch", batch, "samples a batch; of several processes, of each")->capture_default_str();
  app.add_option("--accumulate", accumulate,
                 "batches a step, with the gradient of one large batch; batch norm sees each by itself")
      ->capture_default_str();
  app.add_option("--lr", lr, "peak learning rate of AdamW")->capture_default_str();
  app.add_option("--weight-decay", weight_decay)->capture_default_str();
  app.add_option("--warmup", warmup_epochs, "epochs of linear warmup")->capture_default_str();
  app.add_option("--clip-norm", clip_norm, "gradients are scaled down to this norm; 0 never")->capture_default_str();
  app.add_option("--workers", workers, "threads that load data")->capture_default_str();
  app.add_option(
         "--unreadable", unreadable,
         "what to do about a meme to train on whose picture cannot be read: substitute takes another and lists it "
         "in OUT/quarantine.jsonl, until they are over 1 % of the split; fail ends at the first")
      ->check(CLI::IsMember({"fail", "substitute"}))
      ->capture_default_str();
  app.add_option("--shard-window", shard_window,
                 "of --layout shards: samples that are mixed, the rest is read in sequence")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--seed", seed)->capture_default_str();
  app.add_option("--device", device, "cpu, cuda, cuda:1; of several processes cuda is one GPU for each")
      ->capture_default_str();
  app.add_option("--vocab", vocabulary,
                 "vocabulary: WordPiece's vocab.txt, without it one is trained on the split's texts; of CLIP's text "
                 "encoder its merges; .gz too");
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
                                  : sm::ExistingRun::refuse,
          .ranks = ranks};
}

sm::LoaderOptions TrainingArguments::loader(const OpenSplit& train,
                                            std::shared_ptr<const sm::Tokenizer> tokenizer) const {
  const bool fail = unreadable == "fail";
  return {.batch_size = batch,
          .workers = workers,
          .seed = seed,
          .tokenizer = std::move(tokenizer),
          .max_tokens = max_tokens,
          .sampler = shard_order(train, shard_window),
          .unreadable = {.policy = fail ? sm::UnreadablePolicy::fail : sm::UnreadablePolicy::substitute},
          .pin_memory = device.starts_with("cuda"),
          .rank = ranks ? ranks->rank() : 0,
          .ranks = ranks ? ranks->size() : 1};
}

sm::Unreadable TrainingArguments::unreadable_of_bank() const {
  return unreadable == "fail" ? sm::Unreadable{} : left_out_of_bank;
}

Words TrainingArguments::words(const std::string& text_encoder, const sm::AnyDataset& dataset) const {
  const bool clip = is_clip(text_encoder);
  if (!vocabulary.empty()) return read_words(vocabulary, clip);
  const auto kept = kept_vocabulary(out, clip);
  if (resume && std::filesystem::exists(kept)) return read_words(kept, clip);
  if (clip) {
    throw sm::InvalidArgument(
        fmt::format("the text encoder {} reads CLIP's tokens: give its merges by --vocab, bpe_simple_vocab_16e6.txt.gz "
                    "of open_clip",
                    bare_name(text_encoder)));
  }
  return {train_tokenizer(dataset)};
}

Words TrainingArguments::words_of(const sm::TextBackbone& encoder, const std::string& from) const {
  const auto described = nlohmann::json::parse(encoder.description());
  const bool clip = is_clip(described.at("name").get<std::string>());
  const auto file = vocabulary.empty() ? kept_vocabulary(from, clip) : std::filesystem::path{vocabulary};
  auto words = read_words(file, clip);
  const auto ids = described.at("options").value("vocabulary_size", std::int64_t{0});
  if (ids > 0 && ids != words.tokenizer->vocabulary_size()) {
    throw sm::InvalidArgument(
        fmt::format("{} has {} tokens, the text encoder of {} was trained with {}: give the vocabulary of that run",
                    file.string(), words.tokenizer->vocabulary_size(), from, ids));
  }
  return words;
}

void tell_unreadable(const sm::DataLoader& loader, const std::string& label, const std::filesystem::path& run) {
  const auto& quarantine = loader.quarantine();
  if (quarantine.samples.empty()) return;
  std::vector<std::string> counts;
  for (const auto& [fault, n] : quarantine.counts()) counts.push_back(fmt::format("{} {}", n, fault));
  std::cerr << fmt::format(
      "{}: {} of {} samples could not be read ({}), others took their place {} times: {} lists them\n", label,
      quarantine.samples.size(), loader.samples(), fmt::join(counts, ", "), quarantine.substituted,
      (run / sm::quarantine_file(loader.options().rank)).string());
}

std::shared_ptr<const sm::WordPiece> train_tokenizer(const sm::AnyDataset& data) {
  std::vector<std::string> texts;
  texts.reserve(data.size());
  for (std::size_t i = 0; i < data.size(); ++i) texts.emplace_back(data.text(i));
  return std::make_shared<sm::WordPiece>(
      sm::WordPiece::from_vocabulary(sm::train_wordpiece(texts, {.vocabulary_size = 2000})));
}

void VocabularyKeeper::on_fit_begin(const sm::StepInfo& info) const {
  if (info.rank != 0) return;
  const auto file = info.session->output_dir() / words.file();
  if (const auto* const pieces = dynamic_cast<const sm::WordPiece*>(words.tokenizer.get())) {
    pieces->save(file);
  } else {
    sm::write_atomically(file, words.merges);
  }
}

}  // namespace examples
