// Memes whose label is the exclusive or of brightness and words, so that neither says anything alone; and the smallest
// encoders that see both.
#pragma once

#include <sslmeme/core/random.hpp>
#include <sslmeme/data/loader.hpp>
#include <sslmeme/data/views.hpp>
#include <sslmeme/nn/backbone.hpp>
#include <sslmeme/text/wordpiece.hpp>

#include <torch/nn/modules/embedding.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace sslmeme::test {

struct XorMemes {
  std::size_t count = 64;
  std::uint64_t seed = 0;

  std::size_t size() const { return count; }
  Sample get(std::size_t i) const {
    const bool bright = i % 2 == 1, bad = i / 2 % 2 == 1;
    Sample sample{Image{8, 8}, bad ? "a skunk" : "a rose", std::int64_t{bright != bad}, static_cast<std::int64_t>(i)};
    Rng rng{derive_seed({seed, i})};
    for (auto& value : sample.picture.pixels) value = static_cast<std::uint8_t>((bright ? 140 : 20) + rng.below(96));
    return sample;
  }
};

/// The mean of each channel: (N, 3, H, W) → (N, 3).
struct Colours final : ImageBackbone {
  std::int64_t feature_dim() const override { return 3; }
  Tensor forward(const Tensor& images) override { return images.mean({2, 3}); }
};

/// The mean of the words' vectors.
struct Words final : TextBackbone {
  explicit Words(std::int64_t vocabulary) : vectors{register_module("vectors", torch::nn::Embedding(vocabulary, 4))} {}
  std::int64_t feature_dim() const override { return 4; }
  Tensor forward(const Tensor& tokens, const Tensor& mask) override {
    const auto weight = mask.unsqueeze(2).to(torch::kFloat);
    return (vectors->forward(tokens) * weight).sum(1) / weight.sum(1);
  }
  torch::nn::Embedding vectors;
};

inline std::shared_ptr<const WordPiece> xor_words() {
  const std::vector<std::string> texts{"a skunk", "a rose"};
  return std::make_shared<const WordPiece>(WordPiece::from_vocabulary(train_wordpiece(texts, {.vocabulary_size = 40})));
}

/// For training with `shuffle`; without it nothing is left out.
inline DataLoader xor_loader(const XorMemes& memes, bool shuffle, int workers = 0) {
  return {memes,
          eval_views({.size = 8}),
          {.batch_size = 16,
           .workers = workers,
           .seed = 3,
           .shuffle = shuffle,
           .drop_last = shuffle,
           .tokenizer = xor_words(),
           .max_tokens = 12}};
}

}  // namespace sslmeme::test
