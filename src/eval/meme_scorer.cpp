#include <sslmeme/eval/meme_scorer.hpp>

#include <sslmeme/core/error.hpp>
#include <sslmeme/core/random.hpp>
#include <sslmeme/eval/calibration.hpp>
#include <sslmeme/train/load_classifier.hpp>

#include "core/device.hpp"
#include "eval/scorer_features.hpp"
#include "eval/scorer_files.hpp"
#include "loss/nearest.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <tuple>
#include <utility>

namespace sslmeme {
namespace {

/// The logit of a probability, finite for 0 and 1 too.
double log_odds(double p) {
  constexpr double least = 1e-12;
  p = std::clamp(p, least, 1 - least);
  return std::log(p / (1 - p));
}

/// Whether a probability lies on the verdict's side of the threshold, with at least half of its distance in logits.
bool says_the_same(double alone, const Verdict& verdict, double threshold) {
  const double whole = log_odds(verdict.probability) - log_odds(threshold);
  const double part = log_odds(alone) - log_odds(threshold);
  return whole > 0 ? part >= 0.5 * whole : whole < 0 ? part <= 0.5 * whole : part >= 0;
}

std::string share_of_modalities(const Verdict& verdict, double threshold) {
  const bool picture = says_the_same(*verdict.without_words, verdict, threshold);
  const bool words = says_the_same(*verdict.without_picture, verdict, threshold);
  const auto* const said = picture && words ? "either alone says the same"
                           : picture        ? "the picture alone says the same"
                           : words          ? "the words alone say the same"
                                            : "it takes both";
  return fmt::format("{:.2f} without the words, {:.2f} without the picture: {}", *verdict.without_words,
                     *verdict.without_picture, said);
}

std::string reason_of(const Verdict& verdict, double threshold) {
  auto reason = fmt::format("{} with probability {:.2f}, the threshold is {:.2f}",
                            verdict.harmful ? "harmful" : "harmless", verdict.probability, threshold);
  if (verdict.without_words) reason += "; " + share_of_modalities(verdict, threshold);
  if (!verdict.nearest.empty()) {
    const auto& all = verdict.nearest;
    reason += fmt::format("; {} of the {} most similar labelled memes are harmful",
                          std::ranges::count(all, 1, &NearestMeme::label), all.size());
  }
  return reason;
}

void check_bank(const MemeBank& bank, const Supervised& classifier) {
  if (!bank.features.defined()) {
    if (bank.memes.empty() && !bank.image_background.defined() && !bank.text_background.defined()) return;
    throw InvalidArgument("the bank has no features: make it by make_bank()");
  }
  if (bank.features.size(0) != std::ssize(bank.memes)) {
    throw InvalidArgument(fmt::format("the bank has {} memes and features {}; give a row for each", bank.memes.size(),
                                      shape_string(bank.features)));
  }
  const auto of_image = classifier.image() ? classifier.image()->feature_dim() : 0;
  const auto of_text = classifier.text() ? classifier.text()->feature_dim() : 0;
  if (bank.features.dim() != 2 || bank.features.size(1) != of_image + of_text) {
    throw InvalidArgument(
        fmt::format("the bank's features are {}, the classifier's (N, {}): make the bank by the same classifier",
                    shape_string(bank.features), of_image + of_text));
  }
  const auto fits = [](const Tensor& background, std::int64_t dim) {
    return dim == 0
               ? !background.defined()
               : background.defined() && background.dim() == 2 && background.size(0) > 0 && background.size(1) == dim;
  };
  const auto& [image, text] = std::tie(bank.image_background, bank.text_background);
  if (fits(image, of_image) && fits(text, of_text) &&
      (!image.defined() || !text.defined() || image.size(0) == text.size(0)))
    return;
  const auto shape = [](const Tensor& x) { return x.defined() ? shape_string(x) : "undefined"; };
  throw InvalidArgument(
      fmt::format("the bank's background is {} and {}, the classifier's features (K, {}) and (K, {}): make the bank by "
                  "the same classifier",
                  shape(image), shape(text), of_image, of_text));
}

}  // namespace

struct MemeScorer::State {
  Supervised classifier;
  std::shared_ptr<const Tokenizer> tokenizer;
  ScorerSettings settings;
  ScorerOptions options;
  MemeBank bank;
  torch::Device device;
  Views views;

