#include <sslmeme/method/dino.hpp>

#include <sslmeme/core/error.hpp>
#include <sslmeme/core/precision.hpp>

#include "method/inputs.hpp"

#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_mul.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <numbers>
#include <utility>

namespace sslmeme {
namespace {

struct Holder : torch::nn::Module {};

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

/// Parameters and buffers of `from` into `to`, which must have the same and share none.
void copy_state(const torch::nn::Module& from, torch::nn::Module& to) {
  const torch::NoGradGuard no_grad;
  const auto copy = [](const torch::OrderedDict<std::string, Tensor>& source,
                       torch::OrderedDict<std::string, Tensor> target) {
    for (const auto& item : source) {
      const auto* const found = target.find(item.key());
      if (found == nullptr || found->sizes() != item.value().sizes() || source.size() != target.size()) {
        throw InvalidArgument(
            fmt::format("Dino: the teacher has no \"{}\" of {}: make it by the same name and options as the student",
                        item.key(), shape_string(item.value())));
      }
      if (found->is_alias_of(item.value()))
        throw InvalidArgument("Dino: student and teacher share their parameters: give it two encoders");
      Tensor(*found).copy_(item.value());
    }
  };
  copy(from.named_parameters(), to.named_parameters());
  copy(from.named_buffers(), to.named_buffers());
}

/// −Σ q log q, mean over rows.
double entropy(const Tensor& teacher, const Tensor& center, double temperature) {
  const auto log_q = torch::log_softmax((teacher - center) / temperature, -1);
  return -(log_q.exp() * log_q).sum(-1).mean().item<double>();
}

}  // namespace

Dino::Dino(ImageEncoder student, ImageEncoder teacher, const DinoMethodOptions& options)
    : options_{checked(options)},
      student_{std::move(student), nullptr},
      teacher_{std::move(teacher), nullptr},
      loss_{options_.loss},
      root_{std::make_shared<Holder>()} {
  if (!student_.encoder || !teacher_.encoder) throw InvalidArgument("Dino needs a student and a teacher");
  copy_state(*student_.encoder, *teacher_.encoder);
  const auto nodes = std::make_shared<Holder>();
  for (auto* node : {&student_, &teacher_}) {
    // Of one seed, so the heads are equal too.
    node->head = std::make_shared<DinoHead>(node->encoder->feature_dim(), options_.head);
    const auto holder = std::make_shared<Holder>();
    holder->register_module("encoder", node->encoder);
    holder->register_module("head", node->head);
    auto& parameters = node == &student_ ? student_parameters_ : teacher_parameters_;
    parameters = holder->parameters();
    nodes->register_module(node == &student_ ? "student" : "teacher", holder);
  }
  for (auto& parameter : teacher_parameters_) parameter.set_requires_grad(false);
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
  const auto temperature = options_.teacher_temperature.at(context.epoch);
  const auto teacher_logits = detail::at_least_fp32(teacher.logits);
  auto output = loss_(detail::at_least_fp32(student.logits), teacher_logits, temperature);

  const torch::NoGradGuard no_grad;
  const auto n = student.logits.size(1);
  const auto first_view = [n](const Encoded& of) {
    return detail::at_least_fp32(of.features.narrow(0, 0, n)).detach();
  };
  const auto of_student = first_view(student), of_teacher = first_view(teacher);
  const auto report = [&](const char* name, double value) {
    output.parts.emplace_back(name, torch::tensor(value, torch::kDouble));
  };
  report("teacher_entropy", entropy(teacher_logits, loss_.center(), temperature));
  report("center_norm", loss_.center().norm().item<double>());
  report("agreement", (l2_normalize(of_student) * l2_normalize(of_teacher)).sum(1).mean().item<double>());
  output.features = {{"student", of_student}, {"teacher", of_teacher}};
  return output;
}

double Dino::momentum(std::int64_t step, std::int64_t total_steps) const {
  const auto progress = static_cast<double>(step) / static_cast<double>(std::max<std::int64_t>(1, total_steps));
  return 1 + 0.5 * (options_.momentum - 1) * (1 + std::cos(std::numbers::pi * progress));
}

void Dino::after_step(const StepContext& context, const LossOutput& output) {
  loss_.update(context, output.observed);
  const torch::NoGradGuard no_grad;
  const auto m = momentum(context.step - 1, context.total_steps);
  at::_foreach_mul_(teacher_parameters_, m);
  at::_foreach_add_(teacher_parameters_, student_parameters_, 1 - m);
}

std::string Dino::describe() const {
  const auto described = [](const ImageEncoder& encoder) {
    const auto& text = encoder->description();
    return nlohmann::json{{"encoder", text.empty() ? nlohmann::json{} : nlohmann::json::parse(text)}};
  };
  const auto& t = options_.teacher_temperature;
  return nlohmann::json{{"method", "dino"},
                        {"nodes", {{"student", described(student())}, {"teacher", described(teacher())}}},
                        {"head",
                         {{"prototypes", options_.head.prototypes},
                          {"hidden", options_.head.hidden},
                          {"bottleneck", options_.head.bottleneck},
                          {"norm_last_layer", options_.head.norm_last_layer}}},
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
  auto teacher = image_encoder_from_json(student->description(), registry);
  return Dino{std::move(student), std::move(teacher), options};
}

}  // namespace sslmeme
