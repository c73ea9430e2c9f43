#include <sslmeme/method/retrieval_guided.hpp>

#include <sslmeme/core/error.hpp>
#include <sslmeme/core/precision.hpp>
#include <sslmeme/loss/label_losses.hpp>

#include "loss/nearest.hpp"
#include "method/inputs.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <utility>

namespace sslmeme {

/// Buffers of one size, so that a checkpoint fits whatever is remembered.
struct RetrievalGuided::Memory : torch::nn::Module {
  Memory(std::int64_t size, std::int64_t width)
      : embeddings{register_buffer("embeddings", torch::zeros({size, width}))},
        labels{register_buffer("labels", torch::zeros({size}, torch::kLong))},
        ids{register_buffer("ids", torch::zeros({size}, torch::kLong))},
        count{register_buffer("count", torch::zeros({}, torch::kLong))} {}

  Tensor used(const Tensor& buffer) const { return buffer.narrow(0, 0, count.item<std::int64_t>()); }

  Tensor embeddings, labels, ids, count;
};

namespace {

/// The classifier's modules under their own names. The classifier's root, which is none of them, keeps step with the
/// mode, since evaluations of the classifier go back to that.
class Root : public torch::nn::Module {
 public:
  explicit Root(std::shared_ptr<torch::nn::Module> classifier) : classifier_{std::move(classifier)} {
    for (const auto& child : classifier_->named_children()) register_module(child.key(), child.value());
  }
  void train(bool on = true) override {
    Module::train(on);
    classifier_->train(on);
  }

