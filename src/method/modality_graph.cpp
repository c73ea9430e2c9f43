#include <sslmeme/method/modality_graph.hpp>

#include <sslmeme/core/detail/holder.hpp>
#include <sslmeme/core/error.hpp>
#include <sslmeme/core/precision.hpp>
#include <sslmeme/core/random.hpp>

#include "core/near_names.hpp"
#include "method/inputs.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <numeric>
#include <span>

namespace sslmeme {

struct ModalityGraph::Node {
  NodeSpec spec;
  std::shared_ptr<ProjectionHead> head;
  std::vector<std::size_t> of;  ///< positions of the nodes that a fused one is made of

  bool is_fused() const { return !of.empty(); }

  /// Of a node that is not fused.
  Tensor project(const Batch& batch) const {
    const auto features = spec.image ? detail::encode_images(*spec.image, batch, spec.view, spec.name)
                                     : detail::encode_texts(*spec.text, batch, spec.name);
    return head->forward(features);
  }
};

namespace {

/// The rows that are in neither mask, ascending; undefined when that is all of them.
Tensor rows_without(const Tensor& some, const Tensor& others) {
  if (!some.defined() && !others.defined()) return {};
  const auto either = !some.defined() ? others : !others.defined() ? some : some.logical_or(others);
  return either.logical_not().nonzero().squeeze(1);
}

Tensor with_zeros(const Tensor& z, const Tensor& missing) {
  return missing.defined() ? z.masked_fill(missing.to(z.device()).unsqueeze(1), 0) : z;
}

}  // namespace

ModalityGraph::ModalityGraph()
    : root_{std::make_shared<detail::Holder>()},
      nodes_module_{std::make_shared<detail::Holder>()},
      losses_module_{std::make_shared<detail::Holder>()} {
  root_->register_module("nodes", nodes_module_);
  root_->register_module("losses", losses_module_);
}

ModalityGraph::ModalityGraph(std::vector<NodeSpec> nodes, std::vector<EdgeSpec> edges, const ModalityDropout& dropout)
    : ModalityGraph{} {
  for (auto& node : nodes) add(std::move(node));
  for (auto& edge : edges) add(std::move(edge));
  add(dropout);
  finish();
}

void ModalityGraph::add(NodeSpec spec) {
  if (spec.name.empty() || spec.name.find('.') != std::string::npos) {
    throw InvalidArgument(fmt::format("a node is called \"{}\"; a name must not be empty nor hold a dot", spec.name));
  }
  for (const auto& other : nodes_) {
    if (other->spec.name == spec.name)
      throw InvalidArgument(fmt::format("two nodes are called \"{}\"; rename one", spec.name));
  }
  std::vector<std::size_t> of;
  std::int64_t width = 0;
  for (const auto& part : spec.of) {
    of.push_back(find(part));
    width += nodes_[of.back()]->head->out_dim();
  }
  if (of.size() == 1)
    throw InvalidArgument(fmt::format("node \"{}\" is made of \"{}\" alone; fuse two or more", spec.name, spec.of[0]));
  if (!spec.image && !spec.text && of.empty())
    throw InvalidArgument(fmt::format("node \"{}\" has no encoder", spec.name));
  if (spec.view < 0)
    throw InvalidArgument(fmt::format("node \"{}\" asks for view {}; views count from 0", spec.name, spec.view));
  auto holder = std::make_shared<detail::Holder>();
  if (of.empty()) {
    const auto encoder =
        spec.image ? std::static_pointer_cast<Backbone>(spec.image) : std::static_pointer_cast<Backbone>(spec.text);
    width = encoder->feature_dim();
    holder->register_module("encoder", encoder);
  }
  auto head = make_projection(width, spec.projection);
  holder->register_module("projection", head);
  nodes_module_->register_module(spec.name, holder);
  nodes_.push_back(std::make_shared<Node>(Node{std::move(spec), std::move(head), std::move(of)}));
}

void ModalityGraph::add(const ModalityDropout& dropout) {
  if (!(dropout.p >= 0 && dropout.p < 1))
    throw InvalidArgument(fmt::format("ModalityDropout: p is {}; it must be in [0, 1)", dropout.p));
  dropout_ = dropout;
}

void ModalityGraph::add(EdgeSpec spec) {
  const auto from = find(spec.from), to = find(spec.to);
  const auto a = nodes_[from]->head->out_dim(), b = nodes_[to]->head->out_dim();
  if (a != b) {
    throw InvalidArgument(fmt::format("the edge {}-{} joins projections of size {} and {}: give both the same .out",
                                      spec.from, spec.to, a, b));
  }
  const auto name = spec.from + "-" + spec.to;
  for (const auto& other : edges_) {
    if (other.name == name) {
      throw InvalidArgument(
          fmt::format("two edges join {}: add their losses instead, `edge(…, LossA{{}} + LossB{{}})`", name));
    }
  }
  if (const auto state = spec.loss.module()) losses_module_->register_module(name, state);
  edges_.push_back({from, to, name, std::move(spec.loss), std::move(spec.weight)});
}

void ModalityGraph::finish() {
  if (edges_.empty()) throw InvalidArgument("a modality graph needs at least one edge");
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    const bool joined =
        std::any_of(edges_.begin(), edges_.end(), [i](const Edge& e) { return e.from == i || e.to == i; });
    const bool used = std::any_of(nodes_.begin(), nodes_.end(), [i](const auto& node) {
      return std::find(node->of.begin(), node->of.end(), i) != node->of.end();
    });
    if (!joined && !used)
      throw InvalidArgument(fmt::format("no edge joins node \"{}\": it would not learn", nodes_[i]->spec.name));
  }
}

