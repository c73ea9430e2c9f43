#include <sslmeme/core/error.hpp>
#include <sslmeme/core/precision.hpp>
#include <sslmeme/loss/barlow_twins.hpp>
#include <sslmeme/loss/koleo.hpp>
#include <sslmeme/loss/predictive.hpp>
#include <sslmeme/loss/vicreg.hpp>
#include <sslmeme/method/recipes.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <torch/autograd.h>
#include <nlohmann/json.hpp>

#include <string>
#include <vector>

#include "close_to.hpp"
#include "method/inputs.hpp"
#include "pair_losses.hpp"
#include "state.hpp"

namespace sm = sslmeme;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::Message;
using Catch::Matchers::MessageMatches;
using sm::Tensor;
using sm::test::AllCloseTo;
using sm::test::fp32_rounding;

namespace {

sm::ImageEncoder resnet(std::int64_t classes = 0) {
  return sm::image_encoder("resnet18", {.width = 4, .depth = 1, .num_classes = classes});
}
sm::ImageEncoder vit(std::int64_t classes = 0) {
  return sm::image_encoder("vit_tiny_patch16_224",
                           {.image_size = 32, .patch_size = 16, .width = 24, .depth = 1, .num_classes = classes});
}
sm::TextEncoder bert() {
  return sm::text_encoder("minilm_l6", {.vocabulary_size = 30, .max_tokens = 8, .width = 24, .depth = 1, .dropout = 0});
}

sm::Batch make_batch(std::int64_t n = 6, int views = 1) {
  sm::Batch batch;
  for (int i = 0; i < views; ++i) batch.views.push_back(torch::randn({n, 3, 32, 32}));
  batch.tokens = torch::randint(1, 30, {n, 8});
  batch.mask = torch::arange(8).unsqueeze(0) < torch::randint(2, 9, {n, 1});
  batch.labels = torch::zeros({n}, torch::kLong);
  batch.ids = torch::arange(n);
  return batch;
}

std::vector<std::string> names(const std::vector<std::pair<std::string, Tensor>>& pairs) {
  std::vector<std::string> all;
  for (const auto& [name, value] : pairs) all.push_back(name);
  return all;
}

/// Shows which tensor it was given.
struct Spy : sm::ImageBackbone {
  Tensor seen;
  Tensor weight = register_parameter("weight", torch::ones({3, 4}));
  std::int64_t feature_dim() const override { return 4; }
  Tensor forward(const Tensor& images) override {
    seen = images;
    return images.mean({2, 3}).matmul(weight);
  }
};

/// A stateless loss of a known value.
struct Constant {
  double value = 1;
  Tensor operator()(const Tensor& a, const Tensor& /*b*/) const { return a.sum() * 0 + value; }
};

const sm::Projection four{.out = 4};

template <class... Parts>
void refused(const std::string& what, Parts... parts) {
  CHECK_THROWS_MATCHES(sm::ModalityGraph(parts...), sm::InvalidArgument, MessageMatches(ContainsSubstring(what)));
}

}  // namespace

TEST_CASE("The total is the weighted sum over edges, the parts are each edge's own") {
  const auto a = std::make_shared<Spy>(), b = std::make_shared<Spy>(), c = std::make_shared<Spy>();
  sm::ModalityGraph graph{sm::node("a", a, four),
                          sm::node("b", b, four),
                          sm::edge("a", "b", Constant{2}, 0.5),
                          sm::node("c", c, four),
                          sm::edge("b", "c", Constant{10}),
                          sm::edge("a", "c", sm::CosineLoss{} + sm::operator*(2.0, Constant{7}), 0.1)};
  const auto batch = make_batch();
  const auto output = graph.step(batch, {});
  REQUIRE(names(output.parts) == std::vector<std::string>{"a-b", "b-c", "a-c", "a-c.cosine", "a-c.loss"});
  CHECK(output.parts[0].second.item<double>() == 2);
  CHECK(output.parts[1].second.item<double>() == 10);
  CHECK(output.parts[4].second.item<double>() == 7);
  const auto cosine = sm::CosineLoss{}(graph.project("a", batch), graph.project("c", batch));
  CHECK_THAT(output.parts[3].second, AllCloseTo(cosine, fp32_rounding));
  CHECK_THAT(output.total, AllCloseTo(0.5 * 2 + 10 + 0.1 * (cosine + 14), fp32_rounding));
  CHECK(output.total.requires_grad());
  for (const auto& [name, value] : output.parts) CHECK_FALSE(value.requires_grad());
  REQUIRE(names(output.features) == std::vector<std::string>{"a", "b", "c"});
  CHECK_THAT(output.features[0].second, AllCloseTo(graph.project("a", batch), fp32_rounding));
  CHECK_FALSE(output.features[0].second.requires_grad());
}

