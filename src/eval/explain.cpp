#include <sslmeme/eval/explain.hpp>

#include <sslmeme/core/error.hpp>
#include <sslmeme/nn/token_pooling.hpp>
#include <sslmeme/text/wordpiece.hpp>

#include "eval/scorer_features.hpp"
#include "nn/layers.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <numeric>

namespace sslmeme {
namespace {

struct Word {
  std::size_t begin, end;  ///< bytes of the text
};

std::vector<Word> words_of(std::string_view text) {
  constexpr std::string_view blanks = " \t\n\v\f\r";
  std::vector<Word> words;
  for (std::size_t end = 0;;) {
    const auto begin = text.find_first_not_of(blanks, end);
    if (begin == std::string_view::npos) return words;
    end = std::min(text.find_first_of(blanks, begin), text.size());
    words.push_back({begin, end});
  }
}

/// Tokens of each word, the special ones of a whole text left aside; none where the tokens of the words, one after the
/// other, are not those of the text. The text is so much as fits into max_tokens.
std::optional<std::vector<std::int64_t>> tokens_of_words(const Tokenizer& tokenizer, std::string_view text,
                                                         std::span<const Word> words, std::int64_t max_tokens) {
  constexpr std::int64_t all = 1 << 20;
  const auto bare = [&](std::string_view part) {  // without the token at each end
    auto ids = tokenizer.encode(part, all);
    return std::vector<std::int64_t>{ids.begin() + 1, ids.end() - 1};
  };
  if (tokenizer.encode("", all).size() != 2) return std::nullopt;
  std::vector<std::int64_t> counts, joined;
  std::int64_t left = max_tokens - 2;
  for (const auto& word : words) {
    const auto ids = bare(text.substr(word.begin, word.end - word.begin));
    joined.insert(joined.end(), ids.begin(), ids.end());
    counts.push_back(std::min(left, static_cast<std::int64_t>(ids.size())));
    left -= counts.back();
  }
  if (joined != bare(text)) return std::nullopt;
  return counts;
}

/// Throws InvalidArgument where [MASK] is no token of the scorer's tokenizer.
void require_mask(const Tokenizer& tokenizer) {
  const auto* const words = dynamic_cast<const WordPiece*>(&tokenizer);
  const auto has = [](const std::vector<std::string>& names) {
    return std::ranges::find(names, "[MASK]") != names.end();
  };
  if (words == nullptr || !has(words->vocabulary()) || !has(words->options().never_split))
    throw InvalidArgument("the scorer's tokenizer has no [MASK]: explain without .mask_words, which leaves words out");
}

/// The verdict's meme, and what changes of its logit when a part is hidden.
class Explainer {
 public:
  Explainer(const MemeScorer& scorer, Batch meme, std::string_view text, const ExplainOptions& options)
      : scorer_{scorer}, options_{options}, meme_{std::move(meme)}, text_{text}, words_{words_of(text)} {
    if (options.mask_words && scorer.reads_words()) require_mask(*scorer.tokenizer());
  }

  Explanation explain() const {
    const torch::NoGradGuard no_grad;
    Explanation all{.verdict = scorer_.score(meme_).front()};
    if (scorer_.reads_words()) {
      for (const auto& word : words_) all.words.push_back({text_.substr(word.begin, word.end - word.begin)});
    }
    if (options_.attention) add_attention(all);
    if (options_.occlusion) add_occlusion(all);
    return all;
  }

 private:
  const Supervised& classifier() const { return scorer_.classifier(); }

