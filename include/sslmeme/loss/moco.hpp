// MocoLoss: contrast against a queue of earlier keys. MocoV3Loss: against the batch.
#pragma once

#include <sslmeme/loss/concepts.hpp>
#include <sslmeme/loss/similarity.hpp>

#include <torch/nn/module.h>

#include <cstdint>
#include <memory>
#include <string>

namespace sslmeme {

struct MocoOptions {
  std::int64_t queue = 65536;  ///< K, how many keys are remembered
  std::int64_t dim = 128;      ///< D, of queries and keys
  double temperature = 0.1;    ///< τ, lightly's
  std::uint64_t seed = 0;      ///< of the random unit vectors that the queue begins with
};

/// MoCo's published τ, and that of its second version (Chen et al. 2020, arXiv:2003.04297).
inline MocoOptions moco_reference() {
  return {.temperature = 0.07};
}
inline MocoOptions moco_v2_reference() {
  return {.temperature = 0.2};
}

/// Mean of CE([q·k⁺/τ, q·queue/τ], 0) (MoCo, He et al. 2019, arXiv:1911.05722, equation 1), q and k L2-normalised. The
/// N × K similarities are never held. No gradient flows to the keys. A call changes nothing; update() puts the keys of
/// the step into the queue, where they replace the oldest. Copies share the queue, as torch modules do. The queue has
/// no ids: a key of the query's own sample that an earlier step left there counts as a negative.
class MocoLoss {
 public:
  /// Throws InvalidArgument for options that are not positive.
  explicit MocoLoss(const MocoOptions& options = {});

  /// query: of the encoder that learns; key: of the other view, by the EMA encoder; (N, D) float, halves computed in
  /// fp32. Throws InvalidArgument on other shapes.
  LossOutput operator()(const Tensor& query, const Tensor& key) const;
  LossOutput local(const LocalPairs& pairs) const;

  /// Puts the rows of observed "keys" (R, D) into the queue. Throws InvalidArgument when they do not fit in,
  /// NonFiniteError when they are not finite.
  void update(const StepContext& context, const NamedTensors& observed);

  /// Holds the buffers queue (K, D) and position, of the oldest key.
  std::shared_ptr<torch::nn::Module> module() const;
  Tensor queue() const;
  std::string name() const { return "moco"; }
  std::string describe() const {
    return detail::options_json({{"queue", options_.queue},
                                 {"dim", options_.dim},
                                 {"temperature", options_.temperature},
                                 {"seed", options_.seed}});
  }

 private:
  struct State;
  Tensor contrast(const Tensor& query, const Tensor& key) const;
  MocoOptions options_;
  std::shared_ptr<State> state_;
};

/// 2τ · mean CE(q·kᵀ/τ, arange) over the batch, one direction (MoCo v3, Chen et al. 2021, arXiv:2104.02057, algorithm
/// 1): add the loss of the swapped views. q and k L2-normalised; no gradient flows to the keys. PairInfo::ids are not
/// looked at: a sample that a batch holds twice is its own negative.
struct MocoV3Loss {
  double temperature = 0.2;  ///< τ

  /// query, key: (N, D) float, halves computed in fp32. Returns a 0-d mean. Throws InvalidArgument on other shapes.
  Tensor operator()(const Tensor& query, const Tensor& key) const;
  Tensor local(const LocalPairs& pairs) const;
  std::string name() const { return "moco_v3"; }
  std::string describe() const { return detail::options_json({{"temperature", temperature}}); }

 private:
  Tensor contrast(const Tensor& query, const Tensor& key, std::int64_t first) const;
};

static_assert(PairLoss<MocoLoss> && PairLoss<MocoV3Loss>);

}  // namespace sslmeme
