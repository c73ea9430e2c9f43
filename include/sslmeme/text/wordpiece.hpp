// WordPiece: BERT's tokenizer, for its published vocabularies and for small ones trained on a corpus at hand.
#pragma once

#include <sslmeme/text/tokenizer.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace sslmeme {

struct WordPieceOptions {
  bool lower_case = true;                      ///< as the "uncased" vocabularies need
  std::int64_t max_characters_per_word = 100;  ///< a longer word is one [UNK]
  std::optional<bool> strip_accents = {};      ///< drop accents (NFD without Mn); unset: where words are lower-cased
  bool tokenize_chinese_chars = true;          ///< each CJK ideograph is a word of its own
  /// Tokens of the vocabulary that a text may hold as they are written here, anywhere: no rule touches them, and of two
  /// that begin alike the longer is taken. [MASK] need not be in the vocabulary.
  std::vector<std::string> never_split = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
};

/// BERT's tokenizer (Devlin et al. 2018, arXiv:1810.04805), token for token that of transformers' BertTokenizer (5.24
/// with tokenizers 0.23), for every code point of Unicode.
///
/// Control characters go, white space and CJK ideographs split, words lose their accents and are lower-cased, each
/// punctuation mark is a word of its own, and each word is cut greedily into the longest pieces that the vocabulary has
/// ("##" before those that continue a word). Immutable, so safe to share between threads.
class WordPiece final : public Tokenizer {
 public:
  /// Reads a vocab.txt, as it is or compressed by gzip: one token a line, its id is the line number from 0.
  /// Throws IoError for a file that cannot be read and DataError, naming file and line, for an empty or repeated token
  /// or when [PAD], [UNK], [CLS] or [SEP] is missing, or where a gzip file is corrupt, cut off or larger than 64 MiB.
  static WordPiece from_file(const std::filesystem::path& path, const WordPieceOptions& options = {});

  /// The vocabulary as a list, ids being positions. Throws InvalidArgument where from_file throws DataError.
  static WordPiece from_vocabulary(std::vector<std::string> vocabulary, const WordPieceOptions& options = {});

  /// Writes a vocab.txt that from_file reads; either the whole file is replaced or none of it. Throws IoError.
  void save(const std::filesystem::path& path) const;

  std::vector<std::int64_t> encode(std::string_view text, std::int64_t max_length) const override;
  /// The ids of `text` alone, without [CLS] and [SEP] and uncut.
  std::vector<std::int64_t> encode_pieces(std::string_view text) const;

  std::int64_t vocabulary_size() const override { return static_cast<std::int64_t>(vocabulary_.size()); }
  std::int64_t pad_id() const override { return pad_; }
  std::int64_t unknown_id() const { return unknown_; }
  std::string token(std::int64_t id) const override;
  /// All tokens in the order of their ids.
  const std::vector<std::string>& vocabulary() const { return vocabulary_; }
  const WordPieceOptions& options() const { return options_; }

 private:
  struct Hash : std::hash<std::string_view> {
    using is_transparent = void;
  };

  WordPiece(std::vector<std::string> vocabulary, const WordPieceOptions& options);
  void append_word(std::string_view word, std::vector<std::int64_t>& ids) const;
  void append_text(std::string_view text, std::vector<std::int64_t>& ids) const;

  std::vector<std::string> vocabulary_;
  std::unordered_map<std::string, std::int64_t, Hash, std::equal_to<>> ids_;
  std::vector<std::string> kept_;  // of never_split, the longest first
  std::size_t longest_ = 0;        // bytes of the longest token: no longer piece needs to be looked up
  WordPieceOptions options_;
  std::int64_t pad_ = 0, unknown_ = 0, begin_ = 0, end_ = 0;
};

struct WordPieceTrainerOptions {
  std::int64_t vocabulary_size = 4000;  ///< at most so many tokens, the five special ones included
  std::int64_t min_frequency = 2;       ///< a word or merged piece must occur at least so often
  bool lower_case = true;               ///< as WordPieceOptions::lower_case of the tokenizer that will use it
};

/// A vocabulary for WordPiece::from_vocabulary learned from `texts`: the five special tokens, every character seen (at
/// the start of a word and within one), then whole words by frequency in the first half of the room that is left and,
/// in the rest, pieces merged as by byte-pair encoding (Sennrich et al. 2016, arXiv:1508.07909). Depends on nothing but
/// the texts' words and their counts; equal counts are ordered by bytes. Throws InvalidArgument for a size that cannot
/// hold the characters.
std::vector<std::string> train_wordpiece(std::span<const std::string> texts,
                                         const WordPieceTrainerOptions& options = {});

}  // namespace sslmeme
