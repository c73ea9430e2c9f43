#include <sslmeme/method/supervised.hpp>

#include <sslmeme/core/detail/holder.hpp>
#include <sslmeme/core/error.hpp>
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
                          {"layers", f.layers},
                          {"map_dropout", f.map_dropout},
                          {"fusion_dropout", f.fusion_dropout},
                          {"layer_dropout", f.layer_dropout}}},
                        {"train_encoders", options_.train_encoders}}
      .dump();
}

Supervised supervised_from_json(std::string_view json, const BackboneRegistry& registry) {
  try {
    const auto j = nlohmann::json::parse(json);
    if (j.at("method") != "supervised")
      throw DataError(fmt::format("the method is {}, not \"supervised\"", j.at("method").dump()));
    const auto& f = j.at("fusion");
    const auto norm = f.at("norm").get<std::string>();
    if (norm != "batch" && norm != "l2") throw DataError(fmt::format("the fusion's norm is \"{}\": batch or l2", norm));
    SupervisedOptions options{.train_encoders = j.at("train_encoders")};
    options.fusion.kind = fusion_kind(f.at("kind").get<std::string>());
    options.fusion.norm = norm == "batch" ? FusionNorm::batch : FusionNorm::l2;
    f.at("dim").get_to(options.fusion.dim);
    f.at("hidden").get_to(options.fusion.hidden);
    f.at("layers").get_to(options.fusion.layers);
    const auto rate = [&f](const char* name, double& value) { value = f.value(name, value); };
    rate("map_dropout", options.fusion.map_dropout);
    rate("fusion_dropout", options.fusion.fusion_dropout);
    rate("layer_dropout", options.fusion.layer_dropout);
    const auto &image = j.at("image"), &text = j.at("text");
    return {image.is_null() ? nullptr : image_encoder_from_json(image.dump(), registry),
            text.is_null() ? nullptr : text_encoder_from_json(text.dump(), registry), options};
  } catch (const nlohmann::json::exception& error) {
    throw DataError(fmt::format("cannot read a classifier's description: {}", error.what()));
  } catch (const InvalidArgument& error) {  // a size or a name of the description
    throw DataError(fmt::format("cannot build the classifier that is described: {}", error.what()));
  }
}

}  // namespace sslmeme
