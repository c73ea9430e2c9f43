#include <sslmeme/train/optimizer.hpp>

#include <sslmeme/core/error.hpp>
#include <sslmeme/nn/backbone.hpp>

#include "core/half_cosine.hpp"
#include "train/named.hpp"

#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_addcmul.h>
#include <ATen/ops/_foreach_div.h>
#include <ATen/ops/_foreach_lerp.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_foreach_sqrt.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/_fused_sgd.h>
#include <fmt/format.h>
#include <fnmatch.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>
#include <unordered_set>

namespace sslmeme {
namespace {

constexpr const char* name_of(const AdamW&) {
  return "AdamW";
}
constexpr const char* name_of(const Sgd&) {
  return "Sgd";
}
constexpr const char* name_of(const Lars&) {
  return "Lars";
}
constexpr const char* name_of(const Lamb&) {
  return "Lamb";
}

template <class O>
constexpr bool is_adam = std::is_same_v<O, AdamW> || std::is_same_v<O, Lamb>;

template <class O>
void check(const O& o) {
  const auto require = [](bool good, const char* what, double value, const char* range) {
    if (!good) throw InvalidArgument(fmt::format("{}::{} is {}; it must be {}", name_of(O{}), what, value, range));
  };
  require(o.lr >= 0 && std::isfinite(o.lr), "lr", o.lr, "zero or more");
  for (const auto decay : {o.weight_decay, o.final_weight_decay.value_or(0)})
    require(decay >= 0 && std::isfinite(decay), "weight_decay", decay, "zero or more");
  if constexpr (is_adam<O>) {
    require(o.beta1 >= 0 && o.beta1 < 1, "beta1", o.beta1, "in [0, 1)");
    require(o.beta2 >= 0 && o.beta2 < 1, "beta2", o.beta2, "in [0, 1)");
    require(o.eps > 0, "eps", o.eps, "positive");
  } else {
    require(o.momentum >= 0 && o.momentum < 1, "momentum", o.momentum, "in [0, 1)");
    require(!o.nesterov || o.momentum > 0, "momentum", o.momentum, "positive with nesterov");
  }
  if constexpr (std::is_same_v<O, Lars>) {
    require(o.trust > 0 && std::isfinite(o.trust), "trust", o.trust, "positive");
    require(o.eps >= 0, "eps", o.eps, "zero or more");
  }
}

/// The parameters that a backbone within `module` keeps from weight decay.
std::unordered_set<const void*> kept_from_decay(const torch::nn::Module& module) {
  std::unordered_set<const void*> kept;
  module.apply([&](const torch::nn::Module& part) {
    const auto* const backbone = dynamic_cast<const Backbone*>(&part);
    if (backbone == nullptr) return;
    const auto parameters = backbone->named_parameters();
    for (const auto& name : backbone->no_decay()) {
      const auto* const parameter = parameters.find(name);
      if (parameter == nullptr) {
        throw InvalidArgument(
            fmt::format("a backbone's no_decay() names \"{}\", which is none of its parameters", name));
      }
      kept.insert(parameter->unsafeGetTensorImpl());
    }
  });
  return kept;
}

/// The numbers of a tensor on the processor, for operations that take one for each of many tensors.
std::vector<at::Scalar> scalars_of(const Tensor& numbers) {
  const auto here = numbers.to(torch::kCPU, torch::kDouble).contiguous();
  const auto* const begin = here.const_data_ptr<double>();
  return std::vector<at::Scalar>(begin, begin + here.numel());  // not braces: a pointer is a bool, and that a Scalar
}

}  // namespace

double learning_rate_of(const OptimizerOptions& options) {
  return std::visit([](const auto& o) { return o.lr; }, options);
}

double weight_decay_at(const OptimizerOptions& options, const TrainingTime& time) {
  return std::visit(
      [&](const auto& o) {
        return o.final_weight_decay
                   ? detail::half_cosine(o.weight_decay, *o.final_weight_decay, time.step, time.total_steps)
                   : o.weight_decay;
      },
      options);
}

Optimizer::Optimizer(const torch::nn::Module& module, OptimizerOptions options, const ParameterGroups& groups) {
  std::visit([](const auto& o) { check(o); }, options);
  if (!(groups.layer_decay > 0 && groups.layer_decay <= 1)) {
    throw InvalidArgument(fmt::format("ParameterGroups::layer_decay is {}; it must be in (0, 1]", groups.layer_decay));
  }
  for (const auto& rule : groups.rules) {
    if (rule.optimizer) std::visit([](const auto& o) { check(o); }, *rule.optimizer);
    for (const auto factor : {rule.lr, rule.decay.value_or(0)}) {
      if (!(factor >= 0 && std::isfinite(factor))) {
        throw InvalidArgument(
            fmt::format("the parameter rule \"{}\" has the factor {}; it must be zero or more", rule.pattern, factor));
      }
    }
  }
  std::vector<std::string> names;
  std::vector<Tensor> parameters;
  std::unordered_set<const void*> seen;  // a module may be registered twice, its parameters are updated once
  for (const auto& item : module.named_parameters()) {
    if (!item.value().requires_grad() || !seen.insert(item.value().unsafeGetTensorImpl()).second) continue;
    names.push_back(item.key());
    parameters.push_back(item.value());
  }
  const auto layers = layers_from_the_end(names);
  const auto undecayed = kept_from_decay(module);
  std::vector<bool> used(groups.rules.size());
  std::map<std::tuple<const void*, double, double, torch::ScalarType>, std::size_t> group_of;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const auto rule = std::find_if(groups.rules.begin(), groups.rules.end(), [&](const ParameterRule& r) {
      return fnmatch(r.pattern.c_str(), names[i].c_str(), 0) == 0;
    });
    const bool ruled = rule != groups.rules.end();
    if (ruled) used[static_cast<std::size_t>(rule - groups.rules.begin())] = true;
    const auto& own = ruled && rule->optimizer ? *rule->optimizer : options;
    const auto lr = (ruled ? rule->lr : 1) * std::pow(groups.layer_decay, static_cast<double>(layers[i]));
    const bool decays = parameters[i].dim() > 1 && !undecayed.contains(parameters[i].unsafeGetTensorImpl());
    const auto decay = ruled && rule->decay ? *rule->decay : decays ? 1.0 : 0.0;
    const auto [entry, is_new] = group_of.try_emplace({&own, lr, decay, parameters[i].scalar_type()}, groups_.size());
    if (is_new) groups_.push_back({own, lr, decay, {}});
    Slot slot{names[i], parameters[i], {}, {}, {}};
    std::visit(
        [&]<class O>(const O& o) {
          bool first = true;
          if constexpr (is_adam<O>) {
            slot.second = torch::zeros_like(slot.parameter);
            slot.steps = torch::zeros({}, torch::dtype(torch::kFloat).device(slot.parameter.device()));
          } else {
            first = o.momentum > 0;
          }
          if (first) slot.first = torch::zeros_like(slot.parameter);
        },
        own);
    groups_[entry->second].slots.push_back(std::move(slot));
  }
  for (std::size_t i = 0; i < used.size(); ++i) {
    if (used[i]) continue;
    throw InvalidArgument(
        fmt::format("the parameter rule \"{}\" matches no parameter, or none that an earlier rule "
                    "does not: names are like {}",
                    groups.rules[i].pattern, names.front()));
  }
  if (groups_.empty()) throw InvalidArgument("the method has no parameter that needs a gradient: nothing to train");
}