  void add_attention(Explanation& all) const {
    const auto on_device = meme_.to(scorer_.device());
    if (const auto* const pooling = dynamic_cast<const PicturePooling*>(classifier().image().get())) {
      const auto layers = classifier().image()->encode(on_device.views.front(), {.attention = true}).attention;
      const auto rollout = attention_rollout(layers).cpu()[0];
      all.picture_attention = map_of_patches(torch::matmul(pooling->token_weights(rollout.size(0)).cpu(), rollout));
    }
    const auto* const pooling = dynamic_cast<const TextPooling*>(classifier().text().get());
    const auto counts = pooling == nullptr
                            ? std::nullopt
                            : tokens_of_words(*scorer_.tokenizer(), text_, words_, scorer_.settings().max_tokens);
    if (!counts) return;
    const auto layers = classifier().text()->encode(on_device.tokens, on_device.mask, {.attention = true}).attention;
    const auto rollout = attention_rollout(layers).cpu()[0];
    const auto weights = pooling->token_weights(meme_.tokens, meme_.mask)[0].cpu();
    share_among_words(torch::matmul(weights, rollout), *counts, all.words);
  }

  /// shares: f64 (L), the class token first.
  static PictureMap map_of_patches(const Tensor& shares) {
    const auto side = detail::grid_side(shares.size(0));
    auto patches = shares.narrow(0, 1, shares.size(0) - 1);
    patches = (patches / patches.sum()).contiguous();
    const auto* const values = patches.data_ptr<double>();
    PictureMap map{side, side, {values, values + patches.numel()}};
    if (side == 0) map.rows = 1, map.columns = patches.numel();  // no square: as one row
    return map;
  }

  /// shares: f64 (L), the first token's and then those of the words.
  static void share_among_words(const Tensor& shares, std::span<const std::int64_t> counts,
                                std::span<WordWeight> words) {
    std::int64_t place = 1;
    double sum = 0;
    for (std::size_t i = 0; i < words.size(); ++i) {
      words[i].attention = shares.narrow(0, place, counts[i]).sum().item<double>();
      sum += *words[i].attention;
      place += counts[i];
    }
    for (auto& word : words) *word.attention = sum > 0 ? *word.attention / sum : 0;
  }

  void add_occlusion(Explanation& all) const {
    const auto whole = detail::encode(classifier(), meme_.to(scorer_.device()), scorer_.options().precision);
    if (scorer_.reads_pictures()) all.picture_occlusion = occlude_picture(all.verdict.logit, whole);
    if (scorer_.reads_words()) occlude_words(all.verdict.logit, whole, all.words);
  }

  /// Logits of `n` variants of the meme, made in batches by make(first, count), which leaves out what does not vary.
  std::vector<double> logits_of(std::int64_t n, const detail::MemeFeatures& whole,
                                const std::function<detail::MemeFeatures(std::int64_t, std::int64_t)>& make) const {
    std::vector<double> logits;
    for (std::int64_t first = 0; first < n; first += options_.batch_size) {
      auto features = make(first, std::min(options_.batch_size, n - first));
      if (!features.image.defined()) features.image = whole.image;
      if (!features.text.defined()) features.text = whole.text;
      const auto some = detail::logits_of(classifier(), features).to(torch::kDouble).cpu().contiguous();
      logits.insert(logits.end(), some.data_ptr<double>(), some.data_ptr<double>() + some.size(0));
    }
    return logits;
  }

  PictureMap occlude_picture(double logit, const detail::MemeFeatures& whole) const {
    const auto grid = options_.grid;
    const auto& view = meme_.views.front();
    const auto height = view.size(2), width = view.size(3);
    const auto make = [&](std::int64_t first, std::int64_t count) {
      auto hidden = view.expand({count, -1, -1, -1}).clone();
      for (std::int64_t i = 0; i < count; ++i) {
        const auto row = (first + i) / grid, column = (first + i) % grid;
        const auto top = row * height / grid, left = column * width / grid;
        hidden[i]
            .narrow(1, top, (row + 1) * height / grid - top)
            .narrow(2, left, (column + 1) * width / grid - left)
            .zero_();  // the mean, where pictures are normalised
      }
      const Autocast autocast{scorer_.options().precision, scorer_.device().type()};
      return detail::MemeFeatures{classifier().image()->forward(hidden.to(scorer_.device())).to(torch::kFloat), {}};
    };
    PictureMap map{grid, grid, logits_of(grid * grid, whole, make)};
    for (auto& value : map.values) value = logit - value;
    return map;
  }