TEST_CASE("Nodes of one view see the very same tensor, nodes of another view another") {
  const auto a = std::make_shared<Spy>(), b = std::make_shared<Spy>(), c = std::make_shared<Spy>();
  const auto batch = make_batch(4, 2);
  auto cass = sm::cass(a, b);
  CHECK(cass.views_required() == 1);
  cass.step(batch, {});
  CHECK(a->seen.is_same(batch.views[0]));
  CHECK(b->seen.is_same(batch.views[0]));
  sm::ModalityGraph two{sm::node("a", a, four), sm::node("c", c, four, 1), sm::edge("a", "c", sm::CosineLoss{})};
  CHECK(two.views_required() == 2);
  two.step(batch, {});
  CHECK(a->seen.is_same(batch.views[0]));
  CHECK(c->seen.is_same(batch.views[1]));
}

TEST_CASE("A graph that cannot work is refused with the remedy") {
  const auto encoder = std::make_shared<Spy>();
  const auto a = sm::node("cnn", encoder, four), b = sm::node("vit", encoder, four);
  const auto joined = sm::edge("cnn", "vit", sm::CosineLoss{});
  refused("no node is called \"cn\" (nodes come before the edges that name them); did you mean: cnn", a, b,
          sm::edge("cn", "vit", sm::CosineLoss{}));
  refused("no node is called \"vti\"", a, b, sm::edge("cnn", "vti", sm::CosineLoss{}));
  refused("no node is called \"vit\"", a, joined, b);
  refused("the edge cnn-text joins projections of size 4 and 5: give both the same .out", a,
          sm::node("text", bert(), {.out = 5}), sm::edge("cnn", "text", sm::CosineLoss{}));
  refused("no edge joins node \"text\": it would not learn", a, b, sm::node("text", bert(), four), joined);
  refused("two nodes are called \"cnn\"", a, a, joined);
  refused("two edges join cnn-vit", a, b, joined, joined);
  refused("a name must not be empty nor hold a dot", a, sm::node("x.y", encoder, four), joined);
  refused("a name must not be empty nor hold a dot", a, sm::node("", encoder, four), joined);
  refused("node \"none\" has no encoder", a, sm::node("none", sm::ImageEncoder{}, four), joined);
  refused("node \"late\" asks for view -1", a, sm::node("late", encoder, four, -1), joined);
  CHECK_THROWS_MATCHES(sm::edge("cnn", "vit", sm::CosineLoss{}, NAN), sm::InvalidArgument,
                       Message("the weight of a loss is nan; it must be finite"));
  refused("at least one edge", a, b, sm::node("text", bert(), four));
}

TEST_CASE("A batch that lacks what a node needs is refused") {
  auto graph = sm::clip(vit(), bert());
  auto batch = make_batch();
  batch.tokens = Tensor{};
  CHECK_THROWS_MATCHES(graph.step(batch, {}), sm::InvalidArgument,
                       Message("\"text\" needs words, the batch has no tokens: give the loader a .tokenizer"));
  batch = make_batch(4, 0);
  CHECK_THROWS_MATCHES(graph.step(batch, {}), sm::InvalidArgument,
                       Message("\"image\" needs view 0, the batch has 0: give the loader more views"));
}

TEST_CASE("The state of a graph holds encoders, projections and losses by their names") {
  const auto graph = sm::cass_mm(resnet(), vit(), bert());
  const auto state = sm::test::by_name(*graph.module());
  for (const auto* name :
       {"nodes.cnn.encoder.conv1.weight", "nodes.cnn.encoder.bn1.running_mean", "nodes.vit.projection.layers.0.weight",
        "nodes.text.encoder.embeddings.word_embeddings.weight", "losses.cnn-text.log_scale",
        "losses.vit-text.log_scale"}) {
    INFO(name);
    CHECK(state.contains(name));
  }
}

