#include <sslmeme/core/error.hpp>
#include <sslmeme/core/files.hpp>
#include <sslmeme/text/wordpiece.hpp>

#include "core/shown.hpp"
#include "core/utf8.hpp"
#include "text/vocabulary_file.hpp"
#include "text/wordpiece_words.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <functional>
#include <sstream>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace sslmeme {
namespace {

constexpr std::array required_tokens{"[PAD]", "[UNK]", "[CLS]", "[SEP]"};
constexpr std::string_view mask_token = "[MASK]";

/// Throws Problem where the list is no vocabulary. Token i is named by `prefix` and the number `base` + i.
template <class Problem>
void check(const std::vector<std::string>& vocabulary, std::string_view prefix, std::size_t base) {
  std::unordered_map<std::string_view, std::size_t> seen;
  for (std::size_t i = 0; i < vocabulary.size(); ++i) {
    const auto& token = vocabulary[i];
    if (token.empty() || token.find_first_of("\r\n") != std::string::npos || !detail::is_utf8(token)) {
      throw Problem{fmt::format("{}{}: the token is {}; a token is some UTF-8 text within one line", prefix, base + i,
                                token.empty()            ? "empty"
                                : detail::is_utf8(token) ? "more than one line"
                                                         : "not UTF-8")};
    }
    const auto [first, is_new] = seen.emplace(token, i);
    if (!is_new) {
      throw Problem{fmt::format("{}{}: {} is there already as number {}; remove one", prefix, base + i,
                                detail::in_quotes(token), base + first->second)};
    }
  }
  for (const auto* token : required_tokens) {
    if (!seen.contains(token)) {
      throw Problem{fmt::format(
          "{}{}: {} is missing among the {} tokens; a WordPiece vocabulary needs [PAD], [UNK], [CLS] and [SEP]", prefix,
          base + vocabulary.size(), token, vocabulary.size())};
    }
  }
}

}  // namespace

WordPiece::WordPiece(std::vector<std::string> vocabulary, const WordPieceOptions& options)
    : vocabulary_{std::move(vocabulary)}, options_{options} {
  if (options_.max_characters_per_word < 1) {
    throw InvalidArgument{fmt::format("WordPieceOptions::max_characters_per_word is {}; give at least 1",
                                      options_.max_characters_per_word)};
  }
  ids_.reserve(vocabulary_.size());
  for (std::size_t i = 0; i < vocabulary_.size(); ++i) {
    ids_.emplace(vocabulary_[i], static_cast<std::int64_t>(i));
    longest_ = std::max(longest_, vocabulary_[i].size());
  }
  for (const auto& token : options_.never_split) {
    if (ids_.contains(token)) {
      kept_.push_back(token);
    } else if (token != mask_token) {  // which a vocabulary may do without
      throw InvalidArgument{
          fmt::format("WordPieceOptions::never_split has {}, which is none of the {} tokens; leave it "
                      "out or add it to the vocabulary",
                      detail::in_quotes(token), vocabulary_.size())};
    }
  }
  std::ranges::stable_sort(kept_, std::greater{}, &std::string::size);  // the longest that fits is taken
  pad_ = ids_.at("[PAD]");
  unknown_ = ids_.at("[UNK]");
  begin_ = ids_.at("[CLS]");
  end_ = ids_.at("[SEP]");
}

WordPiece WordPiece::from_vocabulary(std::vector<std::string> vocabulary, const WordPieceOptions& options) {
  check<InvalidArgument>(vocabulary, "token ", 0);
  return WordPiece{std::move(vocabulary), options};
}

void WordPiece::append_word(std::string_view word, std::vector<std::int64_t>& ids) const {
  std::int64_t characters = 0;
  for (std::size_t at = 0; at < word.size(); at += detail::utf8_length(word[at])) ++characters;
  if (characters > options_.max_characters_per_word) {
    ids.push_back(unknown_);
    return;
  }
  const auto first = ids.size();
  std::string piece;
  for (std::size_t start = 0; start < word.size();) {
    piece.assign(start == 0 ? "" : "##");
    const auto prefix = piece.size();
    piece.append(word.substr(start, longest_));
    auto known = ids_.end();
    // A cut within a character is no token, since all tokens are UTF-8: it is just not found.
    for (; piece.size() > prefix; piece.pop_back()) {
      known = ids_.find(std::string_view{piece});
      if (known != ids_.end()) break;
    }
    if (known == ids_.end()) {
      ids.resize(first);
      ids.push_back(unknown_);
      return;
    }
    ids.push_back(known->second);
    start += piece.size() - prefix;
  }
}

void WordPiece::append_text(std::string_view text, std::vector<std::int64_t>& ids) const {
  detail::for_each_word(text,
                        {.lower_case = options_.lower_case,
                         .strip_accents = options_.strip_accents.value_or(options_.lower_case),
                         .tokenize_chinese_chars = options_.tokenize_chinese_chars},
                        [&](std::string_view word) { append_word(word, ids); });
}

std::vector<std::int64_t> WordPiece::encode_pieces(std::string_view text) const {
  std::string first_bytes;
  for (const auto& token : kept_) first_bytes += token.front();
  std::vector<std::int64_t> ids;
  std::size_t done = 0;
  const auto next = [&](std::size_t from) { return text.find_first_of(first_bytes, from); };
  for (auto at = next(0); at != std::string_view::npos; at = next(at)) {
    const auto kept =
        std::ranges::find_if(kept_, [&](const auto& token) { return text.substr(at).starts_with(token); });
    if (kept == kept_.end()) {
      ++at;
      continue;
    }
    append_text(text.substr(done, at - done), ids);
    ids.push_back(ids_.at(*kept));
    at += kept->size();
    done = at;
  }
  append_text(text.substr(done), ids);
  return ids;
}

std::vector<std::int64_t> WordPiece::encode(std::string_view text, std::int64_t max_length) const {
  if (max_length < 2) throw InvalidArgument{fmt::format("max_length is {}; [CLS] and [SEP] alone need 2", max_length)};
  auto ids = encode_pieces(text);
  ids.resize(std::min(ids.size(), static_cast<std::size_t>(max_length - 2)));
  ids.insert(ids.begin(), begin_);
  ids.push_back(end_);
  return ids;
}

std::string WordPiece::token(std::int64_t id) const {
  if (id < 0 || id >= vocabulary_size()) {
    throw InvalidArgument{
        fmt::format("token id {} is outside the vocabulary; ids are 0 to {}", id, vocabulary_size() - 1)};
  }
  return vocabulary_[static_cast<std::size_t>(id)];
}

WordPiece WordPiece::from_file(const std::filesystem::path& path, const WordPieceOptions& options) {
  std::vector<std::string> vocabulary;
  std::istringstream lines{detail::read_vocabulary(path)};
  for (std::string line; std::getline(lines, line);) {
    if (line.ends_with('\r')) line.pop_back();
    vocabulary.push_back(std::move(line));
  }
  check<DataError>(vocabulary, detail::shown_path(path) + ":", 1);
  return WordPiece{std::move(vocabulary), options};
}

void WordPiece::save(const std::filesystem::path& path) const {
  std::string text;
  for (const auto& token : vocabulary_) text.append(token).append(1, '\n');
  write_atomically(path, text);
}

}  // namespace sslmeme
