#include <sslmeme/loss/sigmoid.hpp>

#include <sslmeme/core/error.hpp>

#include "loss/kernels.hpp"
#include "loss/score_tiles.hpp"

#include <fmt/format.h>
#include <torch/autograd.h>

#include <cmath>

namespace sslmeme {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// Which gradients a call makes.
struct Wanted {
  bool a = false, b = false;
};

/// 1/N Σᵢ [Σⱼ softplus(xᵢⱼ) − xᵢ,ᵢ₊ₒ], x = scale · a·b + bias, o the offset of the positives: −log σ(−x) = softplus(x)
/// everywhere, and −log σ(x) = softplus(x) − x for the pairs that belong together. What an entry adds to the gradient
/// is known as soon as the entry is, so value and gradient are made in one go and a tile is computed once. An entry
/// that is left out has x = −∞, and adds nothing to either.
struct SigmoidFunction : torch::autograd::Function<SigmoidFunction> {
  static Tensor forward(AutogradContext* context, const Tensor& a, const Tensor& b, const Tensor& scale,
                        const Tensor& bias, const SimilarityMask& mask, Wanted wanted) {
    const detail::NoAutocast no_autocast;
    detail::ScoreTiles scores{a, b, scale, mask};
    const auto zeros = [](bool wanted_one, const Tensor& like) {
      return wanted_one ? torch::zeros_like(like, torch::MemoryFormat::Contiguous) : Tensor{};
    };
    const auto of_a = zeros(wanted.a, a), of_b = zeros(wanted.b, b);
    auto total = torch::zeros({}, a.options().dtype(torch::kDouble)), of_bias = torch::zeros_like(total);
    scores.for_each_tile([&](Tensor& tile, auto i, auto j) {
      scores.for_positives(tile, i, j, [&](const Tensor& positives, auto /*first*/) {
        total -= (positives + bias).sum(torch::kDouble);
      });
      to_sigmoids(scores, tile, bias, total, of_bias);
      scores.for_positives(tile, i, j, [&](const Tensor& positives, auto /*first*/) {
        positives.sub_(1);
        of_bias -= positives.size(0);
      });
      if (wanted.a) of_a.narrow(0, i, tile.size(0)).addmm_(tile, b.narrow(0, j, tile.size(1)));
      if (wanted.b) of_b.narrow(0, j, tile.size(1)).addmm_(tile.t(), a.narrow(0, i, tile.size(0)));
    });
    const auto share = 1 / static_cast<double>(a.size(0));
    const auto of_scale = wanted.a ? (a * of_a).sum() : wanted.b ? (b * of_b).sum() : torch::zeros_like(scale);
    for (const auto& gradient : {of_a, of_b}) {
      if (gradient.defined()) gradient.mul_(scale * share);
    }
    context->save_for_backward({of_a, of_b, of_scale * share, (of_bias * share).to(bias.scalar_type())});
    return (total * share).to(a.scalar_type());
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    detail::require_first_derivative("SigmoidLoss");
    auto saved = context->get_saved_variables();
    for (auto& gradient : saved) {
      if (gradient.defined()) gradient = gradient * gradients[0];
    }
    return {saved[0], saved[1], saved[2], saved[3], {}, {}};
  }

 private:
  static void to_sigmoids(const detail::ScoreTiles& scores, Tensor& tile, const Tensor& bias, Tensor& softplus,
                          Tensor& sigmoid) {
    if (scores.has_kernel()) {
      const auto sums = detail::scores_to_sigmoids(detail::ScoreTiles::as_tile(tile), bias.item<float>());
      softplus += sums.softplus;
      sigmoid += sums.sigmoid;
      return;
    }
    tile.add_(bias);
    softplus -= torch::log_sigmoid(-tile).sum(torch::kDouble);
    tile.sigmoid_();
    sigmoid += tile.sum(torch::kDouble);
  }
};

}  // namespace

struct SigmoidLoss::State : torch::nn::Module {
  explicit State(const SigmoidLossOptions& options)
      : log_scale{register_parameter("log_scale", torch::tensor(std::log(options.scale), torch::kFloat))},
        bias{register_parameter("bias", torch::tensor(options.bias, torch::kFloat))} {}
  Tensor log_scale, bias;
};

SigmoidLoss::SigmoidLoss(const SigmoidLossOptions& options) : options_{options} {
  detail::check_positive(options.scale, "SigmoidLoss: scale");
  state_ = std::make_shared<State>(options);
}

Tensor SigmoidLoss::operator()(const Tensor& z_a, const Tensor& z_b, const PairInfo& info) const {
  detail::check_pair(z_a, z_b, "SigmoidLoss");
  const auto mask = detail::mask_of_pairs(options_.mask_duplicates, info, z_a.device());
  if (const auto& ids = mask.row_ids; ids.defined() && !detail::fit_rows(ids, z_a.size(0))) {
    throw InvalidArgument(fmt::format("SigmoidLoss: ids are {} {}; for {} pairs they must be i64 ({})",
                                      toString(ids.scalar_type()), shape_string(ids), z_a.size(0), z_a.size(0)));
  }
  return of_rows(l2_normalize(z_a), l2_normalize(z_b), mask);
}

Tensor SigmoidLoss::local(const LocalPairs& pairs) const {
  return of_rows(l2_normalize(pairs.own(pairs.all_a)), l2_normalize(pairs.all_b),
                 detail::mask_of_pairs(options_.mask_duplicates, pairs));
}

Tensor SigmoidLoss::of_rows(const Tensor& a, const Tensor& b, const SimilarityMask& mask) const {
  const auto& state = static_cast<const State&>(*state_);
  const auto type = a.scalar_type();
  const auto scale = state.log_scale.exp().to(type), bias = state.bias.to(type);
  const bool learns = torch::GradMode::is_enabled();
  const bool of_scale = learns && scale.requires_grad();
  // The scale's gradient is taken from that of a.
  const Wanted wanted{learns && (a.requires_grad() || of_scale), learns && b.requires_grad()};
  return SigmoidFunction::apply(a, b, scale, bias, mask, wanted);
}

}  // namespace sslmeme