TEST_CASE("Encoders and losses are shared with who made them") {
  const auto encoder = vit();
  const sm::InfoNce loss;
  sm::ModalityGraph graph{sm::node("image", encoder), sm::node("text", bert()), sm::edge("image", "text", loss)};
  CHECK(graph.image_encoder("image") == encoder);
  CHECK(graph.text_encoder("image") == nullptr);
  CHECK(graph.text_encoder("text") != nullptr);
  CHECK_THROWS_AS(graph.image_encoder("picture"), sm::InvalidArgument);
  const torch::NoGradGuard no_grad;
  loss.module()->parameters().front().fill_(10);
  auto copy = graph;
  copy.after_step({}, {});
  CHECK(loss.scale() < 101);
  CHECK(copy.image_encoder("image") == encoder);
}

TEST_CASE("The published recipes are what one writes by hand") {
  torch::manual_seed(4);
  const auto batch = make_batch();
  const auto image = vit();
  const auto cnn = resnet();
  const auto text = bert();
  const auto linear = [&](const sm::ModalityGraph& graph, const std::string& node, const Tensor& features) {
    const auto state = sm::test::by_name(*graph.module());
    return features.matmul(state.at("nodes." + node + ".projection.proj.weight").t());
  };
  const auto unit = [](const Tensor& z) { return z / z.norm(2, 1, true); };
  const auto cosine = [&](const Tensor& a, const Tensor& b) { return (2 - 2 * (unit(a) * unit(b)).sum(1)).mean(); };
  const auto info_nce = [&](const Tensor& a, const Tensor& b) {
    const auto logits = unit(a).matmul(unit(b).t()) / 0.07;
    const auto targets = torch::arange(a.size(0));
    return (torch::cross_entropy_loss(logits, targets) + torch::cross_entropy_loss(logits.t(), targets)) / 2;
  };
  const auto v = image->forward(batch.views[0]), t = text->forward(batch.tokens, batch.mask),
             c = cnn->forward(batch.views[0]);

  SECTION("clip") {
    auto clip = sm::clip(image, text, {.dim = 5});
    const auto a = linear(clip, "image", v), b = linear(clip, "text", t);
    CHECK(a.size(1) == 5);
    CHECK_THAT(clip.step(batch, {}).total, AllCloseTo(info_nce(a, b), fp32_rounding));
  }
  SECTION("cass") {
    auto cass = sm::cass(cnn, image, {.dim = 5, .contrast = 0.25});
    const auto a = cass.project("cnn", batch), b = cass.project("vit", batch);
    CHECK_THAT(cass.step(batch, {}).total, AllCloseTo(cosine(a, b) + 0.25 * info_nce(a, b), fp32_rounding));
    auto plain = sm::cass(cnn, image, {.dim = 5, .contrast = 0});
    CHECK_THAT(plain.step(batch, {}).total, AllCloseTo(cosine(a, b), fp32_rounding));  // same seed, same heads
  }
  SECTION("cass_reference") {
    const auto small_cnn = resnet(5), small_vit = vit(5);
    auto cass = sm::cass_reference(small_cnn, small_vit);
    const auto expected = cosine(small_cnn->forward(batch.views[0]), small_vit->forward(batch.views[0]));
    const auto total = cass.step(batch, {}).total;
    CHECK_THAT(total, AllCloseTo(expected, fp32_rounding));
    total.backward();
    for (const auto& parameter : cass.module()->parameters()) {
      if (parameter.grad().defined()) CHECK(parameter.grad().abs().max().item<double>() < 1e3);
    }
  }
  SECTION("cass_mm and its reference") {
    const sm::CassMmOptions options{.dim = 5,
                                    .projection = sm::ProjectionKind::linear,
                                    .picture = {sm::EdgeLoss::cosine, 0.7},
                                    .text = {sm::EdgeLoss::info_nce, 0.3}};
    auto all_cosine = sm::CassMmOptions::reference();
    all_cosine.dim = 5;
    all_cosine.projection = sm::ProjectionKind::linear;
    auto ours = sm::cass_mm(cnn, image, text, options), reference = sm::cass_mm(cnn, image, text, all_cosine);
    const auto a = linear(ours, "cnn", c), b = linear(ours, "vit", v), d = linear(ours, "text", t);
    CHECK_THAT(ours.step(batch, {}).total,
               AllCloseTo(0.7 * cosine(a, b) + 0.3 * (info_nce(a, d) + info_nce(b, d)), fp32_rounding));
    CHECK_THAT(reference.step(batch, {}).total, AllCloseTo(cosine(a, b) + cosine(a, d) + cosine(b, d), fp32_rounding));

    CHECK(sm::cass_mm_reference(cnn, image, text).describe() ==
          sm::cass_mm(cnn, image, text, sm::CassMmOptions::reference()).describe());

    auto by_default = sm::cass_mm(cnn, image, text, {.dim = 5});
    const auto x = by_default.project("cnn", batch), y = by_default.project("vit", batch),
               z = by_default.project("text", batch);
    CHECK_THAT(by_default.step(batch, {}).total,
               AllCloseTo(0.25 * cosine(x, y) + info_nce(x, z) + info_nce(y, z), fp32_rounding));
  }
  SECTION("heads differ between nodes and between seeds") {
    const auto head = [&](std::uint64_t seed, const std::string& node) {
      return linear(sm::clip(image, text, {.seed = seed}), node, torch::eye(24));
    };
    CHECK(torch::equal(head(1, "image"), head(1, "image")));
    CHECK_FALSE(torch::equal(head(1, "image"), head(2, "image")));
    CHECK_FALSE(torch::equal(head(1, "image"), head(1, "text")));
  }
}

