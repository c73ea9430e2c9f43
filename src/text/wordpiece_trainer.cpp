#include <sslmeme/core/error.hpp>
#include <sslmeme/text/wordpiece.hpp>

#include "core/utf8.hpp"
#include "text/wordpiece_words.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <queue>
#include <set>
#include <tuple>
#include <utility>

namespace sslmeme {
namespace {

using WordCounts = std::map<std::string, std::int64_t, std::less<>>;

WordCounts count_words(std::span<const std::string> texts, bool lower_case) {
  WordCounts counts;
  for (const auto& text : texts) {
    detail::for_each_word(text, {.lower_case = lower_case, .strip_accents = lower_case}, [&](std::string_view word) {
      const auto known = counts.find(word);
      if (known != counts.end()) {
        ++known->second;
      } else {
        counts.emplace(word, 1);
      }
    });
  }
  return counts;
}

/// The characters of a word as pieces: "h", "##u", "##g".
std::vector<std::string> characters(std::string_view word) {
  std::vector<std::string> pieces;
  for (std::size_t at = 0; at < word.size(); at += detail::utf8_length(word[at])) {
    pieces.push_back((at == 0 ? "" : "##") + std::string{word.substr(at, detail::utf8_length(word[at]))});
  }
  return pieces;
}

/// Byte-pair merges over words. Counts of pairs are kept up to date: a merge visits only the words that contain its
/// pair.
class Merger {
 public:
  void add(std::string_view word, std::int64_t count) {
    Word entry{{}, count};
    for (auto& piece : characters(word)) entry.pieces.push_back(number(std::move(piece)));
    words_.push_back(std::move(entry));
    change_pairs(words_.size() - 1, count);
  }

  /// Merges the commonest pair and returns the piece it makes; empty when no pair occurs `min_frequency` times.
  std::string merge(std::int64_t min_frequency) {
    while (!queue_.empty()) {
      const auto [count, merged, pair] = queue_.top();
      queue_.pop();
      const auto known = pairs_.find(pair);
      if (known == pairs_.end() || known->second.count != count)
        continue;  // outdated: its true count is queued as well
      if (count < min_frequency) return {};
      apply(pair, number(merged), std::set<std::size_t>{known->second.words});
      return merged;
    }
    return {};
  }

 private:
  using Pair = std::pair<std::size_t, std::size_t>;
  struct Word {
    std::vector<std::size_t> pieces;
    std::int64_t count;
  };
  struct PairInfo {
    std::int64_t count = 0;
    std::set<std::size_t> words;  // where it occurs or once did
  };
  struct Candidate {
    std::int64_t count;
    std::string merged;
    Pair pair;
  };
  struct Later {
    bool operator()(const Candidate& a, const Candidate& b) const {
      return std::tuple{-a.count, std::string_view{a.merged}, a.pair} >
             std::tuple{-b.count, std::string_view{b.merged}, b.pair};
    }
  };

  std::size_t number(std::string piece) {
    const auto [known, is_new] = numbers_.emplace(std::move(piece), pieces_.size());
    if (is_new) pieces_.push_back(known->first);
    return known->second;
  }

  /// Adds `count` to every pair of adjacent pieces of a word.
  void change_pairs(std::size_t word, std::int64_t count) {
    const auto& pieces = words_[word].pieces;
    for (std::size_t i = 0; i + 1 < pieces.size(); ++i) {
      const Pair pair{pieces[i], pieces[i + 1]};
      auto& info = pairs_[pair];
      info.count += count;
      info.words.insert(word);
      queue_.push({info.count, pieces_[pair.first] + pieces_[pair.second].substr(2), pair});
    }
  }

  void apply(Pair pair, std::size_t merged, const std::set<std::size_t>& where) {
    for (const auto word : where) {
      auto& pieces = words_[word].pieces;
      std::vector<std::size_t> shorter;
      for (std::size_t i = 0; i < pieces.size(); ++i) {
        const bool found = i + 1 < pieces.size() && Pair{pieces[i], pieces[i + 1]} == pair;
        shorter.push_back(found ? merged : pieces[i]);
        if (found) ++i;
      }
      if (shorter.size() == pieces.size()) continue;
      change_pairs(word, -words_[word].count);
      pieces = std::move(shorter);
      change_pairs(word, words_[word].count);
    }
    pairs_.erase(pair);
  }

  std::vector<Word> words_;
  std::vector<std::string> pieces_;
  std::map<std::string, std::size_t> numbers_;
  std::map<Pair, PairInfo> pairs_;
  std::priority_queue<Candidate, std::vector<Candidate>, Later> queue_;
};

/// The tokens every vocabulary has: special ones and characters, the latter within words too if they occur there.
std::vector<std::string> basis(const WordCounts& counts) {
  std::set<std::string> seen;
  for (const auto& [word, count] : counts) {
    for (const auto& piece : characters(word)) {
      const bool inside = piece.size() > 2 && piece.starts_with("##");
      seen.insert(inside ? piece.substr(2) : piece);
      if (word.size() > detail::utf8_length(word.front())) seen.insert(inside ? piece : "##" + piece);
    }
  }
  std::vector<std::string> tokens{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
  tokens.insert(tokens.end(), seen.begin(), seen.end());
  return tokens;
}

}  // namespace

std::vector<std::string> train_wordpiece(std::span<const std::string> texts, const WordPieceTrainerOptions& options) {
  if (options.min_frequency < 1) {
    throw InvalidArgument{
        fmt::format("WordPieceTrainerOptions::min_frequency is {}; give at least 1", options.min_frequency)};
  }
  const auto counts = count_words(texts, options.lower_case);
  auto vocabulary = basis(counts);
  if (options.vocabulary_size < static_cast<std::int64_t>(vocabulary.size())) {
    throw InvalidArgument{
        fmt::format("WordPieceTrainerOptions::vocabulary_size is {}; the special tokens and characters of these {} "
                    "texts alone need {}",
                    options.vocabulary_size, texts.size(), vocabulary.size())};
  }
  const auto size = static_cast<std::size_t>(options.vocabulary_size);
  std::set<std::string, std::less<>> known{vocabulary.begin(), vocabulary.end()};
  const auto add = [&](const std::string& token) {
    if (known.insert(token).second) vocabulary.push_back(token);
  };

  std::vector<std::pair<std::string, std::int64_t>> by_count{counts.begin(), counts.end()};
  std::ranges::stable_sort(by_count, [](const auto& a, const auto& b) { return a.second > b.second; });
  const auto end_of_words = vocabulary.size() + (size - vocabulary.size()) / 2;
  Merger merger;
  for (const auto& [word, count] : by_count) {
    if (count >= options.min_frequency && vocabulary.size() < end_of_words) {
      add(word);
    } else {
      merger.add(word, count);
    }
  }
  while (vocabulary.size() < size) {
    const auto piece = merger.merge(options.min_frequency);
    if (piece.empty()) break;
    add(piece);
  }
  return vocabulary;
}

}  // namespace sslmeme
