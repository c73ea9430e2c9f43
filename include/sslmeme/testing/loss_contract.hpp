// The contract of a pair loss, checked in one line of any test framework:
// `assert(sm::testing::check_pair_loss(MyLoss{}))`.
#pragma once

#include <sslmeme/loss/any_pair_loss.hpp>

#include <cstdint>
#include <iosfwd>
#include <string>
#include <vector>

namespace sslmeme::testing {

/// What is checked beside the laws that hold for every loss (0-d, finite, differentiable with the right gradient, blind
/// to the order of the batch, computable from bf16, no side effect of a call, neither on its input nor on its state).
struct LossClaims {
  bool symmetric = false;         ///< loss(a, b) = loss(b, a)
  bool scale_invariant = false;   ///< loss(c·a, d·b) = loss(a, b) for c, d > 0
  bool target_b = false;          ///< z_b is a target or comes from a teacher: no gradient flows to it
  bool batch_independent = true;  ///< false skips the check on the order of the batch, for losses that look at it
  std::int64_t n = 6, d = 5;      ///< shape of the vectors tried
  std::uint64_t seed = 0;
};

/// What failed; empty when the loss keeps the contract.
struct ContractReport {
  std::vector<std::string> failures;
  explicit operator bool() const { return failures.empty(); }
};
std::ostream& operator<<(std::ostream& out, const ContractReport& report);

namespace detail {
ContractReport check(const AnyPairLoss& loss, const LossClaims& claims);
}

/// Checks a loss on random vectors, the gradient against central differences in double (relative 1e-5). Makes compile
/// errors in our own words of what is no PairLoss.
template <class L>
ContractReport check_pair_loss(L loss, const LossClaims& claims = {}) {
  sslmeme::detail::require_pair_loss<L>();
  return detail::check(AnyPairLoss{std::move(loss)}, claims);
}

}  // namespace sslmeme::testing