TEST_CASE("Under autocast encoders run in bf16 and losses in fp32") {
  auto clip = sm::clip(vit(), bert());
  const auto batch = make_batch();
  const auto exact = clip.step(batch, {}).total;
  const sm::Autocast autocast{sm::Precision::bf16, torch::kCPU};
  const auto output = clip.step(batch, {});
  CHECK(output.features[0].second.scalar_type() == torch::kBFloat16);
  CHECK(output.total.scalar_type() == torch::kFloat);
  CHECK_THAT(output.total, AllCloseTo(exact, sm::test::bf16_rounding));
}

TEST_CASE("A graph describes its nodes and edges") {
  const auto json = nlohmann::json::parse(sm::cass_mm(resnet(), vit(), bert(), {.dim = 7}).describe());
  CHECK(json.at("method") == "modality_graph");
  CHECK(json.at("nodes").at("cnn").at("encoder").at("name") == "resnet18");
  CHECK(json.at("nodes").at("text").at("projection").at("out") == 7);
  CHECK(json.at("edges").at(0) == nlohmann::json{{"name", "cnn-vit"}, {"loss", "cosine"}, {"weight", 0.25}});
  const auto of_defaults =
      nlohmann::json{{"temperature", 0.07}, {"learned", true}, {"mask_duplicates", false}, {"max_scale", 100}};
  CHECK(json.at("edges").at(1) ==
        nlohmann::json{{"name", "cnn-text"}, {"loss", "info_nce"}, {"weight", 1}, {"options", of_defaults}});
  CHECK_FALSE(json.contains("modality_dropout"));
  CHECK_NOTHROW(sm::image_encoder_from_json(json.at("nodes").at("vit").at("encoder").dump()));

  const sm::CassMmOptions dropping{.modality_dropout = 0.25, .seed = 5};
  const auto with_dropout = nlohmann::json::parse(sm::cass_mm(resnet(), vit(), bert(), dropping).describe());
  CHECK(with_dropout.at("modality_dropout") == nlohmann::json{{"p", 0.25}, {"seed", 5}});
}

TEST_CASE("Edges to words know equal captions, edges between pictures equal samples") {
  auto batch = make_batch(4);
  batch.tokens[2] = batch.tokens[0];
  batch.mask[2] = batch.mask[0];
  struct Spy {
    std::shared_ptr<sm::PairInfo> seen = std::make_shared<sm::PairInfo>();
    Tensor operator()(const Tensor& a, const Tensor& b) const { return (a - b).square().mean(); }
    Tensor operator()(const Tensor& a, const Tensor& b, const sm::PairInfo& info) const {
      *seen = info;
      return (*this)(a, b);
    }
  };
  const Spy pictures, words;
  const sm::Projection head{.out = 8};
  sm::ModalityGraph graph{sm::node("cnn", resnet(), head), sm::node("vit", vit(), head), sm::node("text", bert(), head),
                          sm::edge("cnn", "vit", pictures), sm::edge("vit", "text", words)};
  graph.step(batch, {.step = 5, .total_steps = 9});
  CHECK(torch::equal(pictures.seen->ids, batch.ids));
  const auto ids = words.seen->ids;
  CHECK(torch::equal(ids[0], ids[2]));
  CHECK_FALSE(torch::equal(ids[0], ids[1]));
  CHECK(words.seen->context.step == 5);
}

