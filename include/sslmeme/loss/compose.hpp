// Losses compose: `CosineLoss{} + 0.5 * InfoNce{}` is a loss whose parts are reported by name.
#pragma once

#include <sslmeme/core/detail/holder.hpp>
#include <sslmeme/core/error.hpp>
#include <sslmeme/loss/any_pair_loss.hpp>
#include <sslmeme/loss/weight.hpp>

#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace sslmeme {

/// Σ wᵢ · lossᵢ(z_a, z_b). Made by `+` and `*`; the parts keep their names, a repeated name gets a number. Weights are
/// numbers or schedules: `InfoNce{} + LinearWeight{.to = 0.1} * KoLeo{}`.
class WeightedSum {
 public:
  void add(LossWeight weight, AnyPairLoss loss) { terms_.push_back({std::move(weight), std::move(loss)}); }

  LossOutput operator()(const Tensor& z_a, const Tensor& z_b, const PairInfo& info = {}) const {
    return sum(info.context, [&](const AnyPairLoss& loss) { return loss(z_a, z_b, info); });
  }
  LossOutput local(const LocalPairs& pairs) const {
    return sum(pairs.info.context, [&](const AnyPairLoss& loss) { return loss.local(pairs); });
  }

  void update(const StepContext& context, const NamedTensors& observed = {}) {
    for (std::size_t i = 0; i < terms_.size(); ++i)
      terms_[i].loss.update(context, detail::below(observed, std::to_string(i)));
  }

  /// The states of all terms, by position; null when none has state.
  std::shared_ptr<torch::nn::Module> module() const {
    std::shared_ptr<torch::nn::Module> all;
    for (std::size_t i = 0; i < terms_.size(); ++i) {
      if (const auto state = terms_[i].loss.module()) {
        if (!all) all = std::make_shared<detail::Holder>();
        all->register_module(std::to_string(i), state);
      }
    }
    return all;
  }

  std::string name() const {
    std::string text;
    for (const auto& term : terms_) text += (text.empty() ? "" : "+") + term.loss.name();
    return text;
  }

  /// The terms, with their options and weights.
  std::string describe() const {
    std::string terms;
    for (const auto& [weight, loss] : terms_) {
      const auto of = detail::loss_json(loss.name(), loss.describe());
      terms += (terms.empty() ? "" : ",") + detail::options_json({{"of", of}, {"weight", weight.describe()}});
    }
    return "[" + terms + "]";
  }

  WeightedSum scaled(double factor) const {
    WeightedSum copy;
    for (const auto& term : terms_) copy.add(term.weight.scaled(factor), term.loss);
    return copy;
  }

  void append(const WeightedSum& other) { terms_.insert(terms_.end(), other.terms_.begin(), other.terms_.end()); }

 private:
  struct Term {
    LossWeight weight;
    AnyPairLoss loss;
  };

  template <class F>
  LossOutput sum(const StepContext& context, F output_of) const {
    if (terms_.empty()) throw InvalidArgument("WeightedSum: it has no terms: add() a loss before it is called");
    LossOutput sum;
    for (std::size_t i = 0; i < terms_.size(); ++i) {
      auto output = output_of(terms_[i].loss);
      const auto weighted = output.total * terms_[i].weight.at(context);
      sum.total = sum.total.defined() ? sum.total + weighted : weighted;
      for (auto& [name, value] : output.parts) sum.parts.emplace_back(unused_name(sum, name), value);
      for (auto& features : output.features) sum.features.push_back(std::move(features));
      detail::append_below(sum.observed, std::to_string(i), output.observed);
    }
    return sum;
  }

  static std::string unused_name(const LossOutput& output, const std::string& name) {
    auto candidate = name;
    const auto taken = [&] {
      for (const auto& [used, value] : output.parts) {
        if (used == candidate) return true;
      }
      return false;
    };
    for (int number = 2; taken(); ++number) candidate = name + "_" + std::to_string(number);
    return candidate;
  }

  std::vector<Term> terms_;
};

namespace detail {
template <class L>
WeightedSum as_sum(const L& loss) {
  if constexpr (std::same_as<L, WeightedSum>) {
    return loss;
  } else {
    WeightedSum sum;
    sum.add(1.0, loss);
    return sum;
  }
}
}  // namespace detail

/// weight · loss. For a loss of your own namespace say `using sslmeme::operator*;` first: C++ does not look for it here
/// by itself. The same goes for `+` between two such losses.
template <PairLoss L>
WeightedSum operator*(double weight, const L& loss) {
  return detail::as_sum(loss).scaled(weight);
}
template <PairLoss L>
WeightedSum operator*(const L& loss, double weight) {
  return weight * loss;
}
/// A schedule times a loss, LinearWeight or a function of StepContext in a LossWeight.
template <PairLoss L>
WeightedSum operator*(const LossWeight& weight, const L& loss) {
  WeightedSum sum;
  sum.add(weight, loss);
  return sum;
}

/// The sum of two losses.
template <PairLoss A, PairLoss B>
WeightedSum operator+(const A& a, const B& b) {
  auto sum = detail::as_sum(a);
  sum.append(detail::as_sum(b));
  return sum;
}

namespace detail {

struct AnyCall {
  void operator()() const;
};
/// Where L has call operators, however many, their name means two things here.
template <class L>
struct WithAnyCall : L, AnyCall {};

template <class L>
concept has_call_operator = std::is_class_v<L> && (requires { &L::operator(); } ||
                                                   (!std::is_final_v<L> && !requires { &WithAnyCall<L>::operator(); }));

/// What somebody took for a loss.
template <class L>
concept nearly_pair_loss = !PairLoss<L> && has_call_operator<L>;

template <class L>
concept pair_loss_or_nearly = PairLoss<L> || nearly_pair_loss<L>;

}  // namespace detail

// Never compile: they say in plain words what is wrong with what should be a loss.
template <detail::nearly_pair_loss L>
WeightedSum operator*(const LossWeight& /*weight*/, const L& /*loss*/) {
  detail::require_pair_loss<L>();
  return {};
}
template <detail::nearly_pair_loss L>
WeightedSum operator*(const L& /*loss*/, double /*weight*/) {
  detail::require_pair_loss<L>();
  return {};
}
template <detail::pair_loss_or_nearly A, detail::pair_loss_or_nearly B>
  requires(detail::nearly_pair_loss<A> || detail::nearly_pair_loss<B>)
WeightedSum operator+(const A& /*a*/, const B& /*b*/) {
  detail::require_pair_loss<A>();
  detail::require_pair_loss<B>();
  return {};
}

static_assert(PairLoss<WeightedSum>);

}  // namespace sslmeme
