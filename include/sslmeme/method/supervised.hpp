// Supervised: "is this meme harmful" from picture, words or both, with binary cross-entropy.
#pragma once

#include <sslmeme/method/concepts.hpp>
#include <sslmeme/nn/backbone.hpp>
#include <sslmeme/nn/fusion.hpp>

#include <memory>
#include <string>
#include <string_view>

namespace sslmeme {

struct SupervisedOptions {
  FusionOptions fusion = {};
  bool train_encoders =
      true;  ///< false: only the fusion head learns, encoders run without gradient and in evaluation mode
};

/// Encoders (either may be null), a fusion head and BCE on its logit. A handle: copies share their modules. Module
/// names: "image", "text", "fusion".
class Supervised {
 public:
  /// Throws InvalidArgument when both encoders are null.
  Supervised(ImageEncoder image, TextEncoder text, const SupervisedOptions& options = {});

  /// Mean binary cross-entropy over the batch. Throws InvalidArgument for a batch with a missing label or one that is
  /// not 0 or 1.
  LossOutput step(const Batch& batch, const StepContext& context);
  std::shared_ptr<torch::nn::Module> module() const { return root_; }
  int views_required() const { return image_ ? 1 : 0; }
  std::string describe() const;

  /// Logits (N) of a batch, fp32; the probability of "harmful" is their sigmoid.
  Tensor logits(const Batch& batch);
  /// The logits and the embedding that they are made of, fp32.
  FusionOutput fuse(const Batch& batch);
  /// E of FusionOutput::embedding.
  std::int64_t embedding_dim() const { return head_->embedding_dim(); }

  ImageEncoder image() const { return image_; }
  TextEncoder text() const { return text_; }
  std::shared_ptr<FusionHead> fusion() const { return head_; }

 private:
  std::shared_ptr<torch::nn::Module> root_;
  ImageEncoder image_;
  TextEncoder text_;
  std::shared_ptr<FusionHead> head_;
  SupervisedOptions options_;
};

static_assert(Method<Supervised>);

/// The same architecture again from Supervised::describe(), with fresh weights; dropout rates that it does not have are
/// the defaults. Throws DataError for other JSON.
Supervised supervised_from_json(std::string_view json, const BackboneRegistry& registry = BackboneRegistry::built_in());

}  // namespace sslmeme
