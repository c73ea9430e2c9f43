// RGCL: its loss where there is little to compare, its memory, training with it, and the vote of neighbours.
#include <sslmeme/core/error.hpp>
#include <sslmeme/eval/metrics.hpp>
#include <sslmeme/eval/neighbour_vote.hpp>
#include <sslmeme/loss/label_losses.hpp>
#include <sslmeme/method/retrieval_guided.hpp>
#include <sslmeme/train/between_epochs.hpp>
#include <sslmeme/train/trainer.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

#include "close_to.hpp"
#include "files.hpp"
#include "loss/nearest.hpp"
#include "state.hpp"
#include "xor_memes.hpp"

namespace sm = sslmeme;
using namespace sm::test;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using sm::Tensor;

namespace {

sm::Supervised classifier(std::uint64_t seed = 1, sm::FusionKind kind = sm::FusionKind::align) {
  const sm::TorchSeedScope words{seed};
  return {std::make_shared<Colours>(),
          std::make_shared<Words>(xor_words()->vocabulary_size()),
          {.fusion = {.kind = kind,
                      .norm = sm::FusionNorm::batch,
                      .dim = 8,
                      .map_dropout = 0,
                      .fusion_dropout = 0,
                      .layer_dropout = 0,
                      .seed = seed}}};
}

Tensor ints(std::vector<std::int64_t> values) {
  return torch::tensor(std::move(values));
}

template <class Call>
void refused(const std::string& message, Call call) {
  CHECK_THROWS_MATCHES(call(), sm::InvalidArgument, MessageMatches(ContainsSubstring(message)));
}

sm::Batch first_batch(const XorMemes& memes = {}) {
  auto loader = xor_loader(memes, false);
  loader.start_epoch(0, 0, 1);
  return *loader.next();
}

double auroc(const sm::Predictions& predictions) {
  return sm::auroc(predictions.scores, predictions.labels);
}

}  // namespace

TEST_CASE("Where there is nothing to compare with the loss is 0, with a gradient of 0") {
  const auto positives = torch::randn({3, 1, 4}), negatives = torch::randn({3, 1, 4});
  const auto yes = torch::ones({3, 1}, torch::kBool), no = torch::zeros({3, 1}, torch::kBool);
  const auto value = [&](const sm::RetrievalGuidedLoss& loss, const sm::RetrievedExamples& examples) {
    const auto z = torch::randn({3, 4}).requires_grad_();
    const auto total = loss(z, ints({1, 1, 1}), examples);
    total.backward();
    CHECK(z.grad().abs().max().item<double>() < 1e-7);
    return total.item<double>();
  };
  CHECK(value({}, {positives, negatives, yes, no}) == 0);  // a batch and a memory of one class
  CHECK(value({}, {positives, negatives, no, yes}) == 0);  // no other of the class
  CHECK(value(sm::retrieval_guided_reference(), {positives, negatives, no, yes}) == 0);
}

TEST_CASE("Zero vectors and absent examples never make NaN") {
  auto z = torch::randn({4, 5});
  z[2].zero_();
  z.requires_grad_();
  const auto nan = torch::full({4, 2, 5}, NAN);
  const auto first = torch::tensor({{true, false}}).expand({4, 2});
  auto examples = torch::randn({4, 2, 5});
  examples.select(1, 1).copy_(nan.select(1, 1));  // where nothing was found
  for (const auto& loss : {sm::RetrievalGuidedLoss{}, sm::retrieval_guided_reference()}) {
    z.mutable_grad() = Tensor{};
    const auto total = loss(z, ints({0, 1, 1, 0}), {examples, examples, first, first});
    total.backward();
    CHECK(std::isfinite(total.item<double>()));
    CHECK(torch::isfinite(z.grad()).all().item<bool>());
  }
}

