#include <sslmeme/train/average.hpp>

#include <sslmeme/core/error.hpp>
#include <sslmeme/nn/weights.hpp>

#include "train/named.hpp"

#include <ATen/ops/_foreach_lerp.h>
#include <fmt/format.h>

#include <algorithm>

namespace sslmeme {

double WeightAverage::decay_at(std::int64_t step) const {
  const auto done = static_cast<double>(step);
  return warmup ? std::min(decay, (1 + done) / (10 + done)) : decay;
}

AveragedWeights::AveragedWeights(const torch::nn::Module& module, const WeightAverage& options)
    : options_{options}, weights_{state_of(module)} {
  if (!(options.decay >= 0 && options.decay < 1))
    throw InvalidArgument(fmt::format("WeightAverage::decay is {}; it must be in [0, 1)", options.decay));
  for (const auto& [name, tensor] : weights_) average_.emplace_back(name, tensor.detach().clone());
}

void AveragedWeights::update(std::int64_t step) {
  const torch::NoGradGuard no_grad;
  std::vector<Tensor> moving, towards;
  for (std::size_t i = 0; i < weights_.size(); ++i) {
    auto& [name, average] = average_[i];
    const auto& weight = weights_[i].second;
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
  for (std::size_t i = 0; i < weights_.size(); ++i) {
    const auto kept = weights_[i].second.clone();
    weights_[i].second.copy_(average_[i].second);
    average_[i].second.copy_(kept);
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
