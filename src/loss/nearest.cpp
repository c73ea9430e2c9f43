#include "loss/nearest.hpp"

#include <algorithm>
#include <limits>
#include <vector>

namespace sslmeme::detail {
namespace {

constexpr std::int64_t chunk = 8192;  // rows of the bank that are compared at once
constexpr auto none = -std::numeric_limits<double>::infinity();

/// The k best columns of each row, those of equal value in their order. argmax() has the first of several, which topk()
/// does not promise; k is small.
Neighbours best_columns(Tensor values, const Tensor& rows, std::int64_t k) {
  std::vector<Tensor> best_rows, best_values;
  for (std::int64_t i = 0; i < k; ++i) {
    const auto best = values.argmax(1, true);
    best_rows.push_back(rows.gather(1, best));
    best_values.push_back(values.gather(1, best));
    values.scatter_(1, best, none);
  }
  return {torch::cat(best_rows, 1), torch::cat(best_values, 1)};
}

}  // namespace

Neighbours nearest(const Tensor& queries, const Tensor& bank, std::int64_t k, const Allowed& allowed) {
  const torch::NoGradGuard no_grad;
  const auto m = queries.size(0), n = bank.size(0);
  k = std::min(k, n);
  const auto integers = queries.options().dtype(torch::kLong);
  Neighbours best{torch::zeros({m, 0}, integers), torch::zeros({m, 0}, queries.options())};
  for (std::int64_t begin = 0; k > 0 && begin < n; begin += chunk) {
    const auto count = std::min(chunk, n - begin);
    auto similarity = queries.matmul(bank.narrow(0, begin, count).t());
    if (allowed) similarity.masked_fill_(allowed(begin, count).logical_not(), none);
    const auto rows = torch::arange(begin, begin + count, integers).expand({m, count});
    best = best_columns(torch::cat({best.similarity, similarity}, 1), torch::cat({best.rows, rows}, 1),
                        std::min(k, best.rows.size(1) + count));
  }
  best.rows.masked_fill_(best.similarity == none, 0);
  return best;
}

}  // namespace sslmeme::detail