std::size_t ModalityGraph::find(std::string_view name) const {
  std::vector<std::string> known;
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    if (nodes_[i]->spec.name == name) return i;
    known.push_back(nodes_[i]->spec.name);
  }
  throw InvalidArgument(
      fmt::format("no node is called \"{}\" (nodes come before the edges that name them); did you mean: {}", name,
                  detail::near_names(std::string{name}, known)));
}

int ModalityGraph::views_required() const {
  int views = 0;
  for (const auto& node : nodes_) views = std::max(views, node->spec.image ? node->spec.view + 1 : 0);
  return views;
}

bool ModalityGraph::joins_words(const Edge& edge) const {
  return nodes_[edge.from]->spec.text || nodes_[edge.to]->spec.text;
}

ModalityGraph::Missing ModalityGraph::draw_missing(const Batch& batch, const StepContext& context) const {
  Missing missing(nodes_.size());
  if (dropout_.p == 0 || !root_->is_training()) return missing;
  const auto n = batch.views.empty() ? batch.tokens.size(0) : batch.views[0].size(0);
  std::vector<std::size_t> candidates;
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    if (nodes_[i]->is_fused()) continue;
    candidates.push_back(i);
    missing[i] = torch::zeros({n}, torch::kBool);
  }
  Rng rng{
      derive_seed({dropout_.seed, static_cast<std::uint64_t>(context.step), static_cast<std::uint64_t>(context.part)})};
  const auto share = dropout_.p * static_cast<double>(n);
  auto count = static_cast<std::int64_t>(share);
  if (rng.bernoulli(share - static_cast<double>(count))) ++count;  // p on average, however small the batch
  count = std::min(count, std::max<std::int64_t>(0, n - 2));
  std::vector<std::int64_t> rows(static_cast<std::size_t>(n));
  std::iota(rows.begin(), rows.end(), 0);
  rng.shuffle(std::span{rows});
  // By turns, so that each node is missed about as often as another.
  auto turn = rng.below(candidates.size());
  for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i)
    missing[candidates[turn++ % candidates.size()]][rows[i]] = true;
  return missing;
}

std::vector<Tensor> ModalityGraph::project_all(const Batch& batch, const Missing& missing) const {
  std::vector<Tensor> z;
  for (const auto& node : nodes_) {
    if (!node->is_fused()) {
      z.push_back(node->project(batch));
      continue;
    }
    std::vector<Tensor> parts;
    for (const auto i : node->of) parts.push_back(with_zeros(z[i], missing[i]));
    z.push_back(node->head->forward(torch::cat(parts, 1)));
  }
  return z;
}

