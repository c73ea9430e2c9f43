#include <sslmeme/eval/neighbour_vote.hpp>

#include <sslmeme/core/error.hpp>

#include "eval/embed_rows.hpp"
#include "eval/finite_rows.hpp"
#include "loss/nearest.hpp"

#include <fmt/format.h>

#include <vector>

namespace sslmeme {
namespace {

void check(const Embeddings& known, const Tensor& queries, const VoteOptions& options) {
  const auto &features = known.features, &labels = known.labels;
  if (!features.defined() || !queries.defined() || features.dim() != 2 || queries.dim() != 2 ||
      features.size(1) != queries.size(1) || features.size(0) == 0 || !labels.defined() || labels.dim() != 1 ||
      labels.size(0) != features.size(0)) {
    throw InvalidArgument(
        fmt::format("neighbour_vote: known features are {}, labels {}, queries {}; they must be (N, E), (N) and (M, E)",
                    shape_string(features), shape_string(labels), shape_string(queries)));
  }
  if (options.k < 1) throw InvalidArgument(fmt::format("VoteOptions::k is {}; it must be at least 1", options.k));
  if (!((labels == 0) | (labels == 1)).all().item<bool>())
    throw InvalidArgument("neighbour_vote: a known label is neither 0 nor 1: give it a dataset with labels");
  detail::require_finite_rows(features, "the known features");
  detail::require_finite_rows(queries, "the queries");
}

}  // namespace

Embeddings embed(Supervised& classifier, DataLoader& loader) {
  return detail::embed_rows(*classifier.module(), loader, classifier.views_required(),
                            [&](const Batch& batch) { return classifier.fuse(batch).embedding; });
}

Tensor neighbour_vote(const Embeddings& known, const Tensor& queries, const VoteOptions& options) {
  check(known, queries, options);
  const torch::NoGradGuard no_grad;
  constexpr std::int64_t chunk = 256;
  const auto bank = l2_normalize(known.features), unit = l2_normalize(queries.to(bank.options()));
  const auto k = std::min(options.k, bank.size(0));
  const auto weights = torch::arange(k, 0, -1, bank.options().dtype(torch::kDouble));
  const auto sides = 2 * known.labels.to(weights.options()) - 1;
  std::vector<Tensor> votes{torch::zeros({0}, weights.options())};
  for (std::int64_t begin = 0; begin < unit.size(0); begin += chunk) {
    const auto found = detail::nearest(unit.narrow(0, begin, std::min(chunk, unit.size(0) - begin)), bank, k);
    const auto sided = sides.index_select(0, found.rows.flatten()).view_as(found.rows) *
                       found.similarity.to(torch::kDouble).clamp(-1, 1);
    votes.push_back(0.5 + 0.5 * sided.matmul(weights) / weights.sum());
  }
  return torch::cat(votes);
}

Predictions predict_by_vote(const RetrievalGuided& method, DataLoader& loader, const VoteOptions& options) {
  const Embeddings known{method.remembered_embeddings().cpu(), method.remembered_labels().cpu(),
                         method.remembered_ids().cpu()};
  if (known.labels.size(0) == 0)
    throw InvalidArgument("RetrievalGuided remembers nothing to vote with: call remember(embed(classifier, loader))");
  auto classifier = method.classifier();
  const auto queries = embed(classifier, loader);
  const auto votes = neighbour_vote(known, queries.features, options);
  Predictions all;
  for (std::int64_t i = 0; i < votes.size(0); ++i) {
    all.scores.push_back(votes[i].item<double>());
    all.labels.push_back(queries.labels[i].item<std::int64_t>());
    all.ids.push_back(queries.ids[i].item<std::int64_t>());
  }
  return all;
}

}  // namespace sslmeme
