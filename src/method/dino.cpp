#include <sslmeme/method/dino.hpp>

#include <sslmeme/core/detail/holder.hpp>
#include <sslmeme/core/error.hpp>
#include <sslmeme/core/precision.hpp>
#include <sslmeme/loss/gather.hpp>

#include "core/half_cosine.hpp"
#include "method/inputs.hpp"
#include "method/teacher.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <utility>

namespace sslmeme {
namespace {

DinoMethodOptions checked(DinoMethodOptions options) {
  options.loss.prototypes = options.head.prototypes;
  const auto require = [](bool good, const char* what, auto value, const char* range) {
    if (!good) throw InvalidArgument(fmt::format("DinoMethodOptions::{} is {}; it must be {}", what, value, range));
  };
  require(options.momentum >= 0 && options.momentum <= 1, "momentum", options.momentum, "in [0, 1]");
  require(options.frozen_epochs >= 0, "frozen_epochs", options.frozen_epochs, "zero or more");
  require(options.views >= 2, "views", options.views, "at least 2");
  require(options.teacher_temperature.from > 0 && options.teacher_temperature.to > 0, "teacher_temperature",
          std::min(options.teacher_temperature.from, options.teacher_temperature.to), "positive");
  return options;
}

/// The description of such an encoder that leaves nothing out by chance.
std::string without_dropout(const std::string& description) {
  auto json = nlohmann::json::parse(description, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("options")) return description;  // whoever builds from it says what is wrong
  auto& options = json["options"];
  for (const auto* rate : {"drop_rate", "proj_drop_rate", "attn_drop_rate", "drop_path_rate", "patch_drop_rate"}) {
    if (options.contains(rate)) options[rate] = 0.0;
  }
  return json.dump();
}

}  // namespace

Dino::Dino(ImageEncoder student, ImageEncoder teacher, const DinoMethodOptions& options)
    : options_{checked(options)},
      student_{std::move(student), nullptr},
      teacher_{std::move(teacher), nullptr},
      loss_{options_.loss},
      root_{std::make_shared<detail::Holder>()} {
  if (!student_.encoder || !teacher_.encoder) throw InvalidArgument("Dino needs a student and a teacher");
  const auto nodes = std::make_shared<detail::Holder>();
  std::vector<std::shared_ptr<detail::Holder>> holders;
  for (auto* node : {&student_, &teacher_}) {
    node->head = std::make_shared<DinoHead>(node->encoder->feature_dim(), options_.head);
    holders.push_back(std::make_shared<detail::Holder>());
    holders.back()->register_module("encoder", node->encoder);
    holders.back()->register_module("head", node->head);
    nodes->register_module(node == &student_ ? "student" : "teacher", holders.back());
  }
  average_ = std::make_shared<detail::MovingAverage>(*holders[0], *holders[1], "Dino");
  root_->register_module("nodes", nodes);
  root_->register_module("loss", loss_.module());
}

Dino::Encoded Dino::encode(const Node& node, const Batch& batch, int views, bool prototypes_learn) const {
  std::vector<Tensor> features;
  for (int begin = 0; begin < views;) {
    std::vector<Tensor> same_size;
    int end = begin;
    for (; end < views; ++end) {
      const auto& view = detail::view_of(batch, end, "Dino");
      if (!same_size.empty() && view.sizes() != same_size.front().sizes()) break;
      same_size.push_back(view);
    }
    features.push_back(node.encoder->forward(torch::cat(same_size)));
    begin = end;
  }
  Encoded encoded{torch::cat(features), {}};
  encoded.logits = node.head->forward(encoded.features, prototypes_learn).unflatten(0, {views, -1});
  return encoded;
}

LossOutput Dino::step(const Batch& batch, const StepContext& context) {
  constexpr int seen_by_teacher = 2;
  const auto student = encode(student_, batch, options_.views, context.epoch >= options_.frozen_epochs);
  const auto teacher = [&] {
    const torch::NoGradGuard no_grad;
    return encode(teacher_, batch, seen_by_teacher, false);
  }();
  const FullPrecision losses_run_in_fp32{student.logits.device().type()};
  // As they are: the loss computes halves in fp32 without a copy of them in fp32.
  auto output = loss_(student.logits, teacher.logits, options_.teacher_temperature.at(context.epoch));

  const torch::NoGradGuard no_grad;
  if (options_.group) output.observed = all_gather(output.observed, *options_.group);
  const auto n = student.logits.size(1);
  const auto first_view = [n](const Encoded& of) {
    return detail::at_least_fp32(of.features.narrow(0, 0, n)).detach();
  };
  const auto of_student = first_view(student), of_teacher = first_view(teacher);
  const auto nats = detail::find_tensor(output.parts, "teacher_entropy");
  const auto most = std::log(static_cast<double>(std::max<std::int64_t>(2, options_.loss.prototypes)));
  output.parts.emplace_back("teacher_entropy_share", nats / most);
  output.parts.emplace_back("center_norm", loss_.center().norm());
  output.parts.emplace_back("agreement", detail::mean_cosine(of_student, of_teacher));
  output.features = {{"student", of_student}, {"teacher", of_teacher}};
  return output;
}

double Dino::momentum(std::int64_t step, std::int64_t total_steps) const {
  return detail::half_cosine(options_.momentum, 1, step, total_steps);
}

void Dino::after_step(const StepContext& context, const LossOutput& output) {
  loss_.update(context, output.observed);
  average_->follow(momentum(context.step - 1, context.total_steps));
}

std::string Dino::describe() const {
  const auto described = [](const ImageEncoder& encoder) {
    return nlohmann::json{{"encoder", detail::described(encoder.get())}};
  };
  const auto& t = options_.teacher_temperature;
  return nlohmann::json{{"method", "dino"},
                        {"nodes", {{"student", described(student())}, {"teacher", described(teacher())}}},
                        {"head",
                         {{"prototypes", options_.head.prototypes},
                          {"hidden", options_.head.hidden},
                          {"bottleneck", options_.head.bottleneck},
                          {"norm_last_layer", options_.head.norm_last_layer},
                          {"batch_norm", options_.head.batch_norm}}},
                        {"student_temperature", options_.loss.student_temperature},
                        {"teacher_temperature", {t.from, t.to, t.epochs}},
                        {"center_momentum", options_.loss.center_momentum},
                        {"momentum", options_.momentum},
                        {"frozen_epochs", options_.frozen_epochs},
                        {"views", options_.views}}
      .dump();
}

Dino dino(ImageEncoder student, const DinoMethodOptions& options, const BackboneRegistry& registry) {
  if (!student) throw InvalidArgument("dino() needs an encoder");
  if (student->description().empty()) {
    throw InvalidArgument(
        "dino() cannot make a teacher like an encoder without description: give Dino{student, teacher} two");
  }
  auto teacher = image_encoder_from_json(without_dropout(student->description()), registry);
  return Dino{std::move(student), std::move(teacher), options};
}

}  // namespace sslmeme
