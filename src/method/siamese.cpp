#include <sslmeme/method/siamese.hpp>

#include <sslmeme/core/error.hpp>
#include <sslmeme/core/precision.hpp>

#include "method/inputs.hpp"

#include <nlohmann/json.hpp>

namespace sslmeme {
namespace {
struct Root : torch::nn::Module {};
}  // namespace

Siamese::Siamese(ImageEncoder encoder, const Projection& head, AnyPairLoss loss)
    : root_{std::make_shared<Root>()}, encoder_{std::move(encoder)}, loss_{std::move(loss)} {
  if (!encoder_) throw InvalidArgument("Siamese needs an encoder");
  head_ = make_projection(encoder_->feature_dim(), head);
  root_->register_module("encoder", encoder_);
  root_->register_module("projection", head_);
  if (const auto state = loss_.module()) root_->register_module("loss", state);
}

LossOutput Siamese::step(const Batch& batch, const StepContext& context) {
  const auto z_a = head_->forward(detail::encode_images(*encoder_, batch, 0, "Siamese"));
  const auto z_b = head_->forward(detail::encode_images(*encoder_, batch, 1, "Siamese"));
  const FullPrecision losses_run_in_fp32{z_a.device().type()};
  auto output = loss_(detail::at_least_fp32(z_a), detail::at_least_fp32(z_b), {batch.ids, context});
  output.features.emplace_back("z", z_a.detach());
  return output;
}

std::string Siamese::describe() const {
  const auto& text = encoder_->description();
  return nlohmann::json{{"method", "siamese"},
                        {"encoder", text.empty() ? nlohmann::json{} : nlohmann::json::parse(text)},
                        {"projection", {{"out", head_->out_dim()}}},
                        {"loss", loss_.name()}}
      .dump();
}

}  // namespace sslmeme
