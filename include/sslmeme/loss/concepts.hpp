// What a loss is. A PairLoss compares two batches of vectors and returns a 0-d tensor, or a LossOutput with named
// parts. It is maths only: no views, no encoders, no time.
#pragma once

#include <sslmeme/core/tensor.hpp>

#include <torch/nn/module.h>

#include <concepts>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace sslmeme {

/// When a step happens, for whoever needs time: schedules, running state, logs.
struct StepContext {
  std::int64_t step = 0;         ///< optimizer steps done so far in this run
  std::int64_t total_steps = 0;  ///< of the whole run
  std::int64_t epoch = 0;        ///< starting from 0
  std::int64_t part = 0;         ///< of a step that takes several batches: which of them
};

/// Tensors with the names under which logs and states know them.
using NamedTensors = std::vector<std::pair<std::string, Tensor>>;

/// What a loss may know of the pairs beside their vectors.
struct PairInfo {
  /// i64 (N) or undefined: pairs of equal ids have the same content. Of a ModalityGraph's edge to words they tell equal
  /// captions, so a picture that comes twice with two captions is no duplicate there; of other edges equal samples.
  Tensor ids = {};
  StepContext context = {};  ///< of the step, for weights that are schedules
};

/// The pairs of all ranks as one of them sees them; its own are the rows [first, first + count).
struct LocalPairs {
  Tensor all_a, all_b;  ///< (N, D) each
  std::int64_t first = 0, count = 0;
  PairInfo info = {};  ///< with the ids of all N

  Tensor own(const Tensor& all) const { return all.narrow(0, first, count); }
};

/// A loss with the parts it is made of.
struct LossOutput {
  Tensor total;           ///< 0-d, with gradient
  NamedTensors parts;     ///< 0-d each, for logs; weights not applied
  NamedTensors features;  ///< (N, d) each, detached: what the collapse monitor looks at
  /// (R, …) each, detached: what running state learns from the batch, by update(). Of a batch in several parts (ranks,
  /// micro-batches) it is the rows of all parts, one after the other.
  NamedTensors observed = {};
};

namespace detail {

template <class R>
concept loss_result = std::same_as<R, Tensor> || std::same_as<R, LossOutput>;

template <class L>
concept callable_on_pair = requires(const L& loss, const Tensor& z) { loss(z, z); };

template <class L>
concept returns_loss =
    requires(const L& loss, const Tensor& z) { requires loss_result<std::remove_cvref_t<decltype(loss(z, z))>>; };

// An optional member is there when it can be called as PairLoss says; where only its name is there, it is a mistake.
template <class L>
concept has_info_call = requires(const L& loss, const Tensor& z, const PairInfo& info) {
  requires loss_result<std::remove_cvref_t<decltype(loss(z, z, info))>>;
};
template <class L>
concept has_update_with_observed =
    requires(L& loss, const StepContext& c, const NamedTensors& n) { loss.update(c, n); };
template <class L>
concept has_update = requires(L& loss, const StepContext& context) { loss.update(context); };
template <class L>
concept has_local = requires(const L& loss, const LocalPairs& pairs) {
  { loss.local(pairs) };
  requires loss_result<std::remove_cvref_t<decltype(loss.local(pairs))>>;
};
template <class L>
concept has_module = requires(L& loss) {
  { loss.module() } -> std::convertible_to<std::shared_ptr<torch::nn::Module>>;
};
template <class L>
concept has_name = requires(const L& loss) {
  { loss.name() } -> std::convertible_to<std::string>;
};
template <class L>
concept has_describe = requires(const L& loss) {
  { loss.describe() } -> std::convertible_to<std::string>;
};
template <class L>
concept misses_info_call = !has_info_call<L> && requires(L& loss, Tensor& z, PairInfo& info) { loss(z, z, info); };
template <class L>
concept misses_update = requires { &L::update; } && !has_update<L> && !has_update_with_observed<L>;
template <class L>
concept misses_local = requires { &L::local; } && !has_local<L>;
template <class L>
concept misses_module = requires { &L::module; } && !has_module<L>;
template <class L>
concept misses_name = requires { &L::name; } && !has_name<L>;
template <class L>
concept misses_describe = requires { &L::describe; } && !has_describe<L>;

/// States in our own words what is wrong with a type that should be a PairLoss.
template <class L>
constexpr void require_pair_loss() {
  static_assert(callable_on_pair<L>,
                "sslmeme: this is no PairLoss: it must be callable as `loss(z_a, z_b) const` with two const Tensor&, "
                "(N, D) each");
  if constexpr (callable_on_pair<L>) {
    static_assert(returns_loss<L>,
                  "sslmeme: this is no PairLoss: it must return a 0-d sslmeme::Tensor (or a LossOutput), so that "
                  "gradients can flow; "
                  "a float or double has none: return the tensor, without .item()");
  }
  static_assert(
      !misses_info_call<L>,
      "sslmeme: the loss's call with PairInfo has the wrong signature: it must be callable as `loss(z_a, z_b, "
      "const PairInfo&) const` and return a 0-d sslmeme::Tensor (or a LossOutput), as the call without");
  static_assert(!misses_update<L>,
                "sslmeme: the loss's update() has the wrong signature: it must be callable as `update(const "
                "StepContext&)` or `update(const StepContext&, const NamedTensors& observed)`");
  static_assert(!misses_local<L>,
                "sslmeme: the loss's local() has the wrong signature: it must be `local(const LocalPairs&) const` and "
                "return what the loss returns");
  static_assert(!misses_module<L>,
                "sslmeme: the loss's module() has the wrong signature: it must take nothing and return a "
                "std::shared_ptr<torch::nn::Module>, so that its state reaches the optimizer and checkpoints");
  static_assert(!misses_name<L>,
                "sslmeme: the loss's name() has the wrong signature: it must be `name() const`, a std::string");
  static_assert(!misses_describe<L>,
                "sslmeme: the loss's describe() has the wrong signature: it must be `describe() const`, a std::string");
}

}  // namespace detail

