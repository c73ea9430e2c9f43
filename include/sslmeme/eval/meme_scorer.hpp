// MemeScorer: a fine-tuned run as a function from a meme to a verdict, for programs that judge memes.
#pragma once

#include <sslmeme/core/precision.hpp>
#include <sslmeme/data/dataset.hpp>
#include <sslmeme/data/quarantine.hpp>
#include <sslmeme/data/views.hpp>
#include <sslmeme/method/supervised.hpp>
#include <sslmeme/text/tokenizer.hpp>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sslmeme {

/// How a classifier's memes are made ready, and what its logits mean. RUN/scorer.json holds it.
struct ScorerSettings {
  int size = 224;                     ///< pixels of both edges: pictures are prepared by eval_views()
  std::int64_t max_tokens = 64;       ///< longest text in tokens
  double threshold = 0.5;             ///< probabilities from here on are "harmful"; tuned on a dev split
  double temperature = 1;             ///< probability = σ(logit / temperature), see fit_temperature()
  std::string temperature_note = {};  ///< why it is 1 where the dev split told none: probabilities are not calibrated
};

/// A meme that people have labelled.
struct LabelledMeme {
  std::int64_t id = 0;
  std::int64_t label = 0;
  std::string text = {};
  std::string picture = {};  ///< the name of its file, as the dataset tells it
};

/// Labelled memes that others are compared with, as a classifier's encoders see them.
struct MemeBank {
  /// f32 (N, D), rows of length 1: the features of each encoder, each scaled to length 1, side by side, over the root
  /// of how many encoders there are. So the inner product of two rows is the mean over modalities of the cosines.
  Tensor features = {};
  /// f32 (K, D_i) and (K, D_t): features of some of the memes as the encoders give them, row by row of the same meme.
  /// They stand in for a modality that is taken away. Undefined without such an encoder.
  Tensor image_background = {}, text_background = {};
  std::vector<LabelledMeme> memes = {};  ///< N
};

struct BankOptions {
  std::int64_t max_memes = 10'000;  ///< of a larger dataset so many are drawn; 0: none
  std::int64_t background = 32;     ///< of those so many are drawn to stand in for a modality that is taken away
  std::uint64_t seed = 0;           ///< of both draws
  std::int64_t batch_size = 64;     ///< memes that are encoded at once
  int workers = 2;                  ///< threads that read them
  Unreadable unreadable = {};       ///< fail, or leave_out: then the bank is smaller by those that cannot be read
};

/// Encodes the labelled memes of a dataset, in its order; the same for any number of workers. Takes 4·N·D bytes, on
/// disk too (10,000 memes of ViT-B/16 and BERT: 61 MB), and one pass of each encoder a meme. tokenizer: may be null
/// where the classifier reads no words. Throws as DataLoader does, InvalidArgument for a policy of substituting, and
/// NonFiniteError naming the id.
MemeBank make_bank(Supervised& classifier, const AnyDataset& data, std::shared_ptr<const Tokenizer> tokenizer,
                   const ScorerSettings& settings, const BankOptions& options = {});

/// Makes a run of Trainer<Supervised> one that MemeScorer reads: writes RUN/bank.safetensors, RUN/bank.jsonl, the
/// tokenizer's file and, last, RUN/scorer.json with the digests of these and of model.safetensors.
/// tokenizer: a WordPiece, or a ClipBpe with `merges` naming its file; null where the classifier reads no words. Throws
/// InvalidArgument for settings that cannot work and a run that is not finished, IoError, and what make_bank() throws.
void save_scorer(const std::filesystem::path& run, Supervised& classifier, const AnyDataset& labelled,
                 std::shared_ptr<const Tokenizer> tokenizer, const ScorerSettings& settings,
                 const BankOptions& options = {}, const std::filesystem::path& merges = {});

