// Memes in a report: their pictures, why they were judged so, where the classifier places them.
#pragma once

#include <sslmeme/eval/meme_scorer.hpp>
#include <sslmeme/eval/report_figures.hpp>

#include "support/report_runs.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <unordered_map>
#include <vector>

namespace examples {

/// The memes of a test split, found by id.
class MemesById {
 public:
  /// Throws as DataArguments::open() does.
  MemesById(const DataArguments& data, const std::string& split);

  const sm::AnyDataset& data() const { return data_; }
  std::string text(std::int64_t id) const { return data_.text(position(id)); }
  sm::Sample sample(std::int64_t id) const { return data_.get(position(id)); }
  /// Its file where that is small, else a smaller copy.
  sm::ReportPicture picture(std::int64_t id) const;

 private:
  /// Throws DataError for an id that is not there: the data has changed.
  std::size_t position(std::int64_t id) const;

  sm::AnyDataset data_;
  std::string split_;
  std::unordered_map<std::int64_t, std::size_t> positions_;
};

/// The places of predictions among `places` that are furthest from their labels, worst first, at most `count`; of
/// equally bad ones the first.
std::vector<std::size_t> worst_first(const sm::Predictions& predictions, std::vector<std::size_t> places,
                                     std::size_t count);

/// Tells why a run judged memes as it did.
class Reasons {
 public:
  explicit Reasons(const JudgedRun& run);

  /// Fills in heat map, shaded words and the scores without a modality.
  void explain(sm::ScoredMeme& meme, const sm::Sample& sample) const;
  const sm::MemeScorer& scorer() const { return scorer_; }

 private:
  sm::MemeScorer scorer_;
};

/// The worst mistakes of a run at its threshold, at most `count`. reasons: may be null.
sm::Gallery mistakes_of(const JudgedRun& run, const MemesById& memes, std::size_t count, const Reasons* reasons);

/// Where the encoders of a run place at most `count` memes of the test split: t-SNE of their features. The same seed
/// gives the same map.
sm::EmbeddingFigure map_of(const JudgedRun& run, const MemesById& memes, const sm::MemeScorer& scorer,
                           std::int64_t count, std::uint64_t seed);

/// The memes on which models disagree most, at most `count`; their typical runs judged the same memes.
sm::Disagreements disagreements_of(const std::vector<JudgedModel>& models, const MemesById& memes, std::size_t count);

}  // namespace examples