TEST_CASE("Captions have equal ids where their words are equal, whatever the padding") {
  const auto tokens =
      torch::tensor({{5, 6, 7, 0}, {5, 6, 7, 9}, {5, 6, 7, 0}, {7, 6, 5, 0}, {5, 6, 0, 0}, {0, 5, 6, 0}}, torch::kLong);
  auto mask = tokens != 0;
  mask[1][3] = false;  // the 9 is padding
  mask[5][0] = true;   // the 0 is a word
  const auto ids = sm::detail::caption_ids(tokens, mask);
  CHECK(torch::equal(ids[0], ids[1]));
  CHECK(torch::equal(ids[0], ids[2]));
  CHECK(std::get<0>(at::_unique(ids)).size(0) == 4);
  const auto shorter = sm::detail::caption_ids(tokens.narrow(1, 0, 3), mask.narrow(1, 0, 3));
  CHECK(torch::equal(ids, shorter));
}

TEST_CASE("Any loss goes on any edge: its value, gradient and state are those of the loss by hand") {
  const auto batch = make_batch();
  const auto losses = sm::test::pair_losses(4), alone = sm::test::pair_losses(4);  // each with a state of its own
  for (std::size_t i = 0; i < losses.size(); ++i) {
    const auto& loss = losses[i];
    auto by_hand = alone[i];
    INFO(loss.name());
    sm::ModalityGraph graph{sm::node("picture", resnet(), four), sm::node("words", bert(), four),
                            sm::edge("picture", "words", loss)};
    const auto x = graph.project("picture", batch), y = graph.project("words", batch);
    const auto output = graph.step(batch, {});
    const auto expected = loss(x, y).total;
    CHECK_THAT(output.total, AllCloseTo(expected, fp32_rounding));
    const auto parameters = graph.module()->named_parameters();
    const auto gradients_of = [&](const Tensor& total) {
      return torch::autograd::grad({total}, parameters.values(), {}, {}, false, /*allow_unused=*/true);
    };
    const auto ours = gradients_of(output.total), theirs = gradients_of(expected);
    for (std::size_t p = 0; p < theirs.size(); ++p) {
      INFO(parameters[p].key());
      REQUIRE(ours[p].defined() == theirs[p].defined());
      if (theirs[p].defined()) CHECK_THAT(ours[p], AllCloseTo(theirs[p], sm::test::fp32_gradient));
      if (parameters[p].key().starts_with("nodes.picture.projection")) CHECK(theirs[p].abs().max().item<double>() > 0);
    }

    graph.after_step({}, output);
    if (!by_hand.module()) continue;
    // The very vectors that the graph compared.
    by_hand.update({}, by_hand(output.features[0].second, output.features[1].second).observed);
    const auto in_graph = sm::state_of(*graph.module());
    for (const auto& [name, tensor] : sm::state_of(*by_hand.module())) {
      INFO(name);
      const auto same = sm::detail::find_tensor(in_graph, "losses.picture-words." + name);
      REQUIRE(same.defined());
      CHECK(torch::equal(same, tensor));
    }
  }
}

TEST_CASE("MoCo on an edge fills its queue with the projections of the second node, once a step") {
  const auto batch = make_batch();
  const sm::MocoLoss moco{{.queue = 8, .dim = 4}};
  sm::ModalityGraph graph{sm::node("picture", resnet(), four), sm::node("words", bert(), four),
                          sm::edge("picture", "words", moco)};
  const auto keys = sm::l2_normalize(graph.project("words", batch)).detach();
  const auto before = moco.queue().clone();
  const auto output = graph.step(batch, {});
  CHECK(torch::equal(moco.queue(), before));
  graph.after_step({}, output);
  CHECK_THAT(moco.queue().narrow(0, 0, 6), AllCloseTo(keys, fp32_rounding));
  CHECK(torch::equal(moco.queue().narrow(0, 6, 2), before.narrow(0, 6, 2)));
}