/// loss(z_a, z_b) const → 0-d Tensor or LossOutput; z_a, z_b: (N, D) float, row i of one belongs to row i of the other.
/// Optional members: `module()` → shared_ptr<torch::nn::Module> with learned or running state (so that it reaches
/// optimizer and checkpoint), `loss(z_a, z_b, const PairInfo&) const` for a loss that looks at ids or at time,
/// `update(const StepContext&)` or, for running statistics, `update(const StepContext&, const NamedTensors& observed)`
/// called once after each optimizer step with the LossOutput::observed of its batch, `local(const LocalPairs&)` for a
/// loss that can do one rank's share by itself (gather.hpp), `name()` → a string for logs, `describe()` → its options
/// as JSON (or in words of its own), defaults included: they go into a run's config.json, so that a run is not resumed
/// with others.
template <class L>
concept PairLoss = detail::callable_on_pair<L> && detail::returns_loss<L>;

namespace detail {

/// Throws InvalidArgument unless z_a and z_b are both floating (N, D) of equal shape with N, D ≥ 1, and of one type
/// once halves are fp32. `who` begins the message.
void check_pair(const Tensor& z_a, const Tensor& z_b, const char* who);

/// Throws InvalidArgument unless `value` is positive and finite; `what` begins the message: "NtXent: temperature".
void check_positive(double value, const char* what);

/// The same for a value that may be 0, such as a weight.
void check_not_negative(double value, const char* what);

/// The value of an option; a string is a describe(): JSON, or words.
using OptionValue = std::variant<bool, std::int64_t, std::uint64_t, double, std::string>;
std::string json_of(const OptionValue& value);
/// A JSON object, for describe().
std::string options_json(const std::vector<std::pair<std::string, OptionValue>>& options);
/// {"loss": name, "options": …}, without options where `options`, a loss's describe(), is empty.
std::string loss_json(const std::string& name, const std::string& options);

/// The tensor called `name`; undefined when there is none.
Tensor find_tensor(const NamedTensors& tensors, std::string_view name);

/// The names of a part of a whole: "0/queue" is the queue of part "0".
void append_below(NamedTensors& all, const std::string& part, const NamedTensors& tensors);
NamedTensors below(const NamedTensors& all, const std::string& part);

/// For the backward pass of a function written by hand: throws Error where the gradient is to be differentiated again.
void require_first_derivative(const char* who);

/// Throws InvalidArgument when z (N, D) holds one row: statistics over the batch need two.
void check_statistics(const Tensor& z, const char* who);

/// The D (D − 1) entries of a (D, D) matrix off its diagonal: a view, no copy of a contiguous one.
Tensor off_diagonal(const Tensor& matrix);

/// The type that losses compute in: fp32 for the half types, else x's own.
inline torch::ScalarType computing_type(const Tensor& x) {
  const auto type = x.scalar_type();
  return type == torch::kHalf || type == torch::kBFloat16 ? torch::kFloat : type;
}

/// In fp32 where the input is a half type; fp32 and fp64 stay.
inline Tensor at_least_fp32(const Tensor& x) {
  return x.to(computing_type(x));
}

}  // namespace detail

}  // namespace sslmeme
