// RetrievalGuided: trains a classifier and, beside it, an embedding in which memes of one label lie together (RGCL).
#pragma once

#include <sslmeme/loss/retrieval_guided.hpp>
#include <sslmeme/method/concepts.hpp>
#include <sslmeme/method/supervised.hpp>

#include <cstdint>
#include <memory>
#include <string>

namespace sslmeme {

struct RetrievalGuidedOptions {
  RetrievalGuidedLoss loss = {};
  double weight = 1;           ///< of the loss beside binary cross-entropy; 0 leaves cross-entropy alone
  std::int64_t positives = 1;  ///< pseudo-gold positives retrieved for each sample; more than one helped nobody
  std::int64_t negatives = 1;  ///< hard negatives
  std::int64_t memory = 0;     ///< how many memes the memory holds at most: those of the training set
};

/// BCE(logit) + weight · RetrievalGuidedLoss(embedding) (RGCL: Mei et al. 2023, arXiv:2311.08110, equation 7), on the
/// modules of a classifier: what is trained here is it. Positives and hard negatives come from a memory of the training
/// set's embeddings, without the sample itself, by exact search: N · memory · E products a step. remember() fills it,
/// before the first epoch and after each, as published:
///
///     sm::RetrievalGuided guided{classifier, {.memory = static_cast<std::int64_t>(train.size())}};
///     const auto remember = [&] { guided.remember(sm::embed(classifier, whole_training_set)); };
///     sm::Trainer{guided, options}.fit(loader, sm::BetweenEpochs{remember}, sm::Checkpoint{});
///
/// A handle: copies share modules and memory. Module names: "image", "text", "fusion", as Supervised has them, and
/// "memory", which is in checkpoints, so that a run resumed within an epoch has the same neighbours.
class RetrievalGuided {
 public:
  /// Throws InvalidArgument for a weight or a number of negatives below 0, and for positives or a memory below 1.
  RetrievalGuided(Supervised classifier, const RetrievalGuidedOptions& options);

  /// Puts these memes in the place of all in the memory. embeddings: (R, E) float, of any length; labels: i64 (R), 0 or
  /// 1; ids: i64 (R); R at most options.memory. Throws InvalidArgument for other shapes, labels or numbers not finite;
  /// the memory then stays as it was.
  void remember(const Tensor& embeddings, const Tensor& labels, const Tensor& ids);
  /// The same of any struct of features, labels and ids: Embeddings, as embed() returns them.
  template <class E>
    requires requires(const E& e) {
      e.features;
      e.labels;
      e.ids;
    }
  void remember(const E& known) {
    remember(known.features, known.labels, known.ids);
  }
  /// What is remembered: unit vectors f32 (R, E), labels (R), ids (R); R = 0 before remember().
  Tensor remembered_embeddings() const;
  Tensor remembered_labels() const;
  Tensor remembered_ids() const;

  /// The nearest positives and hard negatives of embeddings (N, E) in the memory; neither is a meme of the same id. Of
  /// equally near ones the first. labels, ids: i64 (N). Throws InvalidArgument while the memory is empty.
  RetrievedExamples retrieve(const Tensor& embeddings, const Tensor& labels, const Tensor& ids) const;

  /// Throws InvalidArgument as Supervised does for labels, and while the memory is empty.
  LossOutput step(const Batch& batch, const StepContext& context);
  NamedTensors represent(const Batch& batch, const StepContext& context);
  LossOutput compare(const NamedTensors& samples, const StepContext& context) const;
  std::shared_ptr<torch::nn::Module> module() const { return root_; }
  int views_required() const { return classifier_.views_required(); }
  /// That of the classifier, with "retrieval_guided" beside.
  std::string describe() const;

  const Supervised& classifier() const { return classifier_; }

 private:
  struct Memory;
  Supervised classifier_;
  RetrievalGuidedOptions options_;
  std::shared_ptr<torch::nn::Module> root_;
  std::shared_ptr<Memory> memory_;
};

static_assert(Method<RetrievalGuided>);

}  // namespace sslmeme