TEST_CASE("Every kind of edge and gradient of CASS-MM is what it says, by hand") {
  const auto batch = make_batch();
  const auto gradient_of = [](sm::EdgeGradient gradient) {
    return sm::CassMmOptions{
        .dim = 5, .picture = {sm::EdgeLoss::vicreg, 0.5, gradient}, .text = {sm::EdgeLoss::barlow_twins, 2, gradient}};
  };
  const auto learns = [&](sm::ModalityGraph& graph, const std::string& node) {
    for (const auto& parameter : graph.module()->named_parameters()) {
      if (parameter.key().starts_with("nodes." + node) && parameter.value().grad().defined()) return true;
    }
    return false;
  };
  const auto make = [&](sm::EdgeGradient gradient) {
    auto graph = sm::cass_mm(resnet(), vit(), bert(), gradient_of(gradient));
    graph.step(batch, {}).total.backward();
    return graph;
  };
  auto both = make(sm::EdgeGradient::both), first = make(sm::EdgeGradient::first),
       second = make(sm::EdgeGradient::second), predicted = make(sm::EdgeGradient::predicted);
  for (auto* graph : {&both, &predicted}) {
    for (const auto* node : {"cnn", "vit", "text"}) CHECK(learns(*graph, node));
  }
  CHECK(learns(first, "cnn"));
  CHECK(learns(first, "vit"));  // from the words
  CHECK_FALSE(learns(first, "text"));
  CHECK_FALSE(learns(second, "cnn"));
  CHECK(learns(second, "text"));

  const auto x = both.project("cnn", batch), y = both.project("vit", batch), z = both.project("text", batch);
  const auto expected = 0.5 * sm::VicReg{}(x, y).total + 2 * (sm::BarlowTwins{}(x, z) + sm::BarlowTwins{}(y, z));
  for (auto* graph : {&both, &first, &second})
    CHECK_THAT(graph->step(batch, {}).total, AllCloseTo(expected, fp32_rounding));
  REQUIRE(names(predicted.step(batch, {}).parts).size() >= 6);
  const auto edges = nlohmann::json::parse(predicted.describe()).at("edges");
  CHECK(edges.size() == 6);
  CHECK(edges.at(1).at("name") == "vit-cnn");
  CHECK(edges.at(1).at("loss") == "predicted(vicreg)");
  CHECK(edges.at(1).at("weight") == 0.25);
  CHECK(edges.at(1).at("options").at("of").at("loss") == "vicreg");
  CHECK(edges.at(1).at("options").at("of").at("options") == nlohmann::json::parse(sm::VicReg{}.describe()));
  const auto states = predicted.module()->named_parameters();
  CHECK_FALSE(
      torch::equal(states["losses.cnn-vit.predictor.fc1.weight"], states["losses.vit-cnn.predictor.fc1.weight"]));
}

TEST_CASE("Each edge of CASS-MM may have a loss and a weight of its own, a schedule too") {
  const auto batch = make_batch();
  const sm::CassMmEdge growing{sm::EdgeLoss::vicreg, sm::LinearWeight{.from = 1, .to = 3}};
  const sm::CassMmOptions options{
      .dim = 5, .cnn_text = sm::CassMmEdge{sm::EdgeLoss::barlow_twins, 0.5}, .vit_text = growing};
  auto graph = sm::cass_mm(resnet(), vit(), bert(), options);
  const auto x = graph.project("cnn", batch), y = graph.project("vit", batch), z = graph.project("text", batch);
  for (const auto& [step, weight] : {std::pair{0, 1.0}, std::pair{10, 3.0}}) {
    const auto expected =
        0.25 * sm::CosineLoss{}(x, y) + 0.5 * sm::BarlowTwins{}(x, z) + weight * sm::VicReg{}(y, z).total;
    CHECK_THAT(graph.step(batch, {.step = step, .total_steps = 10}).total, AllCloseTo(expected, fp32_rounding));
  }
  auto halved = growing;
  halved.gradient = sm::EdgeGradient::predicted;
  const auto described = sm::cass_mm(resnet(), vit(), bert(), {.dim = 5, .vit_text = halved}).describe();
  const auto edges = nlohmann::json::parse(described).at("edges");
  REQUIRE(edges.size() == 4);
  CHECK(edges.at(1).at("loss") == "info_nce");  // that of `text`, as before
  CHECK(edges.at(3).at("name") == "text-vit");
  CHECK(edges.at(3).at("weight").at("factor") == 0.5);
  CHECK(edges.at(3).at("weight").at("schedule").at("to") == 3);
}