struct ScorerOptions {
  std::string device = "cpu";             ///< "cpu", "cuda", "cuda:1"
  std::int64_t nearest = 5;               ///< labelled memes told with each verdict; 0: none
  std::optional<double> threshold = {};   ///< in place of the run's
  Precision precision = Precision::fp32;  ///< of the encoders
};

/// A labelled meme like the one that is judged.
struct NearestMeme : LabelledMeme {
  double cosine = 0;  ///< in [−1, 1], see MemeBank::features
};

/// What a scorer thinks of a meme, and why.
struct Verdict {
  double probability = 0;  ///< of "harmful", calibrated
  double logit = 0;        ///< what the classifier gave
  bool harmful = false;    ///< probability ≥ threshold
  /// The mean of the probabilities with the words, or the picture, of each background meme of the bank in place of its
  /// own: what the other modality alone says (the interventional expectation of Janzing et al., arXiv:1910.13413). None
  /// for a classifier of one modality. Costs no pass of an encoder, and the fusion head one row a background meme.
  std::optional<double> without_words = {};
  std::optional<double> without_picture = {};
  std::vector<NearestMeme> nearest = {};  ///< most alike first; equally alike in the bank's order
  /// A sentence made of the above. A modality alone "says the same" when the probability without the other lies on the
  /// same side of the threshold, with at least half of the distance in logits.
  std::string reason = {};
};

/// Judges memes by a fine-tuned run.
///
///     const sm::MemeScorer scorer{"runs/judge"};
///     const auto verdict = scorer.score(sm::read_image("meme.png"), "so much love");
///     if (verdict.harmful) std::cout << verdict.reason << '\n';
///
/// Thread-safe: all members are const, share one model in evaluation mode and change nothing, not even LibTorch's
/// gradient mode. Copies are cheap and share it too. A verdict depends on its meme alone, but for rounding: batches of
/// another size may differ in the last digits.
class MemeScorer {
 public:
  /// Loads a run that save_scorer() completed, as finetune does. Throws InvalidArgument for a run that is not
  /// fine-tuned or not complete, saying what to run, and for options that cannot work; IoError and DataError for files
  /// that are missing, damaged or not those that save_scorer() saw.
  explicit MemeScorer(const std::filesystem::path& run, const ScorerOptions& options = {},
                      const BackboneRegistry& registry = BackboneRegistry::built_in());
  /// Of a classifier at hand, which is put into evaluation mode and must be left alone from here on. Without a bank
  /// nothing is nearest and no modality can be taken away.
  MemeScorer(Supervised classifier, std::shared_ptr<const Tokenizer> tokenizer, const ScorerSettings& settings,
             MemeBank bank = {}, const ScorerOptions& options = {});

  /// Judges one meme. A classifier of words alone ignores the picture, which may be empty, one of pictures the words.
  /// Throws InvalidArgument for an empty picture where pictures are read, NonFiniteError for a logit that is not
  /// finite.
  Verdict score(const Image& picture, std::string_view text = {}) const;
  /// The same of many, encoded in batches. Labels and ids are not looked at.
  std::vector<Verdict> score(std::span<const Sample> memes) const;
  /// The same of a batch from a DataLoader made with views(), tokenizer() and settings().max_tokens; rows that only
  /// fill it up are left out.
  std::vector<Verdict> score(const Batch& batch) const;

  /// Memes as a batch of tensors, as a DataLoader prepares them. Throws InvalidArgument for an empty picture where
  /// pictures are read.
  Batch prepare(std::span<const Sample> memes) const;

  bool reads_pictures() const;
  bool reads_words() const;
  const ScorerSettings& settings() const;  ///< with ScorerOptions::threshold where it was given
  const ScorerOptions& options() const;
  Views views() const;
  std::shared_ptr<const Tokenizer> tokenizer() const;  ///< null where no words are read
  const MemeBank& bank() const;
  const Supervised& classifier() const;
  torch::Device device() const;

 private:
  struct State;
  std::shared_ptr<const State> state_;
};

}  // namespace sslmeme
