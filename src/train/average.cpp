#include <sslmeme/train/average.hpp>

#include <sslmeme/core/error.hpp>
#include <sslmeme/nn/weights.hpp>

#include "train/named.hpp"

#include <ATen/ops/_foreach_lerp.h>
#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

namespace sslmeme {

double WeightAverage::decay_at(std::int64_t step) const {
  const auto done = static_cast<double>(step);
  return warmup ? std::min(decay, (1 + done) / (10 + done)) : decay;
}

AveragedWeights::AveragedWeights(const torch::nn::Module& module, const WeightAverage& options) : options_{options} {
  if (!(options.decay >= 0 && options.decay < 1))
    throw InvalidArgument(fmt::format("WeightAverage::decay is {}; it must be in [0, 1)", options.decay));
  std::unordered_map<const void*, Tensor> averages;  // a module may be registered twice, its weights are averaged once
  for (const auto& [name, weight] : state_of(module)) {
    const auto [known, is_new] = averages.try_emplace(weight.unsafeGetTensorImpl());
    if (is_new) {
      known->second = weight.detach().clone();
      pairs_.push_back({weight, known->second});
    }
    average_.emplace_back(name, known->second);
  }
}

void AveragedWeights::update(std::int64_t step) {
  const torch::NoGradGuard no_grad;
  std::vector<Tensor> moving, towards;
  for (auto& [weight, average] : pairs_) {
    if (average.is_floating_point()) {
      moving.push_back(average);
      towards.push_back(weight);
    } else {
      average.copy_(weight);
    }
  }
  at::_foreach_lerp_(moving, towards, 1 - options_.decay_at(step));
}

void AveragedWeights::load_state(const NamedTensors& tensors) {
  detail::copy_by_name(average_, tensors, "the average of the weights");
}

void AveragedWeights::exchange() {
  const torch::NoGradGuard no_grad;
  for (auto& [weight, average] : pairs_) {
    const auto kept = weight.clone();
    weight.copy_(average);
    average.copy_(kept);
  }
}

void AveragedWeights::during(const std::function<void()>& body) {
  exchange();
  try {
    body();
  } catch (...) {
    exchange();
    throw;
  }
  exchange();
}

}  // namespace sslmeme
