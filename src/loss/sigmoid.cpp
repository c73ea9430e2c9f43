#include <sslmeme/loss/sigmoid.hpp>

#include <sslmeme/core/error.hpp>

#include <cmath>

namespace sslmeme {

struct SigmoidLoss::State : torch::nn::Module {
  explicit State(const SigmoidLossOptions& options)
      : log_scale{register_parameter("log_scale", torch::tensor(std::log(options.scale), torch::kFloat))},
        bias{register_parameter("bias", torch::tensor(options.bias, torch::kFloat))} {}
  Tensor log_scale, bias;
};

SigmoidLoss::SigmoidLoss(const SigmoidLossOptions& options) {
  detail::check_positive(options.scale, "SigmoidLoss: scale");
  state_ = std::make_shared<State>(options);
}

Tensor SigmoidLoss::operator()(const Tensor& z_a, const Tensor& z_b) const {
  detail::check_pair(z_a, z_b, "SigmoidLoss");
  const auto& state = static_cast<const State&>(*state_);
  const auto a = l2_normalize(z_a), b = l2_normalize(z_b);
  const auto type = a.scalar_type();
  const auto logits = torch::addmm(state.bias.to(type), a * state.log_scale.exp().to(type), b.t());
  // log σ(−x) everywhere, then the difference log σ(x) − log σ(−x) = x on the diagonal.
  const auto all_negative = torch::log_sigmoid(-logits).sum();
  return -(all_negative + logits.diagonal().sum()) / static_cast<double>(z_a.size(0));
}

}  // namespace sslmeme