void Optimizer::zero_grad() {
  for (auto& group : groups_) {
    for (auto& slot : group.slots) slot.parameter.mutable_grad() = Tensor{};
  }
}

std::vector<Tensor> Optimizer::gradients() const {
  std::vector<Tensor> all;
  for (const auto& group : groups_) {
    for (const auto& slot : group.slots) {
      if (slot.parameter.grad().defined()) all.push_back(slot.parameter.grad());
    }
  }
  return all;
}

double Optimizer::gradient_norm() const {
  const auto all = gradients();
  if (all.empty()) return 0;
  return torch::stack(at::_foreach_norm(all, 2)).norm().item<double>();
}

void Optimizer::scale_gradients(double factor) {
  const torch::NoGradGuard no_grad;
  const auto all = gradients();
  if (!all.empty()) at::_foreach_mul_(all, factor);
}

void Optimizer::clip_each_gradient(double max_norm) {
  const torch::NoGradGuard no_grad;
  const auto all = gradients();
  if (all.empty()) return;
  // Numbers, not tensors: with those a GPU would be asked for every gradient by itself.
  const auto factors = (max_norm / (torch::stack(at::_foreach_norm(all, 2)) + 1e-6)).clamp_max(1);
  at::_foreach_mul_(all, scalars_of(factors));
}

/// One update of the parameters of a group that have gradients.
struct Optimizer::Update {
  double lr, decay;
  std::vector<Tensor> parameters, gradients, first, second, steps;

  Update(const Group& group, double factor, const TrainingTime& time)
      : lr{learning_rate_of(group.options) * group.lr * factor},
        decay{weight_decay_at(group.options, time) * group.decay},
        scaled_{group.decay > 0} {
    for (const auto& slot : group.slots) {
      if (!slot.parameter.grad().defined()) continue;
      parameters.push_back(slot.parameter);
      gradients.push_back(slot.parameter.grad());
      if (slot.first.defined()) first.push_back(slot.first);
      if (slot.second.defined()) second.push_back(slot.second);
      if (slot.steps.defined()) steps.push_back(slot.steps);
    }
  }

  void operator()(const AdamW& o) const {
    at::_foreach_add_(steps, 1);
    at::_fused_adamw_(parameters, gradients, first, second, {}, steps, lr, o.beta1, o.beta2, decay, o.eps,
                      /*amsgrad=*/false, /*maximize=*/false);
  }

