// Letters: the tokenizer of tests that care for lengths, not for words.
#pragma once

#include <sslmeme/text/tokenizer.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sslmeme::test {

/// One token a character.
struct Letters final : Tokenizer {
  std::vector<std::int64_t> encode(std::string_view text, std::int64_t max_length) const override {
    std::vector<std::int64_t> ids(text.begin(), text.end());
    ids.resize(std::min(ids.size(), static_cast<std::size_t>(max_length)));
    return ids;
  }
  std::int64_t vocabulary_size() const override { return 128; }
  std::int64_t pad_id() const override { return 0; }
  std::string token(std::int64_t id) const override { return {static_cast<char>(id)}; }
};

}  // namespace sslmeme::test
