#include "train/ranks.hpp"

#include <algorithm>
#include <cstring>
#include <span>

namespace sslmeme::detail {
namespace {

constexpr std::int64_t bucket_bytes = std::int64_t{32} << 20;  ///< of gradients that travel together

/// Gradients of one type in a row, averaged by one operation.
void average(std::span<const Tensor> parameters, const ProcessGroup& group) {
  std::vector<Tensor> flat;
  for (const auto& parameter : parameters) {
    flat.push_back(parameter.grad().defined() ? parameter.grad().reshape({-1})
                                              : torch::zeros({parameter.numel()}, parameter.options()));
  }
  const auto mean = group.all_reduce_sum(torch::cat(flat)).div_(group.size());
  std::int64_t begin = 0;
  for (const auto& parameter : parameters) {
    const auto own = mean.narrow(0, begin, parameter.numel()).view_as(parameter);
    if (parameter.grad().defined()) {
      parameter.grad().copy_(own);
    } else {
      parameter.mutable_grad() = torch::empty_like(parameter).copy_(own);
    }
    begin += parameter.numel();
  }
}

}  // namespace

std::vector<double> Ranks::all(double value) const {
  if (size() == 1) return {value};
  const auto values = group_->all_gather(torch::full({1}, value, torch::kDouble));
  const auto* const begin = values.const_data_ptr<double>();
  return {begin, begin + values.numel()};
}

std::vector<double> Ranks::means(std::vector<double> values) const {
  if (size() == 1) return values;
  const auto sums = group_->all_reduce_sum(torch::tensor(values, torch::kDouble));
  const auto* const sum = sums.const_data_ptr<double>();
  std::transform(sum, sum + sums.numel(), values.begin(), [&](double s) { return s / static_cast<double>(size()); });
  return values;
}

void Ranks::average_gradients(const torch::nn::Module& module) const {
  if (size() == 1) return;
  const torch::NoGradGuard no_grad;
  auto parameters = module.parameters();
  std::erase_if(parameters, [](const Tensor& parameter) { return !parameter.requires_grad(); });
  std::vector<std::int64_t> has;
  for (const auto& parameter : parameters) has.push_back(parameter.grad().defined() ? 1 : 0);
  const auto have = group_->all_reduce_sum(torch::tensor(has, torch::kLong));
  const auto* const ranks_that_have = have.const_data_ptr<std::int64_t>();
  std::vector<Tensor> bucket;
  std::int64_t bytes = 0;
  const auto send = [&] {
    if (!bucket.empty()) average(bucket, *group_);
    bucket.clear();
    bytes = 0;
  };
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    if (ranks_that_have[i] == 0) continue;
    const auto& parameter = parameters[i];
    const auto size_of_this = static_cast<std::int64_t>(parameter.nbytes());
    if (!bucket.empty() &&
        (bucket.front().scalar_type() != parameter.scalar_type() || bytes + size_of_this > bucket_bytes))
      send();
    bucket.push_back(parameter);
    bytes += size_of_this;
  }
  send();
}

Tensor Ranks::first(const Tensor& tensor) const {
  return group_->all_reduce_sum(rank() == 0 ? tensor : torch::zeros_like(tensor));  // others add nothing
}

void Ranks::take_first(const NamedTensors& tensors) const {
  if (size() == 1) return;
  const torch::NoGradGuard no_grad;
  for (const auto& [name, tensor] : tensors) {
    if (tensor.numel() == 0) continue;
    const bool summable = tensor.scalar_type() != torch::kBool;
    const auto values = first(summable ? tensor.detach() : tensor.to(torch::kUInt8));
    if (rank() != 0) tensor.detach().copy_(values);
  }
}

std::string Ranks::first(const std::string& text) const {
  if (size() == 1) return text;
  const auto bytes = first(torch::full({1}, static_cast<std::int64_t>(text.size()), torch::kLong)).item<std::int64_t>();
  if (bytes == 0) return {};
  auto content = torch::zeros({bytes}, torch::kUInt8);
  if (rank() == 0) std::memcpy(content.data_ptr(), text.data(), text.size());
  content = first(content);
  return {static_cast<const char*>(content.const_data_ptr()), static_cast<std::size_t>(bytes)};
}

}  // namespace sslmeme::detail
