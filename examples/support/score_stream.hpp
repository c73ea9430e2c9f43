// Memes in, lines of JSON out: what score_memes does between its options and its summary.
#pragma once

#include <sslmeme/data/read_words.hpp>
#include <sslmeme/eval/explain.hpp>
#include <sslmeme/eval/meme_scorer.hpp>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

namespace examples {

namespace sm = sslmeme;

struct ScoreStream {
  sm::AnyDataset data;
  std::function<std::string(std::size_t)> picture_name = {};  ///< lines name pictures by it; empty: by the sample's id
  std::optional<sm::WordReader> words = {};  ///< reads the words of memes without a text; lines then have the text too
  std::optional<sm::ExplainOptions> why = {};  ///< lines have attention and occlusion too
  std::int64_t batch = 32;
  int workers = 2;
};

struct Scored {
  std::int64_t memes = 0;
  std::int64_t harmful = 0;
  std::int64_t unreadable = 0;
  double seconds = 0;
};

/// Writes a line for each meme to `out`, in the dataset's order, as batches come; the file appears under its name when
/// all are done. Memes that cannot be read are left out of it, and stand with the reason in unreadable_file(out), which
/// there is only then. Memory does not grow with the number of memes, but for the list of them. Throws as the dataset,
/// the loader and the scorer do, and Error when a signal came under a SignalWatch; then there is no file.
Scored score_stream(const sm::MemeScorer& scorer, const ScoreStream& stream, const std::filesystem::path& out);

/// OUT.unreadable.jsonl
std::filesystem::path unreadable_file(const std::filesystem::path& out);

}  // namespace examples
