// What the example programs share: running, errors, and the options that every training program has.
#pragma once

#include <sslmeme/data/loader.hpp>
#include <sslmeme/nn/backbone.hpp>
#include <sslmeme/text/wordpiece.hpp>
#include <sslmeme/train/session.hpp>

#include "support/data.hpp"

#include <CLI/CLI.hpp>

#include <filesystem>
#include <functional>
#include <memory>
#include <string>

namespace examples {

namespace sm = sslmeme;

/// A signal ended a training run, which can be resumed.
struct Interrupted {};

/// Parses the command line and runs `body`. An error becomes one line on stderr and exit code 1; a wrong command
/// line 2; Interrupted 75, which sysexits.h calls "try again".
int run_program(CLI::App& app, int argc, char** argv, const std::function<void()>& body);

/// Throws InvalidArgument for an --out that is a folder or lies in none, before work is done for it.
void check_output_file(const std::filesystem::path& out);
/// The same, and for a file that is there already unless `overwrite`.
void check_new_file(const std::filesystem::path& out, bool overwrite);

/// An encoder on the command line: NAME or NAME:key=value,key=value with the keys of ImageEncoderOptions or
/// TextEncoderOptions, e.g. vit_tiny_patch16_224:patch_size=8,width=96,depth=4, or grad_checkpointing=1, or
/// weights=FILE, which is told of on stderr. The rest of `options` stays as given.
sm::ImageEncoder parse_image_encoder(const std::string& text, sm::ImageEncoderOptions options);
sm::TextEncoder parse_text_encoder(const std::string& text, sm::TextEncoderOptions options);

/// The name of an encoder as on the command line.
std::string bare_name(const std::string& encoder);
/// What an encoder of that name reads; both of CLIP's towers have one name.
struct Reads {
  bool pictures, texts;
};
Reads reads_of(const std::string& encoder);
/// Whether an encoder, as on the command line, is a tower of CLIP.
bool is_clip(const std::string& encoder);

/// What the bank of a classifier does without: training counted such memes already, so that of few memes any share may
/// be missing.
inline constexpr sm::Unreadable left_out_of_bank{.policy = sm::UnreadablePolicy::leave_out, .abort_above = 1};

/// What makes tokens of a run's texts.
struct Words {
  std::shared_ptr<const sm::Tokenizer> tokenizer;
  std::string merges = {};  ///< the bytes of CLIP's file, compressed or not; empty: the tokenizer is a WordPiece

  /// The name of the vocabulary's file in a run: vocab.txt, merges.txt or merges.txt.gz.
  std::string file() const;
};

/// The options of every program that trains.
struct TrainingArguments : DataArguments {
  std::string split = "train", out, device = "cpu", vocabulary, unreadable = "substitute";
  int size = 224, workers = 2;
  std::int64_t epochs = 10, batch = 32, accumulate = 1, max_tokens = 64, every_epochs = 1, keep = 2, skip = 0;
  double lr = 1e-3, weight_decay = 0.05, warmup_epochs = 1, clip_norm = 1;
  std::uint64_t seed = 0, shard_window = sm::ShardOrderOptions{}.window;
  bool bf16 = false, resume = false, overwrite = false;
  std::shared_ptr<const sm::ProcessGroup> ranks = {};  ///< of this run; null: this process is alone

  void add_to(CLI::App& app);
  /// Of several processes that torchrun started (RANK, WORLD_SIZE, …), waits for the others: what follows is then for
  /// this one's share. Of one process alone, nothing.
  void join_ranks();
  sm::TrainerOptions trainer() const;
  /// For the split to train on: shards are read nearly in sequence, and unreadable samples are dealt with as
  /// --unreadable says.
  sm::LoaderOptions loader(const OpenSplit& train, std::shared_ptr<const sm::Tokenizer> tokenizer = nullptr) const;
  /// The split to train on.
  OpenSplit dataset() const { return open_split(split); }
  /// What a classifier keeps of the memes that it learned from: what training can do without, it can too.
  sm::Unreadable unreadable_of_bank() const;
  /// For a fresh text encoder, as on the command line: the vocabulary given by --vocab; else that of the run directory
  /// when resuming; else a WordPiece trained on the texts of `dataset`. Throws InvalidArgument where CLIP's merges are
  /// needed and not given, and DataError for a file of the other kind.
  Words words(const std::string& text_encoder, const sm::AnyDataset& dataset) const;
  /// For a text encoder of the run `from`: the vocabulary given by --vocab, else the run's. Throws as words() does, and
  /// InvalidArgument for one of another size than the encoder's.
  Words words_of(const sm::TextBackbone& encoder, const std::string& from) const;
};

/// Says on stderr how many samples training could not read, if any, and where they are listed.
void tell_unreadable(const sm::DataLoader& loader, const std::string& label, const std::filesystem::path& run);

/// A small vocabulary trained on the texts of a dataset.
std::shared_ptr<const sm::WordPiece> train_tokenizer(const sm::AnyDataset& data);

/// Callback that saves the vocabulary beside the weights, where finetune looks for it.
struct VocabularyKeeper {
  Words words;
  void on_fit_begin(const sm::StepInfo& info) const;
};

}  // namespace examples
