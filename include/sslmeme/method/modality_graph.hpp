// ModalityGraph: nodes are encoders with a projection, or several of them fused; edges are pair losses with a weight.
// CLIP, CASS and CASS-MM are graphs.
#pragma once

#include <sslmeme/loss/any_pair_loss.hpp>
#include <sslmeme/loss/weight.hpp>
#include <sslmeme/method/concepts.hpp>
#include <sslmeme/nn/backbone.hpp>
#include <sslmeme/nn/heads.hpp>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sslmeme {

/// A node before it is part of a graph; made by node() and fused().
struct NodeSpec {
  std::string name;
  ImageEncoder image;           ///< either this
  TextEncoder text;             ///< or this
  std::vector<std::string> of;  ///< or the nodes that it is made of
  Projection projection;
  int view = 0;  ///< which view a picture encoder sees; nodes with the same view share the very same tensor
};

/// An edge before it is part of a graph; made by edge().
struct EdgeSpec {
  std::string from, to;
  AnyPairLoss loss;
  LossWeight weight = 1.0;
};

inline NodeSpec node(std::string name, ImageEncoder encoder, const Projection& head = {}, int view = 0) {
  return {std::move(name), std::move(encoder), nullptr, {}, head, view};
}
inline NodeSpec node(std::string name, TextEncoder encoder, const Projection& head = {}) {
  return {std::move(name), nullptr, std::move(encoder), {}, head, 0};
}
/// A node that sees what the nodes `of` see: its head takes their projections side by side, zeros for one that a sample
/// misses (ModalityDropout).
inline NodeSpec fused(std::string name, std::vector<std::string> of, const Projection& head = {}) {
  return {std::move(name), nullptr, nullptr, std::move(of), head, 0};
}

/// In training, samples that miss one of their nodes: an edge compares those that have both its ends, a fused node sees
/// zeros. Which ones is drawn anew in every step, from seed and step alone: a resumed run and every rank draw the same.
struct ModalityDropout {
  double p = 0.1;  ///< share of a batch's samples; at least two of them stay whole
  std::uint64_t seed = 0;
};

/// `loss` between the projections of two nodes; the weight is a number or a schedule (LossWeight). Throws at compile
/// time, in our own words, for what is no PairLoss.
template <class L>
EdgeSpec edge(std::string from, std::string to, L loss, LossWeight weight = 1.0) {
  detail::require_pair_loss<L>();
  return {std::move(from), std::move(to), AnyPairLoss{std::move(loss)}, std::move(weight)};
}

/// total = Σ over edges of weight · loss(z_from, z_to); parts are named "from-to". A graph is a handle, as torch
/// modules are: copies share their encoders. Throws InvalidArgument for names used twice, unknown or unconnected, for
/// projections of different size at the two ends of an edge, and for a share to drop outside [0, 1).
///
///     auto clip = sm::ModalityGraph{sm::node("image", vit), sm::node("text", bert), sm::edge("image", "text",
///     sm::InfoNce{})};
class ModalityGraph {
 public:
  template <class... Parts>
    requires(sizeof...(Parts) >= 3 && ((std::same_as<Parts, NodeSpec> || std::same_as<Parts, EdgeSpec> ||
                                        std::same_as<Parts, ModalityDropout>) &&
                                       ...))
  explicit ModalityGraph(Parts... parts) : ModalityGraph{} {
    (add(std::move(parts)), ...);
    finish();
  }
  /// The same from what is known at run time only.
  ModalityGraph(std::vector<NodeSpec> nodes, std::vector<EdgeSpec> edges, const ModalityDropout& dropout = {.p = 0});

  LossOutput step(const Batch& batch, const StepContext& context) {
    return compare(represent(batch, context), context);
  }
  /// "node/NAME": projections (N, d); "ids" and "captions": i64 (N); "missing/NAME": bool (N), under ModalityDropout.
  NamedTensors represent(const Batch& batch, const StepContext& context) const;
  LossOutput compare(const NamedTensors& samples, const StepContext& context) const;
  void after_step(const StepContext& context, const LossOutput& output);
  std::shared_ptr<torch::nn::Module> module() const { return root_; }
  int views_required() const;
  /// {"method": "modality_graph", "nodes": {NAME: {"encoder": … or "of": […], "projection": …}}, "edges": [{"name": …,
  /// "loss": its name, "options": its describe(), "weight": …}]}.
  std::string describe() const;

  /// Projections z (N, d) of one node for a batch.
  Tensor project(std::string_view node_name, const Batch& batch) const;
  /// The encoder of a node, to fine-tune or to export; null when the node is of the other modality.
  ImageEncoder image_encoder(std::string_view node_name) const;
  TextEncoder text_encoder(std::string_view node_name) const;

 private:
  struct Node;
  struct Edge {
    std::size_t from, to;
    std::string name;
    AnyPairLoss loss;
    LossWeight weight;
  };

  /// By node: bool (N), true for the samples of a batch that miss it; undefined where none does.
  using Missing = std::vector<Tensor>;

  ModalityGraph();
  void add(NodeSpec spec);
  void add(EdgeSpec spec);
  void add(const ModalityDropout& dropout);
  void finish();
  std::size_t find(std::string_view name) const;
  bool joins_words(const Edge& edge) const;
  Missing draw_missing(const Batch& batch, const StepContext& context) const;
  std::vector<Tensor> project_all(const Batch& batch, const Missing& missing) const;

  std::shared_ptr<torch::nn::Module> root_, nodes_module_, losses_module_;
  std::vector<std::shared_ptr<const Node>> nodes_;
  std::vector<Edge> edges_;
  ModalityDropout dropout_{.p = 0};
};

static_assert(Method<ModalityGraph>);

}  // namespace sslmeme
