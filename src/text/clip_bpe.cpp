#include <sslmeme/text/clip_bpe.hpp>

#include <sslmeme/core/error.hpp>

#include "core/shown.hpp"
#include "core/utf8.hpp"
#include "text/clip_words.hpp"
#include "text/vocabulary_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <queue>
#include <tuple>
#include <utility>

namespace sslmeme {
namespace {

constexpr std::size_t bytes = 256;
constexpr std::size_t most_merges = 49152 - bytes - 2;
constexpr std::string_view end_of_word = "</w>";

constexpr std::uint64_t pair_of(std::int32_t left, std::int32_t right) {
  return static_cast<std::uint64_t>(left) << 32U | static_cast<std::uint32_t>(right);
}

/// The bytes in the order of their ids (CLIP's bytes_to_unicode): first those that are visible characters of Latin-1.
std::array<unsigned char, bytes> byte_order() {
  const auto visible = [](std::size_t byte) {
    return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
  };
  std::array<unsigned char, bytes> order{};
  std::size_t at = 0;
  for (const bool wanted : {true, false}) {
    for (std::size_t byte = 0; byte < bytes; ++byte) {
      if (visible(byte) == wanted) order[at++] = static_cast<unsigned char>(byte);
    }
  }
  return order;
}

/// The id of each byte.
const std::array<std::int32_t, bytes>& byte_ids() {
  static const auto ids = [] {
    std::array<std::int32_t, bytes> result{};
    const auto order = byte_order();
    for (std::size_t i = 0; i < bytes; ++i) result[order[i]] = static_cast<std::int32_t>(i);
    return result;
  }();
  return ids;
}

/// The tokens of the bytes: a visible one is its own character, the others are U+0100 and those behind it.
std::vector<std::string> byte_tokens() {
  std::vector<std::string> tokens;
  char32_t invisible = 0x100;
  char32_t former = 0;
  bool visible = true;
  for (const auto byte : byte_order()) {
    visible = visible && (byte >= former);
    former = byte;
    detail::append_character(tokens.emplace_back(), visible ? char32_t{byte} : invisible++);
  }
  return tokens;
}

/// Byte-pair encoding of one word: a list of pieces, and a queue of neighbours that can be merged.
class Merging {
 public:
  using Merges = std::function<std::int32_t(std::int32_t, std::int32_t)>;

  /// merged: the id of what two pieces make, −1 if they make nothing. Earlier merges have lower ids.
  Merging(std::string_view word, const Merges& merged) : merged_{merged} {
    pieces_.reserve(word.size());
    const auto count = static_cast<std::int32_t>(word.size());
    for (std::int32_t i = 0; i < count; ++i) {
      const auto id = byte_ids()[static_cast<unsigned char>(word[static_cast<std::size_t>(i)])];
      pieces_.push_back({id, i - 1, i + 1 < count ? i + 1 : none});
    }
    pieces_.back().id += static_cast<std::int32_t>(bytes);
    for (std::int32_t i = 0; i + 1 < count; ++i) consider(i);
  }

  void append_to(std::vector<std::int64_t>& ids) {
    while (!queue_.empty()) {
      const auto next = queue_.top();
      queue_.pop();
      auto& left = pieces_[static_cast<std::size_t>(next.at)];
      if (left.id != next.left || left.next == none) continue;  // merged with another meanwhile
      auto& right = at(left.next);
      if (right.id != next.right) continue;
      left.id = next.id;
      right.id = none;
      left.next = right.next;
      if (left.next != none) {
        at(left.next).former = next.at;
        consider(next.at);
      }
      if (left.former != none) consider(left.former);
    }
    for (std::int32_t i = 0; i != none; i = at(i).next) ids.push_back(at(i).id);
  }

 private:
  static constexpr std::int32_t none = -1;
  struct Piece {
    std::int32_t id, former, next;
  };
  struct Candidate {
    std::int32_t id, at, left, right;
    bool operator<(const Candidate& other) const { return std::tie(id, at) > std::tie(other.id, other.at); }
  };

  Piece& at(std::int32_t i) { return pieces_[static_cast<std::size_t>(i)]; }

  void consider(std::int32_t i) {
    const auto left = at(i).id, right = at(at(i).next).id;
    const auto id = merged_(left, right);
    if (id != none) queue_.push({id, i, left, right});
  }

