// The contract of a pair loss, checked in one line of any test framework:
// `assert(sm::testing::check_pair_loss(MyLoss{}))`; check_loss() is for losses of other arguments.
#pragma once

#include <sslmeme/loss/any_pair_loss.hpp>

#include <concepts>
#include <cstdint>
#include <functional>
#include <iosfwd>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace sslmeme::testing {

/// What is checked beside the laws that hold for every loss (0-d, finite, differentiable with the right gradient, blind
/// to the order of the batch, computable from bf16, no side effect of a call, neither on its input nor on its state).
struct LossClaims {
  bool symmetric = false;         ///< loss(a, b) = loss(b, a)
  bool scale_invariant = false;   ///< loss(c·a, d·b) = loss(a, b) for c, d > 0
  bool target_b = false;          ///< z_b is a target or comes from a teacher: no gradient flows to it
  bool both_learn = true;         ///< gradient flows to z_a and, unless it is a target, to z_b; false: to one at least
  bool batch_independent = true;  ///< false skips the check on the order of the batch, for losses that look at it
  std::int64_t n = 6, d = 5;      ///< shape of the vectors tried
  std::uint64_t seed = 0;
};

/// One argument of a loss that takes no pair: logits, labels, scores of several views.
struct LossArgument {
  std::string name;              ///< for messages
  Tensor value;                  ///< what is tried; floats in double and bf16, integers as they are
  bool learns = true;            ///< gradient flows to it; false: a target or a teacher's, none may
  bool scale_invariant = false;  ///< loss(…, c·x, …) = loss(…, x, …) for c > 0
  std::int64_t batch = 0;        ///< the dimension that counts samples
};

/// A loss of any arguments.
using LossCall = std::function<LossOutput(std::span<const Tensor>)>;

/// What failed; empty when the loss keeps the contract.
struct ContractReport {
  std::vector<std::string> failures;
  explicit operator bool() const { return failures.empty(); }
};
std::ostream& operator<<(std::ostream& out, const ContractReport& report);

namespace detail {
ContractReport check(const AnyPairLoss& loss, const LossClaims& claims);
ContractReport check(const LossCall& loss, const std::vector<LossArgument>& arguments,
                     const std::shared_ptr<torch::nn::Module>& module, std::uint64_t seed);

template <class F>
concept loss_of_tensors = requires(const F& loss, std::span<const Tensor> x) {
  requires sslmeme::detail::loss_result<std::remove_cvref_t<decltype(loss(x))>>;
};
}  // namespace detail

/// Checks a loss on random vectors, the gradient against central differences in double (relative 1e-5). Makes compile
/// errors in our own words of what is no PairLoss.
template <class L>
ContractReport check_pair_loss(L loss, const LossClaims& claims = {}) {
  sslmeme::detail::require_pair_loss<L>();
  return detail::check(AnyPairLoss{std::move(loss)}, claims);
}

/// The same for a loss of other arguments, at the values given: losses of labels, of several views, of a teacher.
/// `loss` takes a std::span<const Tensor> and returns a Tensor or a LossOutput; `module` holds its state, if it has
/// any. Throws InvalidArgument without an argument that learns. Makes a compile error in our own words of any other.
template <class F>
ContractReport check_loss(F loss, const std::vector<LossArgument>& arguments,
                          const std::shared_ptr<torch::nn::Module>& module = nullptr, std::uint64_t seed = 0) {
  static_assert(
      detail::loss_of_tensors<F>,
      "sslmeme: check_loss() takes no such loss: it must be callable as `loss(std::span<const Tensor>) const` "
      "and return a 0-d sslmeme::Tensor (or a LossOutput), so that gradients can flow; a float or double has "
      "none: return the tensor, without .item()");
  if constexpr (detail::loss_of_tensors<F>) {
    const auto call = [loss = std::move(loss)](std::span<const Tensor> x) {
      if constexpr (std::same_as<std::remove_cvref_t<decltype(loss(x))>, Tensor>) {
        LossOutput output;
        output.total = loss(x);
        return output;
      } else {
        return loss(x);
      }
    };
    return detail::check(LossCall{call}, arguments, module, seed);
  }
}

}  // namespace sslmeme::testing