TEST_CASE("A graph of one's own: a fused node, a sum of losses, a teacher, a schedule, modality dropout") {
  const auto cnn = resnet(), vit = ::vit();
  const auto text = bert();
  const sm::Projection head{.out = 8};
  // [graph]
  sm::ModalityGraph graph{
      sm::node("cnn", cnn, head),
      sm::node("vit", vit, head),
      sm::node("text", text, head),
      sm::fused("meme", {"vit", "text"}, head),
      sm::edge("cnn", "meme", sm::InfoNce{} + 0.1 * sm::KoLeo{}),
      sm::edge("vit", "cnn", sm::StopGradient{sm::CosineLoss{}}, sm::LinearWeight{.from = 1, .to = 0.25}),
      sm::ModalityDropout{.p = 0.2}};
  // [/graph]
  const auto output = graph.step(make_batch(), {.step = 4, .total_steps = 4});
  REQUIRE(names(output.parts) ==
          std::vector<std::string>{"cnn-meme", "cnn-meme.info_nce", "cnn-meme.koleo", "vit-cnn"});
  const auto part = [&](std::size_t i) { return output.parts[i].second; };
  CHECK_THAT(part(0), AllCloseTo(part(1) + 0.1 * part(2), fp32_rounding));
  CHECK_THAT(output.total, AllCloseTo(part(0) + 0.25 * part(3), fp32_rounding));
  CHECK(names(output.features) == std::vector<std::string>{"cnn", "vit", "text", "meme"});
}

TEST_CASE("A fused node's head sees the projections of its parts side by side") {
  const auto batch = make_batch();
  auto graph = sm::cass_mm_fused(resnet(), vit(), bert(),
                                 {.dim = 5, .projection = sm::ProjectionKind::linear, .modality_dropout = 0});
  const auto weight = graph.module()->named_parameters()["nodes.vit_text.projection.proj.weight"];
  CHECK(weight.sizes() == torch::IntArrayRef{5, 10});
  const auto both = torch::cat({graph.project("vit", batch), graph.project("text", batch)}, 1);
  CHECK_THAT(graph.project("vit_text", batch), AllCloseTo(torch::matmul(both, weight.t()), fp32_rounding));
  const auto expected = sm::InfoNce{}(graph.project("cnn_text", batch), graph.project("vit_text", batch));
  CHECK_THAT(graph.step(batch, {}).total, AllCloseTo(expected, fp32_rounding));
  const auto json = nlohmann::json::parse(graph.describe());
  CHECK(json.at("nodes").at("cnn_text").at("of") == std::vector<std::string>{"cnn", "text"});
  CHECK_FALSE(json.at("nodes").at("cnn_text").contains("encoder"));
  const auto spy = std::make_shared<Spy>();
  refused("node \"ab\" is made of \"a\" alone", sm::node("a", spy, four), sm::node("b", spy, four),
          sm::fused("ab", {"a"}, four), sm::edge("a", "ab", sm::CosineLoss{}));
  refused("no node is called \"c\"", sm::node("a", spy, four), sm::node("b", spy, four),
          sm::fused("ab", {"a", "c"}, four), sm::edge("a", "ab", sm::CosineLoss{}));
}

