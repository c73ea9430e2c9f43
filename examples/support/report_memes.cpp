#include "support/report_memes.hpp"

#include <sslmeme/core/error.hpp>
#include <sslmeme/data/image_io.hpp>
#include <sslmeme/data/image_ops.hpp>
#include <sslmeme/eval/embedding_map.hpp>
#include <sslmeme/eval/explain.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <ranges>

namespace examples {
namespace {

constexpr std::size_t small_file = 96 << 10;  // bytes; a larger picture makes the report too heavy for a phone
constexpr int shown_edge = 360;               // pixels

sm::Image shrunk(sm::Image picture) {
  const int longest = std::max(picture.width, picture.height);
  if (longest <= shown_edge) return picture;
  const auto edge = [&](int length) { return std::max(1, length * shown_edge / longest); };
  return sm::resize(picture, edge(picture.width), edge(picture.height));
}

/// From least to most as 0 to 1; all 0 where all are the same.
sm::HeatMap heat_of(const sm::PictureMap& map) {
  const auto [low, high] = std::ranges::minmax(map.values);
  sm::HeatMap heat{static_cast<int>(map.rows), static_cast<int>(map.columns), map.values};
  for (auto& value : heat.values) value = high > low ? (value - low) / (high - low) : 0;
  return heat;
}

/// How much each cell speaks for the answer that was given.
sm::PictureMap towards(sm::PictureMap occlusion, bool harmful) {
  for (auto& value : occlusion.values) value = std::max(0.0, harmful ? value : -value);
  return occlusion;
}

/// Occlusion as weight; each relative to the word that has most of it.
std::vector<sm::ShadedWord> shaded(const std::vector<sm::WordWeight>& words) {
  std::vector<sm::ShadedWord> shades;
  double weight = 0, attention = 0;
  for (const auto& word : words) {
    shades.push_back({word.word, word.occlusion.value_or(0), word.attention});
    weight = std::max(weight, std::abs(shades.back().weight));
    attention = std::max(attention, word.attention.value_or(0));
  }
  for (auto& shade : shades) {
    if (weight > 0) shade.weight /= weight;
    if (shade.attention && attention > 0) *shade.attention /= attention;
  }
  return shades;
}

bool is_wrong(const JudgedRun& run, std::size_t i) {
  return (run.test.scores[i] >= run.results.threshold) != (run.test.labels[i] == 1);
}

}  // namespace

MemesById::MemesById(const DataArguments& data, const std::string& split) : data_{data.open(split)}, split_{split} {
  for (std::size_t i = 0; i < data_.size(); ++i) positions_.emplace(data_.id(i), i);
}

std::size_t MemesById::position(std::int64_t id) const {
  const auto found = positions_.find(id);
  if (found == positions_.end()) {
    throw sm::DataError(
        fmt::format("meme {} was measured, but {} no longer has it: measure the run again", id, split_));
  }
  return found->second;
}

sm::ReportPicture MemesById::picture(std::int64_t id) const {
  const auto i = position(id);
  auto bytes = data_.bytes(i);
  if (!bytes.empty() && bytes.size() <= small_file) return bytes;
  auto smaller = sm::encode_png(shrunk(data_.get(i).picture));
  return bytes.empty() || smaller.size() < bytes.size() ? smaller : bytes;
}

std::vector<std::size_t> worst_first(const sm::Predictions& predictions, std::vector<std::size_t> places,
                                     std::size_t count) {
  std::ranges::stable_sort(places, std::greater{}, [&](std::size_t i) {
    return std::abs(static_cast<double>(predictions.labels[i]) - predictions.scores[i]);
  });
  places.resize(std::min(count, places.size()));
  return places;
}

Reasons::Reasons(const JudgedRun& run) : scorer_{run.path, {.nearest = 0}} {}

void Reasons::explain(sm::ScoredMeme& meme, const sm::Sample& sample) const {
  auto why = sm::explain(scorer_, sample.picture, sample.text, {});
  if (scorer_.reads_pictures()) {
    auto occlusion = heat_of(towards(std::move(*why.picture_occlusion), why.verdict.harmful));
    if (why.picture_attention) {
      meme.heat = heat_of(*why.picture_attention);
      meme.outline = std::move(occlusion);
    } else {
      meme.heat = std::move(occlusion);
    }
  }
  if (scorer_.reads_words()) meme.words = shaded(why.words);
  meme.without_words = why.verdict.without_words;
  meme.without_picture = why.verdict.without_picture;
}

sm::Gallery mistakes_of(const JudgedRun& run, const MemesById& memes, std::size_t count, const Reasons* reasons) {
  const auto& test = run.test;
  std::vector<std::size_t> wrong;
  for (std::size_t i = 0; i < test.ids.size(); ++i) {
    if (is_wrong(run, i)) wrong.push_back(i);
  }
  const auto all = wrong.size();
  wrong = worst_first(test, std::move(wrong), count);

  sm::Gallery gallery{.threshold = run.results.threshold};
  gallery.caption =
      fmt::format("The surest of {} mistakes among {} memes of {}.", all, test.ids.size(), run.results.test);
  for (const auto i : wrong) {
    const auto id = test.ids[i];
    auto& meme = gallery.memes.emplace_back(
        sm::ScoredMeme{memes.picture(id), memes.text(id), test.labels[i], test.scores[i], id});
    if (reasons != nullptr) reasons->explain(meme, memes.sample(id));
  }
  if (reasons != nullptr && !gallery.memes.empty()) {
    const bool pictures = reasons->scorer().reads_pictures(), words = reasons->scorer().reads_words();
    if (pictures)
      gallery.caption +=
          " Bright and tinted: where the picture encoder's attention lies (rollout); outlined: cells that speak most "
          "for "
          "its answer, found by making each grey (occlusion). For an encoder without attention occlusion is tinted.";
    if (words)
      gallery.caption +=
          " Words underlined speak for harmful, words overlined for harmless (each left out in turn); dots under a "
          "word "
          "are as dark as it is looked at.";
  }
  return gallery;
}

sm::EmbeddingFigure map_of(const JudgedRun& run, const MemesById& memes, const sm::MemeScorer& scorer,
                           std::int64_t count, std::uint64_t seed) {
  auto classifier = scorer.classifier();
  const auto bank = sm::make_bank(classifier, memes.data(), scorer.tokenizer(), scorer.settings(),
                                  {.max_memes = count, .seed = seed});
  const auto n = static_cast<std::int64_t>(bank.memes.size());
  const auto perplexity = std::min(30.0, static_cast<double>(n - 1) / 3);
  const auto map = sm::tsne_map(bank.features, {.perplexity = std::max(1.0, perplexity)});
  const auto points = map.points.accessor<double, 2>();

  std::map<std::int64_t, bool> wrong;
  for (std::size_t i = 0; i < run.test.ids.size(); ++i) wrong[run.test.ids[i]] = is_wrong(run, i);
  sm::EmbeddingFigure figure;
  figure.caption = fmt::format(
      "{} memes of {}: those whose features are alike, of each encoder before they are fused, lie together (t-SNE). "
      "Distances between clusters mean nothing; "
      "hollow marks are mistakes. Point at one to read its words.",
      n, run.results.test);
  for (std::int64_t i = 0; i < n; ++i) {
    const auto& meme = bank.memes[static_cast<std::size_t>(i)];
    figure.points.push_back({points[i][0], points[i][1], meme.label, wrong[meme.id], meme.text});
  }
  return figure;
}

sm::Disagreements disagreements_of(const std::vector<JudgedModel>& models, const MemesById& memes, std::size_t count) {
  sm::Disagreements all;
  for (const auto& model : models) {
    all.models.push_back(model.name);
    all.thresholds.push_back(model.shown().results.threshold);
  }
  const auto& first = models.front().shown().test;
  const auto scores_of = [&](std::size_t i) {
    std::vector<double> scores;
    for (const auto& model : models) scores.push_back(model.shown().test.scores[i]);
    return scores;
  };
  std::vector<std::size_t> order(first.ids.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, std::greater{}, [&](std::size_t i) {
    const auto [low, high] = std::ranges::minmax(scores_of(i));
    return high - low;
  });
  order.resize(std::min(count, order.size()));
  for (const auto i : order)
    all.memes.push_back(
        {memes.picture(first.ids[i]), memes.text(first.ids[i]), first.labels[i], scores_of(i), first.ids[i]});
  all.caption =
      fmt::format("The {} memes of {} whose probabilities lie furthest apart. The tick is each model's threshold.",
                  all.memes.size(), models.front().shown().results.test);
  return all;
}

}  // namespace examples
