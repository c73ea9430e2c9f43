// CLIP's tokenizer: byte-pair encoding of lower-cased text.
#pragma once

#include <sslmeme/text/tokenizer.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace sslmeme {

/// The tokenizer of CLIP (Radford et al. 2021, arXiv:2103.00020), token for token open_clip's SimpleTokenizer (3.3) by
/// its defaults: byte-pair encoding (Sennrich et al. 2016, arXiv:1508.07909) of the bytes of each word.
///
/// A text is repaired as ftfy does it (references of HTML resolved, quotes uncurled, ligatures and full-width forms
/// replaced, control characters dropped, NFC), stripped of needless white space and lower-cased. Words are runs of
/// letters, single digits, "'s" and its like, and runs of anything else; a word's last piece ends in "</w>".
/// <start_of_text> and <end_of_text> written in a text are those tokens.
///
/// Where it departs: text that was decoded by a wrong encoding ("Ã©" for "é") stays as it is, while ftfy guesses what
/// it was. Classes of characters are those of Python 3.11 and regex 2026.11. Immutable, so safe to share between
/// threads.
///
///     const auto tokenizer = sm::ClipBpe::from_file("bpe_simple_vocab_16e6.txt.gz");
///     const auto batch = sm::tokenize(tokenizer, texts, sm::ClipBpe::context_length);
class ClipBpe final : public Tokenizer {
 public:
  /// Of every published CLIP.
  static constexpr std::int64_t context_length = 77;

  /// Reads bpe_simple_vocab_16e6.txt as CLIP and open_clip ship it, as it is or compressed by gzip: a heading, then one
  /// merge a line, two tokens between blanks; merges behind the 48,894th are not used. Throws IoError for a file that
  /// cannot be read and DataError, naming file and line, for a line that is no merge of tokens known by then, or where
  /// a gzip file is corrupt, cut off or larger than 64 MiB.
  static ClipBpe from_file(const std::filesystem::path& path);

  /// <start_of_text>, the pieces of `text`, <end_of_text>: what open_clip gives before it fills up with zeros.
  std::vector<std::int64_t> encode(std::string_view text, std::int64_t max_length) const override;
  /// The ids of `text` alone, uncut.
  std::vector<std::int64_t> encode_pieces(std::string_view text) const;

  /// 49,408 for CLIP's own file: 256 bytes, these at the end of a word, the merges and two special tokens.
  std::int64_t vocabulary_size() const override { return static_cast<std::int64_t>(vocabulary_.size()); }
  /// 0, the token "!": the text tower of CLIP looks at nothing behind <end_of_text>.
  std::int64_t pad_id() const override { return 0; }
  /// As the file writes it: one character a byte, Ġ and the like for those that cannot be seen.
  std::string token(std::int64_t id) const override;
  std::int64_t start_id() const { return vocabulary_size() - 2; }
  std::int64_t end_id() const { return vocabulary_size() - 1; }

 private:
  struct PairHash {
    std::size_t operator()(std::uint64_t pair) const;
  };

  ClipBpe() = default;
  void append_word(std::string_view word, std::vector<std::int64_t>& ids) const;
  std::vector<std::int64_t> encode_pieces(std::string_view text, std::size_t enough) const;

  std::vector<std::string> vocabulary_;
  std::unordered_map<std::uint64_t, std::int32_t, PairHash> merges_;  // two ids to the id of what they make
};

}  // namespace sslmeme