TEST_CASE("The loss refuses shapes that do not fit") {
  const auto z = torch::randn({4, 5}), examples = torch::randn({4, 2, 5});
  const auto labels = ints({0, 1, 1, 0});
  const auto loss = [&](const Tensor& x, const Tensor& y, const sm::RetrievedExamples& found,
                        const sm::RetrievalGuidedLoss& how = {}) { return [=] { how(x, y, found); }; };
  refused("z is (4, 5), labels are (3); they must be floating (N, D) and i64 (N)",
          loss(z, ints({0, 1, 1}), {examples, examples}));
  refused("positives are (4, 2, 3); for z (4, 5) they must be floating (4, 1 or more, 5)",
          loss(z, labels, {torch::randn({4, 2, 3}), examples}));
  refused("positives are (4, 0, 5)", loss(z, labels, {examples.narrow(1, 0, 0), examples}));
  refused("negatives are undefined", loss(z, labels, {examples, {}}));
  refused("what tells which are there is (4); it must be bool (4, 2)",
          loss(z, labels, {examples, examples, labels, {}}));
  refused("temperature is 0", loss(z, labels, {examples, examples}, {.temperature = 0}));
  refused("margin is -1; it must be zero or more", loss(z, labels, {examples, examples}, {.margin = -1}));
}

TEST_CASE("The nearest are those of a full sort, and of equals the first, beyond one chunk") {
  const auto queries = torch::randn({5, 4}, torch::kDouble), bank = torch::randn({20000, 4}, torch::kDouble);
  const auto wanted = torch::arange(20000) % 3 == 0;
  const auto found = sm::detail::nearest(queries, bank, 7, [&](std::int64_t begin, std::int64_t count) {
    return wanted.narrow(0, begin, count).expand({5, count});
  });
  const auto all = queries.matmul(bank.t()).masked_fill(wanted.logical_not(), -INFINITY);
  const auto [values, rows] = all.sort(/*stable=*/true, 1, /*descending=*/true);
  CHECK(torch::equal(found.rows, rows.narrow(1, 0, 7)));
  CHECK_THAT(found.similarity, AllCloseTo(values.narrow(1, 0, 7), {0, 1e-12}));

  const auto equal = torch::zeros({20000, 2});
  equal.select(1, 0).fill_(1);
  CHECK(torch::equal(sm::detail::nearest(equal.narrow(0, 0, 2), equal, 3).rows, ints({0, 1, 2}).expand({2, 3})));
  CHECK(sm::detail::nearest(equal.narrow(0, 0, 2), equal.narrow(0, 0, 4), 9).rows.size(1) == 4);
  const auto none = sm::detail::nearest(
      queries, bank, 2, [](std::int64_t, std::int64_t count) { return torch::zeros({5, count}, torch::kBool); });
  CHECK((none.similarity == -INFINITY).all().item<bool>());
}

TEST_CASE("What is retrieved is nearest of its label, and never the meme itself") {
  sm::RetrievalGuided method{classifier(), {.positives = 2, .negatives = 1, .memory = 5}};
  const auto axes = torch::eye(8);
  // Meme 10 is remembered as it is now; 11 and 12 have its label, 13 and 14 the other.
  const auto bank = torch::stack({axes[0], axes[1], axes[0] + axes[2], axes[0] + axes[3], axes[4]});
  method.remember(3 * bank, ints({1, 1, 1, 0, 0}), ints({10, 11, 12, 13, 14}));
  const auto found = method.retrieve(2 * axes.narrow(0, 0, 1), ints({1}), ints({10}));
  CHECK_THAT(found.positives[0], AllCloseTo(sm::l2_normalize(torch::stack({bank[2], bank[1]})), {0, 1e-6}));
  CHECK_THAT(found.negatives[0], AllCloseTo(sm::l2_normalize(bank.narrow(0, 3, 1)), {0, 1e-6}));
  CHECK(found.has_positive.all().item<bool>());
  // Fewer memes take the place of all: one of each label, one of them the anchor itself.
  method.remember(bank.narrow(0, 2, 2), ints({1, 0}), ints({12, 13}));
  CHECK(method.remembered_ids().size(0) == 2);
  const auto alone = method.retrieve(axes.narrow(0, 0, 2), ints({1, 0}), ints({12, 99}));
  CHECK((alone.has_positive == torch::tensor({{false, false}, {true, false}})).all().item<bool>());
  CHECK((alone.has_negative == torch::tensor({{true}, {true}})).all().item<bool>());
}

