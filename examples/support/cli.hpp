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

/// The options of every program that trains.
struct TrainingArguments : DataArguments {
  std::string split = "train", out, device = "cpu", vocabulary;
  int size = 224, workers = 2;
  std::int64_t epochs = 10, batch = 32, accumulate = 1, max_tokens = 64, every_epochs = 1, keep = 2, skip = 0;
  double lr = 1e-3, weight_decay = 0.05, warmup_epochs = 1, clip_norm = 1;
  std::uint64_t seed = 0;
  bool bf16 = false, resume = false, overwrite = false;

  void add_to(CLI::App& app);
  sm::TrainerOptions trainer() const;
  sm::LoaderOptions loader(std::shared_ptr<const sm::Tokenizer> tokenizer = nullptr) const;
  /// The split to train on.
  sm::AnyDataset dataset() const { return open(split); }
  /// The WordPiece vocabulary given by --vocab; else that of the run directory when resuming; else one trained on the
  /// texts of `dataset`.
  std::shared_ptr<const sm::WordPiece> tokenizer(const sm::AnyDataset& dataset) const;
};

/// A small vocabulary trained on the texts of a dataset.
std::shared_ptr<const sm::WordPiece> train_tokenizer(const sm::AnyDataset& data);

/// Callback that saves the vocabulary beside the weights, where finetune looks for it.
struct VocabularyKeeper {
  std::shared_ptr<const sm::WordPiece> tokenizer;
  void on_fit_begin(const sm::StepInfo& info) const;
};

}  // namespace examples