  void occlude_words(double logit, const detail::MemeFeatures& whole, std::span<WordWeight> words) const {
    const std::string mask = options_.mask_words ? "[MASK]" : "";
    const auto make = [&](std::int64_t first, std::int64_t count) {
      std::vector<std::string> texts;
      for (std::int64_t i = first; i < first + count; ++i) {
        const auto& word = words_[static_cast<std::size_t>(i)];
        texts.push_back(text_.substr(0, word.begin) + mask + text_.substr(word.end));
      }
      const auto [tokens, real] = tokenize(*scorer_.tokenizer(), texts, scorer_.settings().max_tokens);
      const Autocast autocast{scorer_.options().precision, scorer_.device().type()};
      return detail::MemeFeatures{
          {}, classifier().text()->forward(tokens.to(scorer_.device()), real.to(scorer_.device())).to(torch::kFloat)};
    };
    const auto logits = logits_of(static_cast<std::int64_t>(words.size()), whole, make);
    for (std::size_t i = 0; i < words.size(); ++i) words[i].occlusion = logit - logits[i];
  }

  const MemeScorer& scorer_;
  ExplainOptions options_;
  Batch meme_;
  std::string text_;
  std::vector<Word> words_;
};

void check(const ExplainOptions& options, int size) {
  if (options.grid < 1 || options.grid > size)
    throw InvalidArgument(
        fmt::format("ExplainOptions::grid is {}: must be within 1 and the picture's {} pixels", options.grid, size));
  if (options.batch_size < 1)
    throw InvalidArgument(fmt::format("ExplainOptions::batch_size is {}: must be positive", options.batch_size));
}

}  // namespace

Tensor attention_rollout(std::span<const Tensor> layers) {
  if (layers.empty()) throw InvalidArgument("attention_rollout: no layers: give the attention of at least one");
  Tensor rollout;
  for (const auto& layer : layers) {
    if (layer.dim() != 4 || layer.size(2) != layer.size(3) || layer.sizes() != layers.front().sizes()) {
      throw InvalidArgument(fmt::format("attention_rollout: a layer is {}, the first {}: all must be (N, heads, L, L)",
                                        shape_string(layer), shape_string(layers.front())));
    }
    const auto mean = layer.to(torch::kDouble).mean(1);
    const auto mixed = (mean + torch::eye(mean.size(1), mean.options())) / 2;
    rollout = rollout.defined() ? torch::matmul(mixed, rollout) : mixed;
  }
  return rollout;
}

Explanation explain(const MemeScorer& scorer, const Image& picture, std::string_view text,
                    const ExplainOptions& options) {
  check(options, scorer.settings().size);
  const Sample meme{picture, std::string{text}, {}, 0};
  return Explainer{scorer, scorer.prepare({&meme, 1}), text, options}.explain();
}

Explanation explain(const MemeScorer& scorer, const Tensor& view, std::string_view text,
                    const ExplainOptions& options) {
  check(options, scorer.settings().size);
  const auto side = scorer.settings().size;
  if (scorer.reads_pictures() && (view.dim() != 3 || view.sizes() != torch::IntArrayRef{3, side, side}))
    throw InvalidArgument(
        fmt::format("explain: the view is {}, the scorer's are (3, {}, {})", shape_string(view), side, side));
  Batch batch;
  batch.ids = torch::zeros({1}, torch::kLong);
  batch.labels = torch::full({1}, -1, torch::kLong);
  if (scorer.reads_pictures()) batch.views = {view.unsqueeze(0)};
  if (scorer.reads_words()) {
    const std::string whole{text};
    auto [tokens, mask] = tokenize(*scorer.tokenizer(), {&whole, 1}, scorer.settings().max_tokens);
    batch.tokens = std::move(tokens);
    batch.mask = std::move(mask);
  }
  return Explainer{scorer, std::move(batch), text, options}.explain();
}

}  // namespace sslmeme
