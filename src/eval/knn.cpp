#include <sslmeme/eval/knn.hpp>

#include <sslmeme/core/error.hpp>

#include "eval/embed_rows.hpp"
#include "eval/evaluation_scope.hpp"
#include "eval/finite_rows.hpp"

#include <c10/core/ScalarType.h>
#include <fmt/format.h>

#include <vector>

namespace sslmeme {

Embeddings detail::embed_rows(torch::nn::Module& module, DataLoader& loader, int views,
                              const std::function<Tensor(const Batch&)>& features_of) {
  require_whole(loader, "embed");
  const EvaluationScope evaluation{module};
  const auto device = evaluation.device();
  std::vector<Tensor> features, labels, ids;
  loader.start_epoch(0, 0, views);
  while (const auto batch = loader.next()) {
    const auto rows = batch->size() - batch->padding;
    features.push_back(features_of(batch->to(device)).narrow(0, 0, rows).to(torch::kCPU, torch::kFloat));
    labels.push_back(batch->labels.narrow(0, 0, rows));
    ids.push_back(batch->ids.narrow(0, 0, rows));
    if (const auto row = first_row_not_finite(features.back())) {
      throw NonFiniteError(
          fmt::format("the features of sample {} are not finite", ids.back()[*row].item<std::int64_t>()));
    }
  }
  return {torch::cat(features), torch::cat(labels), torch::cat(ids)};
}

Embeddings embed(ImageBackbone& encoder, DataLoader& loader) {
  return detail::embed_rows(encoder, loader, 1, [&](const Batch& batch) { return encoder.forward(batch.views.at(0)); });
}

Tensor embed(TextBackbone& encoder, const Tokenizer& tokenizer, std::span<const std::string> texts,
             const TextEmbedOptions& options) {
  if (options.max_tokens < 0 || options.max_tokens > encoder.max_tokens() || options.batch_size < 1) {
    throw InvalidArgument(
        fmt::format("TextEmbedOptions: max_tokens is {}, batch_size is {}; give at most {} tokens (0: as many) and a "
                    "positive batch",
                    options.max_tokens, options.batch_size, encoder.max_tokens()));
  }
  const auto longest = options.max_tokens > 0 ? options.max_tokens : encoder.max_tokens();
  const auto at_once = static_cast<std::size_t>(options.batch_size);
  const detail::EvaluationScope evaluation{encoder};
  const auto device = evaluation.device();
  std::vector<Tensor> features{torch::empty({0, encoder.feature_dim()})};
  for (std::size_t first = 0; first < texts.size(); first += at_once) {
    const auto some = texts.subspan(first, std::min(at_once, texts.size() - first));
    const auto [tokens, mask] = tokenize(tokenizer, some, longest);
    features.push_back(encoder.forward(tokens.to(device), mask.to(device)).to(torch::kCPU, torch::kFloat));
    if (const auto row = detail::first_row_not_finite(features.back()))
      throw NonFiniteError(
          fmt::format("the features of text {} are not finite", first + static_cast<std::size_t>(*row)));
  }
  return torch::cat(features);
}

Tensor knn_classify(const Embeddings& known, const Tensor& queries, const KnnOptions& options) {
  const auto& labels = known.labels;
  if (known.features.dim() != 2 || queries.dim() != 2 || known.features.size(1) != queries.size(1) ||
      labels.dim() != 1 || labels.size(0) != known.features.size(0) || labels.size(0) == 0) {
    throw InvalidArgument(
        fmt::format("knn_classify: known features are {}, labels {}, queries {}; they must be (N, D), "
                    "(N) and (M, D)",
                    shape_string(known.features), shape_string(labels), shape_string(queries)));
  }
  if (options.k < 1 || !(options.temperature > 0)) {
    throw InvalidArgument(
        fmt::format("KnnOptions: k is {}, temperature is {}; both must be positive", options.k, options.temperature));
  }
  if (labels.min().item<std::int64_t>() < 0)
    throw InvalidArgument("knn_classify: a known sample has no label: give it a dataset with labels");
  if (queries.scalar_type() != known.features.scalar_type())
    throw InvalidArgument(fmt::format("knn_classify: known features are {}, queries {}; both must be of one type",
                                      c10::toString(known.features.scalar_type()),
                                      c10::toString(queries.scalar_type())));
  detail::require_finite_rows(known.features, "the known features");
  detail::require_finite_rows(queries, "the queries");
  constexpr std::int64_t chunk = 1024;
  const auto classes = labels.max().item<std::int64_t>() + 1, k = std::min(options.k, labels.size(0));
  const auto unit = l2_normalize(known.features).t();
  std::vector<Tensor> answers{torch::empty({0}, torch::kLong)};
  for (std::int64_t begin = 0; begin < queries.size(0); begin += chunk) {
    const auto rows = queries.narrow(0, begin, std::min(chunk, queries.size(0) - begin));
    const auto [similarity, neighbours] = torch::matmul(l2_normalize(rows), unit).topk(k, 1);
    auto votes = torch::zeros({rows.size(0), classes}, similarity.options());
    votes.scatter_add_(1, labels.index_select(0, neighbours.flatten()).view_as(neighbours),
                       (similarity / options.temperature).exp());
    answers.push_back(votes.argmax(1));
  }
  return torch::cat(answers);
}

double knn_accuracy(const Embeddings& known, const Embeddings& queries, const KnnOptions& options) {
  if (queries.labels.numel() == 0 || queries.labels.min().item<std::int64_t>() < 0)
    throw InvalidArgument("knn_accuracy: a query has no label, or there is none: give it a dataset with labels");
  return (knn_classify(known, queries.features, options) == queries.labels).to(torch::kDouble).mean().item<double>();
}

}  // namespace sslmeme
