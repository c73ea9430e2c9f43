#include <sslmeme/text/tokenizer.hpp>
#include <sslmeme/text/wordpiece.hpp>

#include "close_to.hpp"

#include <catch2/catch_test_macros.hpp>

#include <string>
#include <thread>
#include <vector>

namespace sm = sslmeme;
using sm::test::AllCloseTo;

namespace {

// [PAD] is not 0 here: padding must ask the tokenizer.
const auto tokenizer = sm::WordPiece::from_vocabulary({"[UNK]", "[CLS]", "[SEP]", "[PAD]", "run", "fast", "you"});

}  // namespace

TEST_CASE("A batch of texts is padded to its longest") {
  const std::vector<std::string> texts{"run", "you run fast fast", ""};
  const auto batch = sm::tokenize(tokenizer, texts, 16);
  CHECK(batch.tokens.scalar_type() == torch::kLong);
  CHECK(batch.mask.scalar_type() == torch::kBool);
  const auto expected =
      torch::tensor({1, 4, 2, 3, 3, 3, 1, 6, 4, 5, 5, 2, 1, 2, 3, 3, 3, 3}, torch::kLong).view({3, 6});
  CHECK_THAT(batch.tokens, AllCloseTo(expected, {}));
  CHECK_THAT(batch.mask, AllCloseTo(expected != 3, {}));
}

TEST_CASE("A batch of texts is cut at max_length") {
  const std::vector<std::string> texts{"you run fast fast"};
  const auto batch = sm::tokenize(tokenizer, texts, 4);
  CHECK_THAT(batch.tokens, AllCloseTo(torch::tensor({1, 6, 4, 2}, torch::kLong).view({1, 4}), {}));
  CHECK(batch.mask.all().item<bool>());
}

TEST_CASE("One tokenizer serves many threads", "[threads]") {
  const std::string text = "You RUN fást, run";
  const auto expected = tokenizer.encode(text, 16);
  std::vector<std::vector<std::int64_t>> results(4);
  {
    std::vector<std::jthread> threads;
    for (auto& result : results) {
      threads.emplace_back([&] {
        for (int i = 0; i < 500; ++i) result = tokenizer.encode(text, 16);
      });
    }
  }
  for (const auto& result : results) CHECK(result == expected);
}
