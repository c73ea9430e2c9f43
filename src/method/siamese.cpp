#include <sslmeme/method/siamese.hpp>

#include <sslmeme/core/detail/holder.hpp>
#include <sslmeme/core/error.hpp>
#include <sslmeme/core/precision.hpp>

#include "core/half_cosine.hpp"
#include "loss/rows.hpp"
#include "method/inputs.hpp"
#include "method/teacher.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace sslmeme {
namespace {

std::shared_ptr<torch::nn::Module> add_node(torch::nn::Module& nodes, const char* name, const ImageEncoder& encoder,
                                            const std::shared_ptr<ProjectionHead>& head) {
  auto node = std::make_shared<detail::Holder>();
  node->register_module("encoder", encoder);
  node->register_module("projection", head);
  nodes.register_module(name, node);
  return node;
}

LossOutput mean_of(const LossOutput& first, const LossOutput& second) {
  LossOutput mean{
      0.5 * (first.total + second.total), {}, first.features, detail::rows_of_all({first.observed, second.observed})};
  for (std::size_t i = 0; i < first.parts.size(); ++i)
    mean.parts.emplace_back(first.parts[i].first, 0.5 * (first.parts[i].second + second.parts[i].second));
  return mean;
}

}  // namespace

Siamese::Siamese(ImageEncoder encoder, const Projection& head, AnyPairLoss loss, const SiameseOptions& options)
    : options_{options},
      root_{std::make_shared<detail::Holder>()},
      encoder_{std::move(encoder)},
      loss_{std::move(loss)} {
  if (!encoder_) throw InvalidArgument("Siamese needs an encoder");
  for (const auto momentum : {options_.momentum, options_.final_momentum}) {
    if (!(momentum >= 0 && momentum <= 1))
      throw InvalidArgument(fmt::format("SiameseOptions: a momentum is {}; it must be in [0, 1]", momentum));
  }
  head_ = make_projection(encoder_->feature_dim(), head);
  const auto nodes = std::make_shared<detail::Holder>();
  const auto own = add_node(*nodes, "image", encoder_, head_);
  if (options_.teacher) {
    teacher_head_ = make_projection(options_.teacher->feature_dim(), head);
    const auto of_teacher = add_node(*nodes, "teacher", options_.teacher, teacher_head_);
    average_ = std::make_shared<detail::MovingAverage>(*own, *of_teacher, "Siamese");
  }
  root_->register_module("nodes", nodes);
  if (const auto state = loss_.module()) root_->register_module("loss", state);
}

NamedTensors Siamese::represent(const Batch& batch, const StepContext& /*context*/) const {
  const auto project = [&](const ImageEncoder& encoder, const std::shared_ptr<ProjectionHead>& head, int view) {
    return detail::at_least_fp32(head->forward(detail::encode_images(*encoder, batch, view, "Siamese")));
  };
  NamedTensors samples{{"z0", project(encoder_, head_, 0)}};
  if (options_.symmetric || !options_.teacher) samples.emplace_back("z1", project(encoder_, head_, 1));
  if (options_.teacher) {
    const torch::NoGradGuard no_grad;
    samples.emplace_back("t1", project(options_.teacher, teacher_head_, 1));
    if (options_.symmetric) samples.emplace_back("t0", project(options_.teacher, teacher_head_, 0));
  }
  if (batch.ids.defined()) samples.emplace_back("ids", batch.ids);
  return samples;
}

LossOutput Siamese::compare(const NamedTensors& samples, const StepContext& context) const {
  const auto of = [&](const char* name) { return detail::find_tensor(samples, name); };
  const auto z = of("z0");
  const FullPrecision losses_run_in_fp32{z.device().type()};
  const PairInfo info{of("ids"), context};
  const bool taught = options_.teacher != nullptr;
  auto output = loss_(z, taught ? of("t1") : of("z1"), info);
  if (options_.symmetric) output = mean_of(output, loss_(of("z1"), taught ? of("t0") : z, info));
  output.features.emplace_back("z", z.detach());
  if (taught) {
    const torch::NoGradGuard no_grad;
    output.parts.emplace_back("agreement", detail::mean_cosine(z, of("t1")));
  }
  return output;
}

void Siamese::after_step(const StepContext& context, const LossOutput& output) {
  loss_.update(context, output.observed);
  if (!average_) return;
  average_->follow(
      detail::half_cosine(options_.momentum, options_.final_momentum, context.step - 1, context.total_steps));
}

std::string Siamese::describe() const {
  const auto described = [](const ImageEncoder& encoder, const std::shared_ptr<ProjectionHead>& head) {
    return nlohmann::json{{"encoder", detail::described(encoder.get())}, {"projection", {{"out", head->out_dim()}}}};
  };
  auto json = nlohmann::json::parse(detail::loss_json(loss_.name(), loss_.describe()));
  json["method"] = "siamese";
  json["symmetric"] = options_.symmetric;
  json["nodes"]["image"] = described(encoder_, head_);
  if (options_.teacher) {
    json["nodes"]["teacher"] = described(options_.teacher, teacher_head_);
    json["momentum"] = {options_.momentum, options_.final_momentum};
  }
  return json.dump();
}

}  // namespace sslmeme
