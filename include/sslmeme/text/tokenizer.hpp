// What the rest of the library needs to know of a tokenizer: text in, token ids out.
#pragma once

#include <sslmeme/core/tensor.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sslmeme {

/// Turns text into token ids. Immutable and so safe to share between threads.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  /// The ids of `text` with the model's special tokens, at most `max_length` of them: the text is cut, the special
  /// tokens stay. text: UTF-8; malformed bytes count as U+FFFD. max_length: at least 2.
  virtual std::vector<std::int64_t> encode(std::string_view text, std::int64_t max_length) const = 0;

  virtual std::int64_t vocabulary_size() const = 0;
  /// The id that fills up shorter texts of a batch.
  virtual std::int64_t pad_id() const = 0;
  /// The token of an id, for people to read; throws InvalidArgument for an id outside the vocabulary.
  virtual std::string token(std::int64_t id) const = 0;
};

/// Texts as tensors, padded to the longest of them.
struct TokenBatch {
  Tensor tokens;  ///< i64 (N, L)
  Tensor mask;    ///< bool (N, L): true on real tokens
};

/// Tokenizes N texts, each to at most `max_length` ids, and pads them to the longest.
TokenBatch tokenize(const Tokenizer& tokenizer, std::span<const std::string> texts, std::int64_t max_length);

}  // namespace sslmeme
