// Twelve memes, a classifier that reads them, and a run of one epoch that MemeScorer can load.
#pragma once

#include <sslmeme/core/random.hpp>
#include <sslmeme/data/loader.hpp>
#include <sslmeme/eval/meme_scorer.hpp>
#include <sslmeme/method/supervised.hpp>
#include <sslmeme/text/wordpiece.hpp>
#include <sslmeme/train/trainer.hpp>

#include <array>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "one_thread.hpp"

namespace sslmeme::test {

/// Noise with words and labels.
struct TinyMemes {
  std::size_t samples = 12;

  std::size_t size() const { return samples; }
  std::int64_t id(std::size_t i) const { return static_cast<std::int64_t>(100 + i); }
  std::optional<std::int64_t> label(std::size_t i) const { return static_cast<std::int64_t>(i % 2); }
  std::string text(std::size_t i) const {
    static constexpr std::array<const char*, 4> texts{"a red rose", "a skunk", "not a rose, is it", "so red"};
    return texts[i % 4] + std::string(i / 4, '!');
  }
  std::string source(std::size_t i) const { return "img/" + std::to_string(i) + ".png"; }
  Sample get(std::size_t i) const {
    Sample sample{Image{20, 16}, text(i), label(i), id(i)};
    Rng rng{i};
    for (auto& value : sample.picture.pixels) value = static_cast<std::uint8_t>(rng.below(256));
    return sample;
  }
};

inline std::shared_ptr<const WordPiece> tiny_words() {
  return std::make_shared<WordPiece>(
      WordPiece::from_vocabulary({"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "red", "rose", "sku", "##nk",
                                  "not", "is", "it", "so", ",", "!"}));
}

inline const ScorerSettings tiny_settings{.size = 16, .max_tokens = 12, .threshold = 0.45, .temperature = 1.5};

inline ImageEncoder tiny_vit() {
  return image_encoder("vit_tiny_patch16_224", {.image_size = 16, .patch_size = 4, .width = 12, .depth = 2, .seed = 1});
}
inline TextEncoder tiny_bert() {
  return text_encoder("minilm_l6",
                      {.vocabulary_size = 16, .max_tokens = 12, .width = 24, .depth = 2, .dropout = 0, .seed = 2});
}

inline Supervised tiny_classifier(bool pictures = true, bool words = true) {
  return {pictures ? tiny_vit() : nullptr,
          words ? tiny_bert() : nullptr,
          {.fusion = {.kind = FusionKind::concat, .norm = FusionNorm::batch, .dim = 8, .seed = 3}}};
}

/// Trains one epoch into `run`, and makes it a scorer.
inline void train_tiny(const std::filesystem::path& run, Supervised classifier, const BankOptions& bank = {}) {
  DataLoader loader{TinyMemes{},
                    eval_views({.size = 16}),
                    {.batch_size = 4, .workers = 0, .tokenizer = tiny_words(), .max_tokens = 12}};
  Trainer{classifier, {.epochs = 1, .optimizer = AdamW{.lr = 0.01}, .output_dir = run}}.fit(loader);
  save_scorer(run, classifier, TinyMemes{}, tiny_words(), tiny_settings, bank);
}

}  // namespace sslmeme::test