 private:
  std::shared_ptr<torch::nn::Module> classifier_;
};

void check(const RetrievalGuidedOptions& o) {
  if (!(o.weight >= 0 && std::isfinite(o.weight)))
    throw InvalidArgument(fmt::format("RetrievalGuidedOptions::weight is {}; it must be zero or more", o.weight));
  if (o.positives < 1 || o.negatives < 0) {
    throw InvalidArgument(fmt::format(
        "RetrievalGuidedOptions: positives is {}, negatives is {}; there must be a positive at least, and no "
        "negative number",
        o.positives, o.negatives));
  }
  if (o.memory < 1) {
    throw InvalidArgument(fmt::format(
        "RetrievalGuidedOptions::memory is {}; it must be the number of memes in the training set", o.memory));
  }
}

/// The embeddings (N, k, E) at `rows` (N, k) of a bank.
Tensor gathered(const Tensor& bank, const Tensor& rows) {
  return bank.index_select(0, rows.flatten()).view({rows.size(0), rows.size(1), bank.size(1)});
}

}  // namespace

RetrievalGuided::RetrievalGuided(Supervised classifier, const RetrievalGuidedOptions& options)
    : classifier_{std::move(classifier)}, options_{options}, root_{std::make_shared<Root>(classifier_.module())} {
  check(options);
  memory_ = root_->register_module("memory", std::make_shared<Memory>(options.memory, classifier_.embedding_dim()));
}

void RetrievalGuided::remember(const Tensor& embeddings, const Tensor& labels, const Tensor& ids) {
  const auto width = classifier_.embedding_dim();
  const auto is_column = [&](const Tensor& x) {
    return x.defined() && x.dim() == 1 && x.scalar_type() == torch::kLong && x.size(0) == embeddings.size(0);
  };
  if (!embeddings.defined() || embeddings.dim() != 2 || embeddings.size(1) != width || embeddings.size(0) < 1 ||
      embeddings.size(0) > options_.memory || !embeddings.is_floating_point() || !is_column(labels) ||
      !is_column(ids)) {
    throw InvalidArgument(fmt::format(
        "RetrievalGuided: embeddings are {}, labels {}, ids {}; they must be floating (R, {}), i64 (R) and i64 "
        "(R) with 1 ≤ R ≤ {}, RetrievalGuidedOptions::memory",
        shape_string(embeddings), shape_string(labels), shape_string(ids), width, options_.memory));
  }
  if (!((labels == 0) | (labels == 1)).all().item<bool>())
    throw InvalidArgument("RetrievalGuided remembers memes of label 0 or 1 alone: give it the training split");
  if (!torch::isfinite(embeddings).all().item<bool>())
    throw InvalidArgument("RetrievalGuided: an embedding to remember is not finite");
  const torch::NoGradGuard no_grad;
  const auto rows = embeddings.size(0);
  memory_->embeddings.narrow(0, 0, rows).copy_(l2_normalize(embeddings));
  memory_->labels.narrow(0, 0, rows).copy_(labels);
  memory_->ids.narrow(0, 0, rows).copy_(ids);
  memory_->count.fill_(rows);
}

Tensor RetrievalGuided::remembered_embeddings() const {
  return memory_->used(memory_->embeddings);
}
Tensor RetrievalGuided::remembered_labels() const {
  return memory_->used(memory_->labels);
}
Tensor RetrievalGuided::remembered_ids() const {
  return memory_->used(memory_->ids);
}

RetrievedExamples RetrievalGuided::retrieve(const Tensor& embeddings, const Tensor& labels, const Tensor& ids) const {
  const auto bank = remembered_embeddings(), bank_labels = remembered_labels(), bank_ids = remembered_ids();
  if (bank.size(0) == 0) {
    throw InvalidArgument(
        "RetrievalGuided: the memory is empty: call remember(embed(classifier, loader)) first, in training by "
        "BetweenEpochs");
  }
  const auto queries = l2_normalize(embeddings.detach()).to(bank.device(), bank.scalar_type());
  const auto own_ids = ids.to(bank.device()).unsqueeze(1), own_labels = labels.to(bank.device()).unsqueeze(1);
  const auto search = [&](std::int64_t k, bool same_label) {
    return detail::nearest(queries, bank, k, [&](std::int64_t begin, std::int64_t count) {
      const auto others = own_ids != bank_ids.narrow(0, begin, count);
      const auto same = own_labels == bank_labels.narrow(0, begin, count);
      return others.logical_and(same_label ? same : same.logical_not());
    });
  };
  const auto positives = search(options_.positives, true), negatives = search(options_.negatives, false);
  return {gathered(bank, positives.rows), gathered(bank, negatives.rows), positives.similarity.isfinite(),
          negatives.similarity.isfinite()};
}

LossOutput RetrievalGuided::step(const Batch& batch, const StepContext& context) {
  return compare(represent(batch, context), context);
}

NamedTensors RetrievalGuided::represent(const Batch& batch, const StepContext& /*context*/) {
  detail::require_binary_labels(batch, "RetrievalGuided");
  const auto fused = classifier_.fuse(batch);
  return {{"logits", fused.logits}, {"embedding", fused.embedding}, {"labels", batch.labels}, {"ids", batch.ids}};
}

LossOutput RetrievalGuided::compare(const NamedTensors& samples, const StepContext& /*context*/) const {
  const auto logits = detail::find_tensor(samples, "logits"), z = detail::find_tensor(samples, "embedding");
  const auto labels = detail::find_tensor(samples, "labels"), ids = detail::find_tensor(samples, "ids");
  const FullPrecision losses_run_in_fp32{z.device().type()};
  const auto bce = BinaryCrossEntropy{}(logits, labels);
  const auto rgcl = options_.loss(z, labels, retrieve(z, labels, ids));
  return {bce + options_.weight * rgcl, {{"bce", bce.detach()}, {"rgcl", rgcl.detach()}}, {{"fusion", z.detach()}}};
}

std::string RetrievalGuided::describe() const {
  auto json = nlohmann::json::parse(classifier_.describe());
  const bool hinge = options_.loss.form == RetrievalGuidedForm::hinge;
  json["retrieval_guided"] = {{"form", hinge ? "hinge" : "log_ratio"},
                              {"temperature", options_.loss.temperature},
                              {"margin", options_.loss.margin},
                              {"weight", options_.weight},
                              {"positives", options_.positives},
                              {"negatives", options_.negatives},
                              {"memory", options_.memory}};
  return json.dump();
}

}  // namespace sslmeme
