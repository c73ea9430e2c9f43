#include <sslmeme/loss/moco.hpp>

#include <sslmeme/core/error.hpp>
#include <sslmeme/core/random.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace sslmeme {

struct MocoLoss::State : torch::nn::Module {
  explicit State(const MocoOptions& o)
      : queue{register_buffer("queue", l2_normalize(torch::randn({o.queue, o.dim})))},
        position{register_buffer("position", torch::zeros({}, torch::kLong))} {}
  Tensor queue, position;
};

MocoLoss::MocoLoss(const MocoOptions& options) : options_{options} {
  detail::check_positive(static_cast<double>(options.queue), "MocoLoss: queue");
  detail::check_positive(static_cast<double>(options.dim), "MocoLoss: dim");
  detail::check_positive(options.temperature, "MocoLoss: temperature");
  const TorchSeedScope seeded{options.seed};
  state_ = std::make_shared<State>(options);
}

Tensor MocoLoss::contrast(const Tensor& query, const Tensor& key) const {
  detail::check_pair(query, key, "MocoLoss");
  if (query.size(1) != options_.dim) {
    throw InvalidArgument(fmt::format("MocoLoss: query is {}; MocoOptions::dim is {}: make them equal",
                                      shape_string(query), options_.dim));
  }
  const auto q = l2_normalize(query), k = l2_normalize(key.detach());
  const auto scale = torch::scalar_tensor(1 / options_.temperature, q.options());
  const auto positive = (q * k).sum(1) * scale;
  // No positive lies in the queue: their offset is beyond it.
  const auto negative =
      similarity_logsumexp(q, state_->queue.to(q.options()), scale, {.positive_offset = options_.queue});
  return (torch::logaddexp(positive, negative.rows) - positive).mean();
}

LossOutput MocoLoss::operator()(const Tensor& query, const Tensor& key) const {
  const auto total = contrast(query, key);
  return {total, {{name(), total.detach()}}, {}, {{"keys", l2_normalize(key.detach())}}};
}

LossOutput MocoLoss::local(const LocalPairs& pairs) const {
  const auto total = contrast(pairs.own(pairs.all_a), pairs.own(pairs.all_b));
  return {total, {{name(), total.detach()}}, {}, {{"keys", l2_normalize(pairs.all_b.detach())}}};
}

void MocoLoss::update(const StepContext& /*context*/, const NamedTensors& observed) {
  const auto keys = detail::find_tensor(observed, "keys");
  if (!keys.defined() || keys.dim() != 2 || keys.size(1) != options_.dim || keys.size(0) > options_.queue) {
    throw InvalidArgument(fmt::format(
        "MocoLoss: observed \"keys\" is {}; it must be that of LossOutput::observed, (R, {}) with R ≤ {}, the queue",
        shape_string(keys), options_.dim, options_.queue));
  }
  if (!torch::isfinite(keys).all().item<bool>())
    throw NonFiniteError("MocoLoss: the keys are not finite; the queue stays as it was");
  const torch::NoGradGuard no_grad;
  const auto n = keys.size(0), begin = state_->position.item<std::int64_t>();
  const auto until_end = std::min(n, options_.queue - begin);
  state_->queue.narrow(0, begin, until_end).copy_(keys.narrow(0, 0, until_end));
  state_->queue.narrow(0, 0, n - until_end).copy_(keys.narrow(0, until_end, n - until_end));
  state_->position.fill_((begin + n) % options_.queue);
}

std::shared_ptr<torch::nn::Module> MocoLoss::module() const {
  return state_;
}
Tensor MocoLoss::queue() const {
  return state_->queue;
}

Tensor MocoV3Loss::contrast(const Tensor& query, const Tensor& key, std::int64_t first) const {
  detail::check_positive(temperature, "MocoV3Loss: temperature");
  const auto q = l2_normalize(query), k = l2_normalize(key.detach());
  const auto scale = torch::scalar_tensor(1 / temperature, q.options());
  const auto s = similarity_logsumexp(q, k, scale, {.positive_offset = first});
  return 2 * temperature * (s.rows - s.positives).mean();
}

Tensor MocoV3Loss::operator()(const Tensor& query, const Tensor& key) const {
  detail::check_pair(query, key, "MocoV3Loss");
  return contrast(query, key, 0);
}

Tensor MocoV3Loss::local(const LocalPairs& pairs) const {
  return contrast(pairs.own(pairs.all_a), pairs.all_b, pairs.first);
}

}  // namespace sslmeme
