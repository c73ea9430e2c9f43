#include <sslmeme/train/optimizer.hpp>

#include <sslmeme/core/error.hpp>

#include "core/half_cosine.hpp"

#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_fused_adamw.h>
#include <fmt/format.h>

#include <cmath>
#include <unordered_map>
#include <unordered_set>

namespace sslmeme {
namespace {

void check(const AdamW& o) {
  const auto require = [](bool good, const char* what, double value, const char* range) {
    if (!good) throw InvalidArgument(fmt::format("AdamW::{} is {}; it must be {}", what, value, range));
  };
  require(o.lr >= 0 && std::isfinite(o.lr), "lr", o.lr, "zero or more");
  require(o.beta1 >= 0 && o.beta1 < 1, "beta1", o.beta1, "in [0, 1)");
  require(o.beta2 >= 0 && o.beta2 < 1, "beta2", o.beta2, "in [0, 1)");
  require(o.eps > 0, "eps", o.eps, "positive");
  for (const auto decay : {o.weight_decay, o.final_weight_decay.value_or(0)})
    require(decay >= 0 && std::isfinite(decay), "weight_decay", decay, "zero or more");
}

}  // namespace

double AdamW::decay_at(std::int64_t step, std::int64_t total_steps) const {
  if (!final_weight_decay) return weight_decay;
  return detail::half_cosine(weight_decay, *final_weight_decay, step, total_steps);
}

FusedAdamW::FusedAdamW(const torch::nn::Module& module, const AdamW& options) : options_{options} {
  check(options);
  std::unordered_set<const void*> seen;  // a module may be registered twice, its parameters are updated once
  for (const auto& item : module.named_parameters()) {
    const auto& parameter = item.value();
    if (!parameter.requires_grad() || !seen.insert(parameter.unsafeGetTensorImpl()).second) continue;
    slots_.push_back({item.key(), parameter, torch::zeros_like(parameter), torch::zeros_like(parameter),
                      torch::zeros({}, torch::dtype(torch::kFloat).device(parameter.device())), parameter.dim() > 1});
  }
  if (slots_.empty()) throw InvalidArgument("the method has no parameter that needs a gradient: nothing to train");
}

void FusedAdamW::zero_grad() {
  for (auto& slot : slots_) slot.parameter.mutable_grad() = Tensor{};
}

std::vector<Tensor> FusedAdamW::gradients() const {
  std::vector<Tensor> all;
  for (const auto& slot : slots_) {
    if (slot.parameter.grad().defined()) all.push_back(slot.parameter.grad());
  }
  return all;
}

double FusedAdamW::gradient_norm() const {
  const auto all = gradients();
  if (all.empty()) return 0;
  return torch::stack(at::_foreach_norm(all, 2)).norm().item<double>();
}

void FusedAdamW::scale_gradients(double factor) {
  const torch::NoGradGuard no_grad;
  const auto all = gradients();
  if (!all.empty()) at::_foreach_mul_(all, factor);
}

void FusedAdamW::clip_each_gradient(double max_norm) {
  const torch::NoGradGuard no_grad;
  const auto all = gradients();
  if (all.empty()) return;
  std::vector<Tensor> factors;
  for (const auto& norm : at::_foreach_norm(all, 2)) factors.push_back((max_norm / (norm + 1e-6)).clamp_max(1));
  at::_foreach_mul_(all, factors);
}

void FusedAdamW::step(double lr, double decay_factor) {
  const torch::NoGradGuard no_grad;
  for (const bool decay : {true, false}) {
    std::vector<Tensor> parameters, grads, first, second, steps;
    for (auto& slot : slots_) {
      if (slot.decay != decay || !slot.parameter.grad().defined()) continue;
      parameters.push_back(slot.parameter);
      grads.push_back(slot.parameter.grad());
      first.push_back(slot.first_moment);
      second.push_back(slot.second_moment);
      steps.push_back(slot.steps);
    }
    if (parameters.empty()) continue;
    at::_foreach_add_(steps, 1);
    at::_fused_adamw_(parameters, grads, first, second, {}, steps, lr, options_.beta1, options_.beta2,
                      decay ? decay_factor : 0.0, options_.eps, /*amsgrad=*/false, /*maximize=*/false);
  }
}

NamedTensors FusedAdamW::state() const {
  NamedTensors tensors;
  for (const auto& slot : slots_) {
    tensors.emplace_back(slot.name + "/exp_avg", slot.first_moment);
    tensors.emplace_back(slot.name + "/exp_avg_sq", slot.second_moment);
    tensors.emplace_back(slot.name + "/step", slot.steps);
  }
  return tensors;
}

void FusedAdamW::load_state(const NamedTensors& tensors) {
  const std::unordered_map<std::string, Tensor> given{tensors.begin(), tensors.end()};
  const auto own = state();
  for (const auto& [name, tensor] : own) {
    const auto found = given.find(name);
    if (found == given.end() || found->second.sizes() != tensor.sizes() || given.size() != own.size()) {
      throw InvalidArgument(fmt::format(
          "the optimizer's state does not fit the model at \"{}\": resume with the model it was saved from", name));
    }
  }
  for (const auto& [name, tensor] : own) tensor.copy_(given.at(name));
}

}  // namespace sslmeme
