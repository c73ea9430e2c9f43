#include "support/score_stream.hpp"

#include <sslmeme/core/error.hpp>
#include <sslmeme/core/files.hpp>
#include <sslmeme/data/loader.hpp>
#include <sslmeme/train/stopping.hpp>

#include "support/reading_bar.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <chrono>
#include <mutex>
#include <span>
#include <unordered_map>

namespace examples {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace {

/// A dataset that remembers the texts of samples until they are taken: loaders turn them into tokens.
class TextsKept {
 public:
  explicit TextsKept(sm::AnyDataset data) : data_{std::move(data)}, kept_{std::make_shared<Kept>()} {}

  std::size_t size() const { return data_.size(); }
  sm::Sample get(std::size_t i) const {
    auto sample = data_.get(i);
    const std::lock_guard lock{kept_->mutex};
    kept_->texts[i] = sample.text;
    return sample;
  }
  std::int64_t id(std::size_t i) const { return data_.id(i); }
  std::string source(std::size_t i) const { return data_.source(i); }

  std::string take(std::size_t i) const {
    const std::lock_guard lock{kept_->mutex};
    auto node = kept_->texts.extract(i);
    return std::move(node.mapped());
  }

 private:
  struct Kept {
    std::mutex mutex;
    std::unordered_map<std::size_t, std::string> texts;
  };
  sm::AnyDataset data_;
  std::shared_ptr<Kept> kept_;
};

ordered_json json_of(const sm::NearestMeme& meme) {
  return {
      {"id", meme.id}, {"label", meme.label}, {"cosine", meme.cosine}, {"text", meme.text}, {"picture", meme.picture}};
}

ordered_json json_of(const sm::PictureMap& map) {
  return {{"rows", map.rows}, {"columns", map.columns}, {"values", map.values}};
}

void add(ordered_json& line, const sm::Verdict& verdict) {
  line["probability"] = verdict.probability;
  line["harmful"] = verdict.harmful;
  if (verdict.without_words) line["without_words"] = *verdict.without_words;
  if (verdict.without_picture) line["without_picture"] = *verdict.without_picture;
  line["reason"] = verdict.reason;
  line["nearest"] = ordered_json::array();
  for (const auto& meme : verdict.nearest) line["nearest"].push_back(json_of(meme));
}

void add(ordered_json& line, const sm::Explanation& why) {
  line["words"] = ordered_json::array();
  for (const auto& weight : why.words) {
    ordered_json word{{"word", weight.word}};
    if (weight.attention) word["attention"] = *weight.attention;
    if (weight.occlusion) word["occlusion"] = *weight.occlusion;
    line["words"].push_back(std::move(word));
  }
  if (why.picture_attention) line["picture_attention"] = json_of(*why.picture_attention);
  if (why.picture_occlusion) line["picture_occlusion"] = json_of(*why.picture_occlusion);
}

std::string text_of(const ordered_json& json) {
  return json.dump(-1, ' ', false, ordered_json::error_handler_t::replace) + '\n';
}

/// One pass over the memes.
class Pass {
 public:
  Pass(const sm::MemeScorer& scorer, const ScoreStream& stream)
      : scorer_{scorer},
        stream_{stream},
        texts_{stream.words ? sm::AnyDataset{sm::WithReadWords{stream.data, *stream.words}} : stream.data},
        loader_{texts_,
                scorer.views(),
                {.batch_size = stream.batch,
                 .workers = stream.workers,
                 .shuffle = false,
                 .drop_last = false,
                 .tokenizer = scorer.tokenizer(),
                 .max_tokens = scorer.settings().max_tokens,
                 .unreadable = {.policy = sm::UnreadablePolicy::leave_out, .abort_above = 1}}} {}

  void write_lines(const sm::ByteSink& sink) {
    const auto bar = reading_bar("scoring", "memes");
    loader_.start_epoch(0);
    while (const auto batch = loader_.next()) {
      const auto verdicts = scorer_.score(*batch);
      std::string lines;
      for (std::size_t i = 0; i < verdicts.size(); ++i)
        lines += line_of(verdicts[i], *batch, static_cast<std::int64_t>(i));
      sink(std::as_bytes(std::span{lines}));
      if (bar) bar(position_, stream_.data.size());
      if (sm::SignalWatch::received() != 0) {
        throw sm::Error(
            fmt::format("interrupted after {} of {} memes: nothing was written", position_, stream_.data.size()));
      }
    }
    if (bar) bar(stream_.data.size(), stream_.data.size());
  }

  void write_unreadable(const fs::path& file) const {
    const auto& samples = loader_.quarantine().samples;
    if (samples.empty()) {
      fs::remove(file);  // of an earlier run
      return;
    }
    sm::write_atomically(file, [&](const sm::ByteSink& sink) {
      for (const auto& sample : samples) {
        auto line = names_of(sample.position, sample.id);
        line["source"] = sample.source;
        line["fault"] = sample.fault_name();
        line["reason"] = sample.reason;
        const auto text = text_of(line);
        sink(std::as_bytes(std::span{text}));
      }
    });
  }

  Scored scored() const { return scored_; }

 private:
  ordered_json names_of(std::size_t position, std::optional<std::int64_t> id) const {
    if (stream_.picture_name) return {{"picture", stream_.picture_name(position)}};
    return id ? ordered_json{{"id", *id}} : ordered_json{{"position", position}};
  }

  std::string line_of(const sm::Verdict& verdict, const sm::Batch& batch, std::int64_t row) {
    const auto position = next_position();
    const auto text = texts_.take(position);
    auto line = names_of(position, batch.ids[row].item<std::int64_t>());
    if (stream_.words) line["text"] = text;
    add(line, verdict);
    if (stream_.why) {
      const auto view = scorer_.reads_pictures() ? batch.views.front()[row] : sm::Tensor{};
      add(line, sm::explain(scorer_, view, text, *stream_.why));
    }
    ++scored_.memes;
    scored_.harmful += verdict.harmful ? 1 : 0;
    return text_of(line);
  }

  /// Rows are the samples in order but for those in the quarantine, which are in order too.
  std::size_t next_position() {
    const auto& left_out = loader_.quarantine().samples;
    while (skipped_ < left_out.size() && left_out[skipped_].position == position_) {
      ++skipped_;
      ++position_;
    }
    return position_++;
  }

  const sm::MemeScorer& scorer_;
  const ScoreStream& stream_;
  TextsKept texts_;
  sm::DataLoader loader_;
  std::size_t position_ = 0, skipped_ = 0;
  Scored scored_;
};

}  // namespace

fs::path unreadable_file(const fs::path& out) {
  return out.string() + ".unreadable.jsonl";
}

Scored score_stream(const sm::MemeScorer& scorer, const ScoreStream& stream, const fs::path& out) {
  const auto began = std::chrono::steady_clock::now();
  Scored scored;
  sm::write_atomically(out, [&](const sm::ByteSink& sink) {
    Pass pass{scorer, stream};
    pass.write_lines(sink);
    pass.write_unreadable(unreadable_file(out));
    scored = pass.scored();
    scored.unreadable = static_cast<std::int64_t>(stream.data.size()) - scored.memes;
  });
  scored.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  return scored;
}

}  // namespace examples
