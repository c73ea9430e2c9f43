#include <sslmeme/eval/predict.hpp>

#include <sslmeme/core/error.hpp>
#include <sslmeme/eval/metrics.hpp>

#include "eval/evaluation_scope.hpp"

#include <fmt/format.h>

namespace sslmeme {

Predictions predict(Supervised& classifier, DataLoader& loader) {
  detail::require_whole(loader, "predict on");
  const auto module = classifier.module();
  const detail::EvaluationScope evaluation{*module};
  const auto device = evaluation.device();
  Predictions all;
  loader.start_epoch(0, 0, classifier.views_required());
  while (const auto batch = loader.next()) {
    const auto logits = classifier.logits(batch->to(device)).to(torch::kDouble).cpu();
    const auto scores = torch::sigmoid(logits);
    const auto labels = batch->labels.contiguous();
    const auto ids = batch->ids.contiguous();
    for (std::int64_t i = 0; i < batch->size() - batch->padding; ++i) {
      all.logits.push_back(logits.data_ptr<double>()[i]);
      all.scores.push_back(scores.data_ptr<double>()[i]);
      all.labels.push_back(labels.data_ptr<std::int64_t>()[i]);
      all.ids.push_back(ids.data_ptr<std::int64_t>()[i]);
      if (!std::isfinite(all.logits.back()))
        throw NonFiniteError(fmt::format("the logit of sample {} is {}", all.ids.back(), all.logits.back()));
    }
  }
  return all;
}

Evaluation evaluate(const Predictions& test, const Predictions& dev) {
  const auto threshold = best_threshold(dev.scores, dev.labels);
  const auto& order = test.logits.empty() ? test.scores : test.logits;  // two sure scores may both be 1
  return {auroc(order, test.labels), accuracy(test.scores, test.labels, 0.5),
          accuracy(test.scores, test.labels, threshold), threshold};
}

}  // namespace sslmeme