  State(Supervised classifier_, detail::ScorerFiles files, ScorerOptions options_)
      : classifier{std::move(classifier_)},
        tokenizer{std::move(files.tokenizer)},
        settings{files.settings},
        options{std::move(options_)},
        bank{std::move(files.bank)},
        device{detail::parse_device(options.device)},
        views{eval_views({.size = settings.size})} {
    if (options.threshold) settings.threshold = *options.threshold;
    detail::check_settings(settings);
    if (options.nearest < 0)
      throw InvalidArgument(fmt::format("ScorerOptions::nearest is {}: must be 0 or more", options.nearest));
    if (classifier.text() && !tokenizer)
      throw InvalidArgument(
          "a classifier that reads words needs a tokenizer to score: give the one it was trained with");
    check_bank(bank, classifier);
    classifier.module()->to(device);
    classifier.module()->eval();
    for (auto* tensor : {&bank.features, &bank.image_background, &bank.text_background}) {
      if (tensor->defined()) *tensor = tensor->to(device, torch::kFloat);
    }
  }

  bool can_take_away() const { return classifier.image() && classifier.text() && bank.features.defined(); }

  Batch prepare(std::span<const Sample> memes) const {
    const auto n = static_cast<std::int64_t>(memes.size());
    Batch batch;
    batch.ids = torch::empty({n}, torch::kLong);
    batch.labels = torch::full({n}, -1, torch::kLong);
    for (std::int64_t i = 0; i < n; ++i) batch.ids[i] = memes[static_cast<std::size_t>(i)].id;
    if (classifier.image()) batch.views = {pictures(memes)};
    if (classifier.text()) {
      std::vector<std::string> texts;
      for (const auto& meme : memes) texts.push_back(meme.text);
      auto [tokens, mask] = tokenize(*tokenizer, texts, settings.max_tokens);
      batch.tokens = std::move(tokens);
      batch.mask = std::move(mask);
    }
    return batch;
  }

  /// f32 (N, 3, S, S)
  Tensor pictures(std::span<const Sample> memes) const {
    const auto& view = *views.begin();
    const std::int64_t side = view.size;
    auto all = torch::empty({static_cast<std::int64_t>(memes.size()), 3, side, side});
    auto* to = all.data_ptr<float>();
    Rng unused{0};  // views for evaluation throw no dice
    for (const auto& meme : memes) {
      if (meme.picture.empty())
        throw InvalidArgument(
            fmt::format("the meme {} has no picture, which this classifier reads: give one", meme.id));
      view.normalize.write(view.transform(meme.picture, unused), to);
      to += 3 * side * side;
    }
    return all;
  }

  /// Probabilities (N): for each row of `kept` the mean over the rows of `background` in the place of the other
  /// modality. `pair` puts both into their places.
  template <class Pair>
  std::vector<double> without(const Tensor& kept, const Tensor& background, const Pair& pair) const {
    constexpr std::int64_t rows_at_once = 256;
    const auto n = kept.size(0), k = background.size(0), some = std::max<std::int64_t>(1, rows_at_once / n);
    std::vector<double> mean(static_cast<std::size_t>(n), 0.0);
    for (std::int64_t first = 0; first < k; first += some) {
      const auto chosen = background.narrow(0, first, std::min(some, k - first));
      const auto logits =
          detail::logits_of(classifier, pair(kept.repeat({chosen.size(0), 1}), chosen.repeat_interleave(n, 0)));
      const auto each = probabilities(logits.to(torch::kDouble).cpu());
      for (std::size_t i = 0; i < each.size(); ++i) mean[i % mean.size()] += each[i] / static_cast<double>(k);
    }
    return mean;
  }

  std::vector<double> probabilities(const Tensor& logits) const {
    return TemperatureScaling{.temperature = settings.temperature}.apply(
        std::span{logits.data_ptr<double>(), static_cast<std::size_t>(logits.size(0))});
  }

  void find_nearest(const detail::MemeFeatures& features, std::span<Verdict> verdicts) const {
    if (options.nearest == 0 || !bank.features.defined()) return;
    const auto found = detail::nearest(detail::joint(features), bank.features, options.nearest);
    const auto rows = found.rows.cpu(), cosines = found.similarity.to(torch::kCPU, torch::kDouble).clamp(-1, 1);
    const auto row = rows.accessor<std::int64_t, 2>();
    const auto cosine = cosines.accessor<double, 2>();
    for (std::size_t i = 0; i < verdicts.size(); ++i) {
      const auto n = static_cast<std::int64_t>(i);
      for (std::int64_t k = 0; k < rows.size(1); ++k)
        verdicts[i].nearest.push_back({bank.memes[static_cast<std::size_t>(row[n][k])], cosine[n][k]});
    }
  }

