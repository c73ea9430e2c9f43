#include <sslmeme/loss/predictive.hpp>

#include <sslmeme/core/detail/holder.hpp>
#include <sslmeme/core/error.hpp>
#include <sslmeme/core/random.hpp>

#include <fmt/format.h>
#include <torch/nn/modules/linear.h>

namespace sslmeme {

class Predicted::Predictor : public torch::nn::Module {
 public:
  Predictor(std::int64_t dim, std::int64_t hidden, bool last_norm)
      : fc1_{register_module("fc1", torch::nn::Linear(torch::nn::LinearOptions(dim, hidden).bias(false)))},
        scale_{register_parameter("norm_weight", torch::ones({hidden}))},
        shift_{register_parameter("norm_bias", torch::zeros({hidden}))},
        fc2_{register_module("fc2", torch::nn::Linear(torch::nn::LinearOptions(hidden, dim).bias(!last_norm)))},
        last_norm_{last_norm} {}

  /// In the type of x, so that a loss can be checked in double.
  Tensor forward(const Tensor& x) const {
    const auto like_x = [&](const Tensor& parameter) { return parameter.to(x.scalar_type()); };
    const auto mixed = torch::linear(x, like_x(fc1_->weight));
    const auto hidden = torch::relu(over_batch(mixed, like_x(scale_), like_x(shift_)));
    if (last_norm_) return over_batch(torch::linear(hidden, like_x(fc2_->weight)), {}, {});
    return torch::linear(hidden, like_x(fc2_->weight), like_x(fc2_->bias));
  }
  std::int64_t dim() const { return fc2_->options.out_features(); }

 private:
  torch::nn::Linear fc1_;
  Tensor scale_, shift_;
  torch::nn::Linear fc2_;
  bool last_norm_;

  static Tensor over_batch(const Tensor& x, const Tensor& scale, const Tensor& shift) {
    return torch::batch_norm(x, scale, shift, {}, {}, true, 0, 1e-5, false);
  }
};

Predicted::Predicted(AnyPairLoss loss, const PredictorOptions& options) : loss_{std::move(loss)}, options_{options} {
  if (options.dim < 1 || options.hidden < 0) {
    throw InvalidArgument(fmt::format("Predicted: dim is {}, hidden is {}; dim must be positive, hidden positive or 0",
                                      options.dim, options.hidden));
  }
  const TorchSeedScope seeded{options.seed};
  const auto hidden = options.hidden > 0 ? options.hidden : std::max<std::int64_t>(1, options.dim / 4);
  predictor_ = std::make_shared<Predictor>(options.dim, hidden, options.last_norm);
  state_ = std::make_shared<detail::Holder>();
  state_->register_module("predictor", predictor_);
  if (const auto inner = loss_.module()) state_->register_module("loss", inner);
}

LossOutput Predicted::operator()(const Tensor& z_a, const Tensor& z_b, const PairInfo& info) const {
  detail::check_pair(z_a, z_b, "Predicted");
  detail::check_statistics(z_a, "Predicted");
  if (z_a.size(1) != predictor_->dim()) {
    throw InvalidArgument(fmt::format("Predicted: vectors are {}, the predictor's dim is {}: give it .dim = {}",
                                      shape_string(z_a), predictor_->dim(), z_a.size(1)));
  }
  return loss_(predictor_->forward(detail::at_least_fp32(z_a)), z_b.detach(), info);
}

}  // namespace sslmeme
