// Seeing why: which parts of a picture and which words a verdict hangs on.
#pragma once

#include <sslmeme/eval/meme_scorer.hpp>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sslmeme {

struct ExplainOptions {
  std::int64_t grid = 8;         ///< the picture is occluded in grid × grid cells
  bool attention = true;         ///< rollout, where an encoder has attention
  bool occlusion = true;         ///< costs grid² passes of the picture encoder and one of the text encoder a word
  bool mask_words = false;       ///< occluded words are replaced by [MASK]: for encoders that were trained with it
  std::int64_t batch_size = 32;  ///< occluded memes that are encoded at once
};

/// One value for each cell of a picture, by rows.
struct PictureMap {
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::vector<double> values = {};
};

/// A word as it stands in the text: what is between white space.
struct WordWeight {
  std::string word;
  std::optional<double> attention = {};  ///< in [0, 1], of the whole text's attention, special tokens left aside
  std::optional<double> occlusion = {};  ///< logit − logit without the word: above 0 it speaks for "harmful"
};

struct Explanation {
  Verdict verdict = {};  ///< with the probabilities without words and without picture
  /// Attention rollout over the encoder's patches; sums to 1. None where the encoder has no attention.
  std::optional<PictureMap> picture_attention = {};
  /// logit − logit with the cell grey: above 0 the cell speaks for "harmful".
  std::optional<PictureMap> picture_occlusion = {};
  std::vector<WordWeight> words = {};  ///< in the order of the text; those cut off by max_tokens have 0
};

/// Attention rollout (Abnar & Zuidema 2020, arXiv:2005.00928, section 3): how much of each token of the first layer is
/// in each token behind the last, were attention all that moves it. With A_l the mean over heads of layer l's weights,
///   R = Ã_n ⋯ Ã_1,  Ã_l = (A_l + I) / 2,
/// the I being the residual connection. layers: each (N, heads, L, L), first layer first, rows that sum to 1. Returns
/// f64 (N, L, L), rows that sum to 1. Throws InvalidArgument for no layer and shapes that do not fit.
Tensor attention_rollout(std::span<const Tensor> layers);

/// Explains the scorer's verdict on one meme.
///
/// Attention: row of the rollout of the tokens that the encoder pools (PicturePooling, TextPooling: the class token,
/// the end of the text, or the mean), over patches and over words; a word has the sum of its tokens. It tells where an
/// encoder looks, not for which answer. Without it: encoders that lack attention (ResNets), and words where the
/// tokenizer joins what white space parts.
///
/// Occlusion, for every encoder: the change of the logit when a cell of the picture is grey, the mean colour of the
/// views' normalisation (Zeiler & Fergus 2014, arXiv:1311.2901, section 4.2), or when a word is left out (Li et al.
/// 2016, arXiv:1612.08220). The cells do not overlap; those of a ViT match its patches best where the grid divides
/// their number in a row.
///
/// Thread-safe and deterministic, as the scorer is. Throws as MemeScorer::score does, and InvalidArgument for options
/// that cannot work and a grid finer than the picture.
Explanation explain(const MemeScorer& scorer, const Image& picture, std::string_view text,
                    const ExplainOptions& options = {});
/// The same with a picture that a DataLoader prepared by scorer.views(): f32 (3, S, S); ignored where no pictures are
/// read.
Explanation explain(const MemeScorer& scorer, const Tensor& view, std::string_view text,
                    const ExplainOptions& options = {});

}  // namespace sslmeme