  std::vector<Verdict> score(const Batch& batch) const {
    const torch::NoGradGuard no_grad;
    const auto n = batch.size() - batch.padding;
    if (n <= 0) return {};
    const auto features = detail::encode(classifier, batch.to(device), options.precision);
    const auto logits = detail::logits_of(classifier, features).to(torch::kDouble).cpu();
    const auto scores = probabilities(logits);
    std::vector<Verdict> verdicts(static_cast<std::size_t>(n));
    for (std::size_t i = 0; i < verdicts.size(); ++i) {
      auto& verdict = verdicts[i];
      verdict.logit = logits.data_ptr<double>()[i];
      if (!std::isfinite(verdict.logit))
        throw NonFiniteError(fmt::format("the logit of meme {} is {}: look for damage in the weights",
                                         batch.ids[static_cast<std::int64_t>(i)].item<std::int64_t>(), verdict.logit));
      verdict.probability = scores[i];
      verdict.harmful = verdict.probability >= settings.threshold;
    }
    if (can_take_away()) {
      const auto no_words = without(features.image, bank.text_background, [](const Tensor& image, const Tensor& text) {
        return detail::MemeFeatures{image, text};
      });
      const auto no_picture =
          without(features.text, bank.image_background,
                  [](const Tensor& text, const Tensor& image) { return detail::MemeFeatures{image, text}; });
      for (std::size_t i = 0; i < verdicts.size(); ++i) {
        verdicts[i].without_words = no_words[i];
        verdicts[i].without_picture = no_picture[i];
      }
    }
    find_nearest(features, verdicts);
    for (auto& verdict : verdicts) verdict.reason = reason_of(verdict, settings.threshold);
    return verdicts;
  }
};

MemeScorer::MemeScorer(const std::filesystem::path& run, const ScorerOptions& options,
                       const BackboneRegistry& registry) {
  auto classifier = load_classifier(run, registry);  // first: it knows best what a run lacks
  state_ = std::make_shared<const State>(std::move(classifier), detail::read_scorer_files(run), options);
}

MemeScorer::MemeScorer(Supervised classifier, std::shared_ptr<const Tokenizer> tokenizer,
                       const ScorerSettings& settings, MemeBank bank, const ScorerOptions& options)
    : state_{std::make_shared<const State>(
          std::move(classifier), detail::ScorerFiles{settings, std::move(tokenizer), std::move(bank)}, options)} {}

Verdict MemeScorer::score(const Image& picture, std::string_view text) const {
  const Sample meme{picture, std::string{text}, {}, 0};
  return state_->score(state_->prepare({&meme, 1})).front();
}

std::vector<Verdict> MemeScorer::score(std::span<const Sample> memes) const {
  constexpr std::size_t at_once = 32;
  std::vector<Verdict> verdicts;
  for (std::size_t i = 0; i < memes.size(); i += at_once) {
    auto some = state_->score(state_->prepare(memes.subspan(i, std::min(at_once, memes.size() - i))));
    std::ranges::move(some, std::back_inserter(verdicts));
  }
  return verdicts;
}

std::vector<Verdict> MemeScorer::score(const Batch& batch) const {
  return state_->score(batch);
}
Batch MemeScorer::prepare(std::span<const Sample> memes) const {
  return state_->prepare(memes);
}
bool MemeScorer::reads_pictures() const {
  return state_->classifier.image() != nullptr;
}
bool MemeScorer::reads_words() const {
  return state_->classifier.text() != nullptr;
}
const ScorerSettings& MemeScorer::settings() const {
  return state_->settings;
}
const ScorerOptions& MemeScorer::options() const {
  return state_->options;
}
Views MemeScorer::views() const {
  return state_->views;
}
std::shared_ptr<const Tokenizer> MemeScorer::tokenizer() const {
  return state_->tokenizer;
}
const MemeBank& MemeScorer::bank() const {
  return state_->bank;
}
const Supervised& MemeScorer::classifier() const {
  return state_->classifier;
}
torch::Device MemeScorer::device() const {
  return state_->device;
}

}  // namespace sslmeme
