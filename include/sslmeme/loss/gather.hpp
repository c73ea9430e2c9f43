// Gathered: a pair loss over the batches of all ranks. The gradients of W ranks, averaged as data-parallel training
// averages them, are those of one rank on the concatenated batch.
#pragma once

#include <sslmeme/core/process_group.hpp>
#include <sslmeme/loss/any_pair_loss.hpp>

#include <memory>
#include <string>

namespace sslmeme {

/// all_gather with gradient: what every rank's loss says of this rank's rows is summed. x: (N, …), the same on every
/// rank. Returns (W·N, …). Every rank must differentiate what it made of it, in the same order.
Tensor all_gather(const Tensor& x, const std::shared_ptr<const ProcessGroup>& group);

/// What running state learns of all ranks: the rows of each, one after the other.
NamedTensors all_gather(const NamedTensors& observed, const ProcessGroup& group);

enum class GatherPolicy {
  none,    ///< each rank compares its own pairs: exact for means over pairs such as CosineLoss, other negatives for
           ///< InfoNce
  global,  ///< each rank computes the loss of all pairs
  local,   ///< each rank computes its share (its rows against all columns) where the loss can, else as global
};

/// Whose pairs a loss compares. Without a group there is one rank and the policy does not matter.
struct Gather {
  std::shared_ptr<const ProcessGroup> group = {};
  GatherPolicy policy = GatherPolicy::local;
};

/// Any pair loss under a gather policy. Totals and gradients are to be averaged over ranks; running state is the same
/// on all ranks, whatever the policy.
class Gathered {
 public:
  template <class L>
    requires(!std::same_as<std::remove_cvref_t<L>, Gathered>)
  Gathered(L loss, Gather gather) : loss_{std::move(loss)}, gather_{std::move(gather)} {}

  /// z_a, z_b: (N, D), this rank's pairs; PairInfo::ids must mean the same on all ranks.
  LossOutput operator()(const Tensor& z_a, const Tensor& z_b, const PairInfo& info = {}) const;
  void update(const StepContext& context, const NamedTensors& observed) { loss_.update(context, observed); }
  std::shared_ptr<torch::nn::Module> module() const { return loss_.module(); }
  std::string name() const { return loss_.name(); }
  std::string describe() const { return loss_.describe(); }

 private:
  AnyPairLoss loss_;
  Gather gather_;
};

static_assert(PairLoss<Gathered>);

}  // namespace sslmeme