  const Merges& merged_;
  std::vector<Piece> pieces_;
  std::priority_queue<Candidate> queue_;  // the lowest id first, of the same the leftmost
};

}  // namespace

std::size_t ClipBpe::PairHash::operator()(std::uint64_t pair) const {
  return static_cast<std::size_t>(detail::mixed(pair));
}

ClipBpe ClipBpe::from_file(const std::filesystem::path& path) {
  const auto text = detail::read_vocabulary(path);
  ClipBpe result;
  auto& tokens = result.vocabulary_;
  tokens = byte_tokens();
  for (std::size_t i = 0; i < bytes; ++i) tokens.push_back(tokens[i] + std::string{end_of_word});
  std::unordered_map<std::string, std::int32_t> ids;
  for (const auto& token : tokens) ids.emplace(token, static_cast<std::int32_t>(ids.size()));

  std::string_view rest = text;
  for (std::size_t line = 1; !rest.empty() && line <= most_merges + 1; ++line) {
    const auto end = rest.find('\n');
    const auto merge = detail::trimmed(rest.substr(0, end));
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    if (line == 1 || (merge.empty() && rest.empty())) continue;  // the heading, the end
    const auto fail = [&](const std::string& what) {
      throw DataError{fmt::format("{}:{}: {}; a line is two tokens that earlier lines make, with a blank between",
                                  detail::shown_path(path), line, what)};
    };
    const auto blank = merge.find(' ');
    if (blank == std::string_view::npos) fail(detail::in_quotes(merge) + " is no merge");
    const std::string left{merge.substr(0, blank)}, right{merge.substr(blank + 1)};
    for (const auto& part : {left, right}) {
      if (!ids.contains(part)) fail(detail::in_quotes(part) + " is no token so far");
    }
    const auto id = static_cast<std::int32_t>(tokens.size());
    if (!ids.emplace(left + right, id).second) fail(detail::in_quotes(left + right) + " is there already");
    tokens.push_back(left + right);
    result.merges_.emplace(pair_of(ids.at(left), ids.at(right)), id);
  }
  if (result.merges_.empty()) {
    throw DataError{fmt::format("{}: there is no merge in it; give bpe_simple_vocab_16e6.txt as CLIP ships it",
                                detail::shown_path(path))};
  }
  for (const auto* special : {"<start_of_text>", "<end_of_text>"}) tokens.emplace_back(special);
  return result;
}

void ClipBpe::append_word(std::string_view word, std::vector<std::int64_t>& ids) const {
  if (word == vocabulary_[vocabulary_.size() - 2]) {
    ids.push_back(start_id());
  } else if (word == vocabulary_.back()) {
    ids.push_back(end_id());
  } else {
    const Merging::Merges merged = [this](std::int32_t left, std::int32_t right) {
      const auto found = merges_.find(pair_of(left, right));
      return found == merges_.end() ? -1 : found->second;
    };
    Merging{word, merged}.append_to(ids);
  }
}

std::vector<std::int64_t> ClipBpe::encode_pieces(std::string_view text, std::size_t enough) const {
  std::vector<std::int64_t> ids;
  detail::for_each_clip_word(text, [&](std::string_view word) {
    append_word(word, ids);
    return ids.size() < enough;
  });
  return ids;
}

std::vector<std::int64_t> ClipBpe::encode_pieces(std::string_view text) const {
  return encode_pieces(text, std::numeric_limits<std::size_t>::max());
}

std::vector<std::int64_t> ClipBpe::encode(std::string_view text, std::int64_t max_length) const {
  if (max_length < 2) {
    throw InvalidArgument{fmt::format("max_length is {}; <start_of_text> and <end_of_text> alone need 2", max_length)};
  }
  const auto room = static_cast<std::size_t>(max_length - 2);
  auto ids = encode_pieces(text, room);
  ids.resize(std::min(ids.size(), room));
  ids.insert(ids.begin(), start_id());
  ids.push_back(end_id());
  return ids;
}

std::string ClipBpe::token(std::int64_t id) const {
  if (id < 0 || id >= vocabulary_size()) {
    throw InvalidArgument{
        fmt::format("token id {} is outside the vocabulary; ids are 0 to {}", id, vocabulary_size() - 1)};
  }
  return vocabulary_[static_cast<std::size_t>(id)];
}

}  // namespace sslmeme
