#include <sslmeme/train/optimizer.hpp>

#include <sslmeme/core/error.hpp>

#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_fused_adamw.h>
#include <fmt/format.h>

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
  require(o.weight_decay >= 0 && std::isfinite(o.weight_decay), "weight_decay", o.weight_decay, "zero or more");
}

}  // namespace

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

void FusedAdamW::step(double lr) {
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
                      decay ? options_.weight_decay : 0.0, options_.eps, /*amsgrad=*/false, /*maximize=*/false);
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
