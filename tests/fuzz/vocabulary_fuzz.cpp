// Vocabularies of both tokenizers, as they are and compressed by gzip, which mutations seldom leave whole.
#include <sslmeme/text/clip_bpe.hpp>
#include <sslmeme/text/wordpiece.hpp>

#include <optional>
#include <vector>

#include "fuzz/target.hpp"
#include "gzipped.hpp"

namespace {

using namespace sslmeme;
using Ids = std::optional<std::vector<std::int64_t>>;  // none for what is no vocabulary

/// What the tokenizer of a file makes of a few words.
template <class Tokens>
Ids ids_of(const std::string& bytes) {
  static const fuzz::MemoryFile file;
  const auto path = file.write(bytes);
  Ids ids;
  fuzz::expect_errors([&] {
    const auto tokenizer = Tokens::from_file(path);
    constexpr std::int64_t most = 24;
    ids = tokenizer.encode("a cat, 3 Café\u0301s \xFF<start_of_text>[SEP] cats", most);
    fuzz::require(std::ssize(*ids) <= most, "more tokens than asked for");
    for (const auto id : *ids) {
      fuzz::require(id >= 0 && id < tokenizer.vocabulary_size(), "a token that the vocabulary does not have");
      tokenizer.token(id);
    }
  });
  return ids;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = fuzz::text_of(data, size);
  const auto words = ids_of<WordPiece>(bytes), pairs = ids_of<ClipBpe>(bytes);
  if (bytes.starts_with("\x1F\x8B")) return 0;  // would be compressed twice, which is no vocabulary
  const auto packed = test::gzipped(bytes, Z_BEST_SPEED);
  fuzz::require(ids_of<WordPiece>(packed) == words && ids_of<ClipBpe>(packed) == pairs, "other tokens when compressed");
  return 0;
}