TEST_CASE("A step is cross-entropy and the weighted loss of what is retrieved") {
  const auto judge = classifier();
  sm::RetrievalGuided method{judge, {.weight = 0.3, .memory = 64}};
  auto loader = xor_loader({}, false);
  auto copy = judge;
  method.remember(sm::embed(copy, loader));
  CHECK(method.remembered_embeddings().size(0) == 64);
  method.module()->eval();
  const auto batch = first_batch();
  const auto output = method.step(batch, {});
  const auto [logits, z] = copy.fuse(batch);
  const auto bce = sm::BinaryCrossEntropy{}(logits, batch.labels);
  const auto rgcl = sm::RetrievalGuidedLoss{}(z, batch.labels, method.retrieve(z, batch.labels, batch.ids));
  CHECK_THAT(output.total, AllCloseTo(bce + 0.3 * rgcl, fp32_rounding));
  REQUIRE(output.parts.size() == 2);
  CHECK(output.parts[0].first == "bce");
  CHECK_THAT(output.parts[1].second, AllCloseTo(rgcl, fp32_rounding));
  const auto state = by_name(*method.module());
  for (const auto* name : {"text.vectors.weight", "fusion.mlp.0.weight", "memory.embeddings", "memory.ids"})
    CHECK(state.contains(name));
  const auto json = nlohmann::json::parse(method.describe());
  CHECK(json.at("fusion").at("kind") == "align");
  CHECK(json.at("retrieval_guided").at("weight") == 0.3);
  CHECK(json.at("retrieval_guided").at("form") == "log_ratio");
}

TEST_CASE("An empty memory, unfit memes and options that cannot work are refused") {
  sm::RetrievalGuided method{classifier(), {.memory = 3}};
  const auto batch = first_batch();
  refused("the memory is empty: call remember(", [&] { method.step(batch, {}); });
  auto loader = xor_loader({}, false);
  refused("remembers nothing to vote with", [&] { sm::predict_by_vote(method, loader); });
  const auto z = torch::randn({3, 8});
  const auto labels = ints({0, 1, 1}), ids = torch::arange(3);
  refused(
      "embeddings are (4, 8), labels (4), ids (4); they must be floating (R, 8), i64 (R) and i64 (R) with 1 ≤ R ≤ 3",
      [&] { method.remember(torch::randn({4, 8}), ints({0, 1, 1, 0}), torch::arange(4)); });
  refused("embeddings are (3, 7)", [&] { method.remember(torch::randn({3, 7}), labels, ids); });
  refused("ids (2)", [&] { method.remember(z, labels, torch::arange(2)); });
  refused("memes of label 0 or 1 alone", [&] { method.remember(z, ints({0, 1, -1}), ids); });
  refused("not finite", [&] { method.remember(z / 0, labels, ids); });
  method.remember(z, labels, ids);
  auto unlabelled = batch;
  unlabelled.labels = -torch::ones({16}, torch::kLong);
  refused("RetrievalGuided needs a label 0 or 1 for every sample", [&] { method.step(unlabelled, {}); });
  refused("memory is 0; it must be the number of memes", [] { sm::RetrievalGuided{classifier(), {}}; });
  refused("weight is -1", [] { sm::RetrievalGuided{classifier(), {.weight = -1, .memory = 3}}; });
  refused("positives is 0", [] { sm::RetrievalGuided{classifier(), {.positives = 0, .memory = 3}}; });
}

