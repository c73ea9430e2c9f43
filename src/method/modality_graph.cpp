#include <sslmeme/method/modality_graph.hpp>

#include <sslmeme/core/error.hpp>
#include <sslmeme/core/precision.hpp>

#include "core/near_names.hpp"
#include "method/inputs.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace sslmeme {

struct ModalityGraph::Node {
  NodeSpec spec;
  std::shared_ptr<ProjectionHead> head;

  Tensor project(const Batch& batch) const {
    const auto features = spec.image ? detail::encode_images(*spec.image, batch, spec.view, spec.name)
                                     : detail::encode_texts(*spec.text, batch, spec.name);
    return head->forward(features);
  }
};

ModalityGraph::ModalityGraph()
    : root_{std::make_shared<Root>()},
      nodes_module_{std::make_shared<Root>()},
      losses_module_{std::make_shared<Root>()} {
  root_->register_module("nodes", nodes_module_);
  root_->register_module("losses", losses_module_);
}

void ModalityGraph::add(NodeSpec spec) {
  if (spec.name.empty() || spec.name.find('.') != std::string::npos) {
    throw InvalidArgument(fmt::format("a node is called \"{}\"; a name must not be empty nor hold a dot", spec.name));
  }
  for (const auto& other : nodes_) {
    if (other->spec.name == spec.name)
      throw InvalidArgument(fmt::format("two nodes are called \"{}\"; rename one", spec.name));
  }
  if (!spec.image && !spec.text) throw InvalidArgument(fmt::format("node \"{}\" has no encoder", spec.name));
  if (spec.view < 0)
    throw InvalidArgument(fmt::format("node \"{}\" asks for view {}; views count from 0", spec.name, spec.view));
  const auto encoder =
      spec.image ? std::static_pointer_cast<Backbone>(spec.image) : std::static_pointer_cast<Backbone>(spec.text);
  auto head = make_projection(encoder->feature_dim(), spec.projection);
  auto holder = std::make_shared<Root>();
  holder->register_module("encoder", encoder);
  holder->register_module("projection", head);
  nodes_module_->register_module(spec.name, holder);
  nodes_.push_back(std::make_shared<Node>(Node{std::move(spec), std::move(head)}));
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
    const auto joined =
        std::any_of(edges_.begin(), edges_.end(), [i](const Edge& e) { return e.from == i || e.to == i; });
    if (!joined)
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

LossOutput ModalityGraph::step(const Batch& batch, const StepContext& context) {
  std::vector<Tensor> z;
  LossOutput output;
  for (const auto& node : nodes_) {
    z.push_back(node->project(batch));
    output.features.emplace_back(node->spec.name, z.back().detach());
  }
  const FullPrecision losses_run_in_fp32{z.front().device().type()};
  const PairInfo of_samples{batch.ids, context};
  PairInfo of_words{{}, context};  // the same words, the same id
  if (batch.tokens.defined()) of_words.ids = std::get<1>(at::unique_dim(batch.tokens, 0, true, true));
  for (const auto& edge : edges_) {
    const auto loss = edge.loss(detail::at_least_fp32(z[edge.from]), detail::at_least_fp32(z[edge.to]),
                                joins_words(edge) ? of_words : of_samples);
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
  return nodes_[find(node_name)]->project(batch);
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
    const auto& text = spec.image ? spec.image->description() : spec.text->description();
    json["nodes"][spec.name] = {
        {"encoder", text.empty() ? nlohmann::json{} : nlohmann::json::parse(text)},
        {"projection", {{"out", node->head->out_dim()}, {"kind", static_cast<int>(spec.projection.kind)}}},
        {"view", spec.view}};
  }
  for (const auto& edge : edges_) {
    json["edges"].push_back(
        {{"name", edge.name},
         {"loss", edge.loss.name()},
         {"weight", edge.weight.scheduled() ? nlohmann::json("scheduled") : nlohmann::json(edge.weight.at({}))}});
  }
  return json.dump();
}

}  // namespace sslmeme