TEST_CASE("Modality dropout takes a share of the samples out of the edges of one of their nodes") {
  struct Ids {
    std::shared_ptr<std::vector<Tensor>> seen = std::make_shared<std::vector<Tensor>>();
    Tensor operator()(const Tensor& a, const Tensor& b) const { return (a - b).square().mean(); }
    Tensor operator()(const Tensor& a, const Tensor& b, const sm::PairInfo& info) const {
      seen->push_back(info.ids);
      CHECK(a.size(0) == info.ids.size(0));
      return (*this)(a, b);
    }
  };
  const auto batch = make_batch(40);
  const Ids ab, bc, ac;
  const auto spy = std::make_shared<Spy>();
  const auto make = [&](double p) {
    return sm::ModalityGraph{sm::node("a", spy, four), sm::node("b", spy, four), sm::node("c", spy, four),
                             sm::edge("a", "b", ab),   sm::edge("b", "c", bc),   sm::edge("a", "c", ac),
                             sm::ModalityDropout{p, 3}};
  };
  const auto rows = [&](sm::ModalityGraph& graph, std::int64_t step) {
    for (const auto* edge : {&ab, &bc, &ac}) edge->seen->clear();
    graph.step(batch, {.step = step});
    return std::vector<Tensor>{(*ab.seen)[0], (*bc.seen)[0], (*ac.seen)[0]};
  };
  auto graph = make(0.3);
  const auto kept = rows(graph, 7);
  std::int64_t missing = 0;
  for (const auto& ids : kept) missing += 40 - ids.size(0);
  CHECK(missing == 2 * 12);  // each of 12 samples is missed by the two edges of its node
  for (const auto& ids : kept) CHECK(std::abs(40 - ids.size(0) - 8) <= 1);
  auto again = make(0.3);
  for (const auto& [a, b] : {std::pair{rows(again, 7), kept}}) {
    for (std::size_t i = 0; i < a.size(); ++i) CHECK(torch::equal(a[i], b[i]));
  }
  CHECK_FALSE(torch::equal(rows(graph, 8)[0], kept[0]));
  graph.module()->eval();
  for (const auto& ids : rows(graph, 7)) CHECK(ids.size(0) == 40);
  auto nearly_all = make(0.999);
  for (const auto& ids : rows(nearly_all, 1)) CHECK(ids.size(0) >= 2);

  CHECK_THROWS_MATCHES(make(1), sm::InvalidArgument, Message("ModalityDropout: p is 1; it must be in [0, 1)"));
}

TEST_CASE("A fused node sees zeros of what a sample misses") {
  const auto a = std::make_shared<Spy>(), b = std::make_shared<Spy>();
  const sm::Projection as_it_is{.kind = sm::ProjectionKind::none};
  sm::ModalityGraph graph{sm::node("a", a, as_it_is),
                          sm::node("b", b, as_it_is),
                          sm::fused("ab", {"a", "b"}, as_it_is),
                          sm::fused("ba", {"b", "a"}, as_it_is),
                          sm::edge("ab", "ba", Constant{}),
                          sm::ModalityDropout{0.5}};
  auto batch = make_batch(10);
  batch.views[0] = torch::ones({10, 3, 32, 32});
  const auto seen = graph.step(batch, {}).features[2].second;  // of "ab"
  const auto zero = [&](std::int64_t first) { return (seen.narrow(1, first, 4) == 0).all(1); };
  CHECK((zero(0) | zero(4)).sum().item<int>() == 5);
  CHECK((zero(0) & zero(4)).sum().item<int>() == 0);
}

TEST_CASE("An edge's weight may be a schedule") {
  const auto batch = make_batch(4);
  const sm::Projection head{.out = 8};
  sm::ModalityGraph graph{sm::node("cnn", resnet(), head), sm::node("vit", vit(), head),
                          sm::edge("cnn", "vit", sm::CosineLoss{}, sm::LinearWeight{.from = 1, .to = 3})};
  const auto total = [&](std::int64_t step) {
    return graph.step(batch, {.step = step, .total_steps = 10}).total.item<double>();
  };
  CHECK(std::abs(total(10) - 3 * total(0)) < 1e-4);
  const auto weight_of = [](const sm::ModalityGraph& of) {
    return nlohmann::json::parse(of.describe()).at("edges").at(0).at("weight");
  };
  const auto schedule = nlohmann::json{{"from", 1}, {"to", 3}, {"begin", 0}, {"end", 1}};
  CHECK(weight_of(graph) == nlohmann::json{{"factor", 1}, {"schedule", schedule}});
  const auto own = [](const sm::StepContext&) { return 2.0; };
  CHECK(weight_of(sm::ModalityGraph{sm::node("cnn", resnet(), head), sm::node("vit", vit(), head),
                                    sm::edge("cnn", "vit", sm::CosineLoss{}, sm::LossWeight{own}.scaled(3))}) ==
        nlohmann::json{{"factor", 3}, {"schedule", "unknown"}});
}