TEST_CASE("Neighbours vote by rank, similarity and label") {
  const auto angle = [](double degrees) {
    return torch::tensor({std::cos(degrees * M_PI / 180), std::sin(degrees * M_PI / 180)}, torch::kDouble);
  };
  const sm::Embeddings known{5 * torch::stack({angle(0), angle(60), angle(90), angle(180)}), ints({1, 0, 1, 0}),
                             torch::arange(4)};
  const auto cosine = [](double degrees) { return std::cos(degrees * M_PI / 180); };
  const auto query = 0.1 * angle(20).unsqueeze(0);
  const auto vote = [&](std::int64_t k) { return sm::neighbour_vote(known, query, {.k = k})[0].item<double>(); };
  CHECK(std::abs(vote(1) - (0.5 + 0.5 * cosine(20))) < 1e-12);
  CHECK(std::abs(vote(3) - (0.5 + 0.5 * (3 * cosine(20) - 2 * cosine(40) + cosine(70)) / 6)) < 1e-12);
  const auto of_all = 0.5 + 0.5 * (4 * cosine(20) - 3 * cosine(40) + 2 * cosine(70) - cosine(160)) / 10;
  CHECK(std::abs(vote(9) - of_all) < 1e-12);
  // Rows beyond one chunk are each their own.
  CHECK_THAT(sm::neighbour_vote(known, query.expand({700, 2})),
             AllCloseTo(torch::full({700}, of_all, torch::kDouble), {0, 1e-12}));
  refused("VoteOptions::k is 0", [&] { vote(0); });
  refused("a known label is neither 0 nor 1",
          [&] { sm::neighbour_vote({known.features, ints({1, 0, 1, -1}), known.ids}, query); });
  refused("queries (1, 3)", [&] { sm::neighbour_vote(known, torch::ones({1, 3})); });
  refused("row 0 of the queries is not finite", [&] { sm::neighbour_vote(known, query / 0); });
}

TEST_CASE("Trained so, a classifier and its neighbours know an exclusive or, whatever the number of workers") {
  std::vector<Tensor> votes;
  for (const int workers : {0, 2}) {
    auto judge = classifier();
    sm::RetrievalGuided method{judge, {.memory = 64}};
    auto loader = xor_loader({}, true, workers), whole = xor_loader({}, false, workers),
         fresh = xor_loader({.count = 40, .seed = 9}, false, workers);
    const auto remember = [&] { method.remember(sm::embed(judge, whole)); };
    const auto result = sm::Trainer{method, {.epochs = 25, .optimizer = sm::AdamW{.lr = 0.03}}}.fit(
        loader, sm::BetweenEpochs{remember});
    CHECK(result.history.back().parts[1].second < result.history.front().parts[1].second);
    CHECK(auroc(sm::predict(judge, fresh)) > 0.95);
    for (const auto& module : judge.module()->modules()) CHECK_FALSE(module->is_training());
    const auto predictions = sm::predict_by_vote(method, fresh);
    CHECK(predictions.ids.size() == 40);
    CHECK(auroc(predictions) > 0.95);
    votes.push_back(torch::tensor(predictions.scores));
    // New memes count without training: with their labels turned round in the memory, so is the vote.
    method.remember(method.remembered_embeddings().clone(), 1 - method.remembered_labels(), method.remembered_ids());
    CHECK(auroc(sm::predict_by_vote(method, fresh)) < 0.05);
  }
  CHECK(torch::equal(votes[0], votes[1]));
}

TEST_CASE("BetweenEpochs calls before the first epoch and after each, and again only where an epoch begins") {
  const TemporaryFolder temporary;
  std::vector<std::int64_t> steps;  // done at each call
  struct StepsSeen {
    std::int64_t* now;
    std::int64_t stop;
    void on_fit_begin(const sm::StepInfo& info) const { *now = info.step; }
    sm::Flow on_step_end(const sm::StepInfo& info) const {
      *now = info.step;
      return info.step == stop ? sm::Flow::stop : sm::Flow::proceed;
    }
  };
  const auto train = [&](const std::string& name, sm::ExistingRun existing, std::int64_t stop) {
    steps.clear();
    std::int64_t now = -1;
    auto judge = classifier();
    auto loader = xor_loader({}, true);  // 4 batches
    sm::Trainer{judge, {.epochs = 2, .output_dir = temporary / name, .existing = existing}}.fit(
        loader, StepsSeen{&now, stop}, sm::BetweenEpochs{[&] { steps.push_back(now); }});
    return steps;
  };
  using Steps = std::vector<std::int64_t>;
  using enum sm::ExistingRun;
  CHECK((train("whole", refuse, -1) == Steps{0, 4, 8}));
  CHECK((train("whole", resume, -1) == Steps{}));  // nothing left to do
  CHECK((train("within", refuse, 2) == Steps{0}));
  CHECK((train("within", resume, -1) == Steps{4, 8}));
  CHECK((train("between", refuse, 4) == Steps{0, 4}));
  CHECK((train("between", resume, -1) == Steps{4, 8}));
}
