#include <sslmeme/method/supervised.hpp>

#include <sslmeme/core/detail/holder.hpp>
#include <sslmeme/core/precision.hpp>
#include <sslmeme/loss/label_losses.hpp>

#include "method/inputs.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace sslmeme {
Supervised::Supervised(ImageEncoder image, TextEncoder text, const SupervisedOptions& options)
    : root_{std::make_shared<detail::Holder>()}, image_{std::move(image)}, text_{std::move(text)}, options_{options} {
  head_ = make_fusion_head(image_ ? image_->feature_dim() : 0, text_ ? text_->feature_dim() : 0, options.fusion);
  if (image_) root_->register_module("image", image_);
  if (text_) root_->register_module("text", text_);
  root_->register_module("fusion", head_);
}

Tensor Supervised::logits(const Batch& batch) {
  return fuse(batch).logits;
}

FusionOutput Supervised::fuse(const Batch& batch) {
  Tensor image, text;
  {
    const torch::AutoGradMode gradients{options_.train_encoders && torch::GradMode::is_enabled()};
    if (!options_.train_encoders) {
      if (image_) image_->eval();
      if (text_) text_->eval();
    }
    if (image_) image = detail::encode_images(*image_, batch, 0, "image");
    if (text_) text = detail::encode_texts(*text_, batch, "text");
  }
  const auto fused = head_->fuse(image, text);
  return {detail::at_least_fp32(fused.logits), detail::at_least_fp32(fused.embedding)};
}

LossOutput Supervised::step(const Batch& batch, const StepContext& /*context*/) {
  detail::require_binary_labels(batch, "Supervised");
  const auto z = logits(batch);
  const FullPrecision losses_run_in_fp32{z.device().type()};
  const auto loss = BinaryCrossEntropy{}(z, batch.labels);
  return {loss, {{"bce", loss.detach()}}, {}};
}

std::string Supervised::describe() const {
  const auto& f = options_.fusion;
  return nlohmann::json{{"method", "supervised"},
                        {"image", detail::described(image_.get())},
                        {"text", detail::described(text_.get())},
                        {"fusion",
                         {{"kind", name_of(f.kind)},
                          {"norm", f.norm == FusionNorm::batch ? "batch" : "l2"},
                          {"dim", f.dim},
                          {"hidden", f.hidden},
                          {"layers", f.layers}}},
                        {"train_encoders", options_.train_encoders}}
      .dump();
}

}  // namespace sslmeme