  void operator()(const Sgd& o) const {
    at::_fused_sgd_(parameters, gradients, first, decay, o.momentum, lr, /*dampening=*/0, o.nesterov,
                    /*maximize=*/false, /*is_first_step=*/false);
  }

  void operator()(const Lars& o) const {
    auto direction = gradients;
    if (scaled_) {
      const auto weights = norms(parameters), slopes = norms(gradients);
      const auto both = (weights > 0) & (slopes > 0);
      const auto ratio = o.trust * weights / (slopes + weights * decay + o.eps);
      direction = at::_foreach_mul(gradients, torch::where(both, ratio, 1).unbind());
      at::_foreach_addcmul_(direction, parameters, torch::where(both, ratio * decay, 0).unbind());
    }
    if (o.momentum > 0) {
      at::_foreach_mul_(first, o.momentum);
      at::_foreach_add_(first, direction);
      direction = o.nesterov ? at::_foreach_add(direction, first, o.momentum) : first;
    }
    at::_foreach_add_(parameters, direction, -lr);
  }

  void operator()(const Lamb& o) const {
    at::_foreach_add_(steps, 1);
    at::_foreach_lerp_(first, gradients, 1 - o.beta1);
    at::_foreach_mul_(second, o.beta2);
    at::_foreach_addcmul_(second, gradients, gradients, 1 - o.beta2);
    const auto counts = torch::stack(steps).to(torch::kDouble).cpu();
    const auto correction1 = 1 - torch::pow(o.beta1, counts), correction2 = 1 - torch::pow(o.beta2, counts);
    auto denominators = at::_foreach_sqrt(second);
    at::_foreach_div_(denominators, scalars_of(correction2.sqrt()));
    at::_foreach_add_(denominators, o.eps);
    auto direction = at::_foreach_div(first, scalars_of(correction1));
    at::_foreach_div_(direction, denominators);
    if (!scaled_) return at::_foreach_add_(parameters, direction, -lr);
    at::_foreach_add_(direction, parameters, decay);
    const auto weights = norms(parameters), lengths = norms(direction);
    const auto ratio = torch::where((weights > 0) & (lengths > 0), weights / lengths, 1);
    at::_foreach_addcmul_(parameters, direction, (ratio * -lr).unbind());
  }

 private:
  bool scaled_;  ///< LARS and LAMB scale what decays

  static Tensor norms(const std::vector<Tensor>& tensors) { return torch::stack(at::_foreach_norm(tensors, 2)); }
};

void Optimizer::step(double factor, const TrainingTime& time) {
  const torch::NoGradGuard no_grad;
  for (const auto& group : groups_) {
    const Update update{group, factor, time};
    if (!update.parameters.empty()) std::visit(update, group.options);
  }
}

NamedTensors Optimizer::state() const {
  NamedTensors tensors;
  for (const auto& group : groups_) {
    const bool adam = std::visit([]<class O>(const O&) { return is_adam<O>; }, group.options);
    for (const auto& slot : group.slots) {
      if (slot.first.defined()) tensors.emplace_back(slot.name + (adam ? "/exp_avg" : "/momentum_buffer"), slot.first);
      if (slot.second.defined()) tensors.emplace_back(slot.name + "/exp_avg_sq", slot.second);
      if (slot.steps.defined()) tensors.emplace_back(slot.name + "/step", slot.steps);
    }
  }
  return tensors;
}

void Optimizer::load_state(const NamedTensors& tensors) {
  detail::copy_by_name(state(), tensors, "the optimizer's state");
}

std::string describe(const OptimizerOptions& options) {
  return std::visit(
      []<class O>(const O& o) {
        nlohmann::json json{{"name", name_of(o)}, {"lr", o.lr}, {"weight_decay", o.weight_decay}};
        json["final_weight_decay"] = o.final_weight_decay ? nlohmann::json(*o.final_weight_decay) : nlohmann::json{};
        if constexpr (is_adam<O>) {
          json["beta1"] = o.beta1;
          json["beta2"] = o.beta2;
          json["eps"] = o.eps;
        } else {
          json["momentum"] = o.momentum;
          json["nesterov"] = o.nesterov;
        }
        if constexpr (std::is_same_v<O, Lars>) {
          json["trust"] = o.trust;
          json["eps"] = o.eps;
        }
        return json.dump();
      },
      options);
}

std::string describe(const ParameterGroups& groups) {
  auto rules = nlohmann::json::array();
  for (const auto& rule : groups.rules) {
    rules.push_back({{"pattern", rule.pattern},
                     {"lr", rule.lr},
                     {"decay", rule.decay ? nlohmann::json(*rule.decay) : nlohmann::json{}},
                     {"optimizer", rule.optimizer ? nlohmann::json::parse(describe(*rule.optimizer)) : nullptr}});
  }
  return nlohmann::json{{"rules", rules}, {"layer_decay", groups.layer_decay}}.dump();
}

}  // namespace sslmeme