NamedTensors ModalityGraph::represent(const Batch& batch, const StepContext& context) const {
  const auto missing = draw_missing(batch, context);
  const auto z = project_all(batch, missing);
  NamedTensors samples;
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    samples.emplace_back("node/" + nodes_[i]->spec.name, z[i]);
    if (missing[i].defined()) samples.emplace_back("missing/" + nodes_[i]->spec.name, missing[i]);
  }
  if (batch.ids.defined()) samples.emplace_back("ids", batch.ids);
  if (batch.tokens.defined()) samples.emplace_back("captions", detail::caption_ids(batch.tokens, batch.mask));
  return samples;
}

LossOutput ModalityGraph::compare(const NamedTensors& samples, const StepContext& context) const {
  std::vector<Tensor> z, missing;
  LossOutput output;
  for (const auto& node : nodes_) {
    z.push_back(detail::find_tensor(samples, "node/" + node->spec.name));
    missing.push_back(detail::find_tensor(samples, "missing/" + node->spec.name));
    output.features.emplace_back(node->spec.name, z.back().detach());
  }
  const FullPrecision losses_run_in_fp32{z.front().device().type()};
  const auto of_words = detail::find_tensor(samples, "captions"), of_samples = detail::find_tensor(samples, "ids");
  for (const auto& edge : edges_) {
    const auto rows = rows_without(missing[edge.from], missing[edge.to]);
    const auto kept = [&rows](const Tensor& x) {
      return rows.defined() && x.defined() ? x.index_select(0, rows.to(x.device())) : x;
    };
    const auto loss = edge.loss(kept(detail::at_least_fp32(z[edge.from])), kept(detail::at_least_fp32(z[edge.to])),
                                {kept(joins_words(edge) ? of_words : of_samples), context});
    const auto weighted = loss.total * edge.weight.at(context);
    output.total = output.total.defined() ? output.total + weighted : weighted;
    output.parts.emplace_back(edge.name, loss.total.detach());
    detail::append_below(output.observed, edge.name, loss.observed);
    if (loss.parts.size() > 1) {
      for (const auto& [name, value] : loss.parts) output.parts.emplace_back(edge.name + "." + name, value.detach());
    }
  }
  return output;
}

void ModalityGraph::after_step(const StepContext& context, const LossOutput& output) {
  for (auto& edge : edges_) edge.loss.update(context, detail::below(output.observed, edge.name));
}

Tensor ModalityGraph::project(std::string_view node_name, const Batch& batch) const {
  const auto i = find(node_name);
  return nodes_[i]->is_fused() ? project_all(batch, Missing(nodes_.size()))[i] : nodes_[i]->project(batch);
}

ImageEncoder ModalityGraph::image_encoder(std::string_view node_name) const {
  return nodes_[find(node_name)]->spec.image;
}
TextEncoder ModalityGraph::text_encoder(std::string_view node_name) const {
  return nodes_[find(node_name)]->spec.text;
}

std::string ModalityGraph::describe() const {
  nlohmann::json json{{"method", "modality_graph"}};
  for (const auto& node : nodes_) {
    const auto& spec = node->spec;
    auto& described = json["nodes"][spec.name];
    described = {{"projection", {{"out", node->head->out_dim()}, {"kind", static_cast<int>(spec.projection.kind)}}}};
    if (node->is_fused()) {
      described["of"] = spec.of;
      continue;
    }
    described["encoder"] = spec.image ? detail::described(spec.image.get()) : detail::described(spec.text.get());
    described["view"] = spec.view;
  }
  if (dropout_.p > 0) json["modality_dropout"] = {{"p", dropout_.p}, {"seed", dropout_.seed}};
  for (const auto& edge : edges_) {
    auto described = nlohmann::json::parse(detail::loss_json(edge.loss.name(), edge.loss.describe()));
    described["name"] = edge.name;
    described["weight"] = nlohmann::json::parse(edge.weight.describe());
    json["edges"].push_back(std::move(described));
  }
  return json.dump();
}

}  // namespace sslmeme
