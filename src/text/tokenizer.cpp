#include <sslmeme/text/tokenizer.hpp>

#include <algorithm>

namespace sslmeme {

TokenBatch tokenize(const Tokenizer& tokenizer, std::span<const std::string> texts, std::int64_t max_length) {
  std::vector<std::vector<std::int64_t>> rows;
  rows.reserve(texts.size());
  std::size_t longest = 1;
  for (const auto& text : texts) {
    rows.push_back(tokenizer.encode(text, max_length));
    longest = std::max(longest, rows.back().size());
  }
  const auto n = static_cast<std::int64_t>(rows.size());
  TokenBatch batch{torch::full({n, static_cast<std::int64_t>(longest)}, tokenizer.pad_id(), torch::kLong),
                   torch::zeros({n, static_cast<std::int64_t>(longest)}, torch::kBool)};
  auto* tokens = batch.tokens.data_ptr<std::int64_t>();
  auto* mask = batch.mask.data_ptr<bool>();
  for (std::size_t i = 0; i < rows.size(); ++i) {
    std::copy(rows[i].begin(), rows[i].end(), tokens + i * longest);
    std::fill_n(mask + i * longest, rows[i].size(), true);
  }
  return batch;
}

}  // namespace sslmeme
