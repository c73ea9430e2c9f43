// The law of accumulation: a step over several batches has the gradient of one large batch. In double.
#include <sslmeme/core/error.hpp>
#include <sslmeme/core/random.hpp>
#include <sslmeme/loss/nt_xent.hpp>
#include <sslmeme/loss/predictive.hpp>
#include <sslmeme/method/dino.hpp>
#include <sslmeme/method/recipes.hpp>
#include <sslmeme/method/retrieval_guided.hpp>
#include <sslmeme/method/supervised.hpp>

#include <catch2/catch_test_macros.hpp>

#include <string>
#include <vector>

#include "close_to.hpp"
#include "files.hpp"
#include "tiny_run.hpp"
#include "train/gradients.hpp"

namespace sm = sslmeme;
using sm::Tensor;
using sm::test::AllCloseTo;

namespace {

constexpr sm::test::Tolerance law{1e-10, 1e-12};

sm::ImageEncoder vit(std::uint64_t seed) {
  return sm::image_encoder("vit_tiny_patch16_224",
                           {.image_size = 16, .patch_size = 8, .width = 12, .depth = 1, .seed = seed});
}
sm::TextEncoder bert(double dropout) {
  return sm::text_encoder("minilm_l6",
                          {.vocabulary_size = 30, .max_tokens = 8, .width = 24, .depth = 1, .dropout = dropout});
}

sm::Batch make_batch(std::int64_t n) {
  sm::Batch batch;
  for (int i = 0; i < 2; ++i) batch.views.push_back(torch::randn({n, 3, 16, 16}, torch::kDouble));
  batch.tokens = torch::randint(1, 30, {n, 8});
  batch.tokens[n - 1] = batch.tokens[0];  // the same caption, in two parts
  batch.mask = torch::ones({n, 8}, torch::kBool);
  batch.labels = torch::randint(0, 2, {n});
  batch.ids = torch::arange(n);
  return batch;
}

/// The rows of a batch in parts of these sizes.
std::vector<sm::Batch> split(const sm::Batch& batch, const std::vector<std::int64_t>& sizes) {
  std::vector<sm::Batch> parts;
  std::int64_t begin = 0;
  for (const auto n : sizes) {
    auto& part = parts.emplace_back();
    for (const auto& view : batch.views) part.views.push_back(view.narrow(0, begin, n));
    part.tokens = batch.tokens.narrow(0, begin, n);
    part.mask = batch.mask.narrow(0, begin, n);
    part.labels = batch.labels.narrow(0, begin, n);
    part.ids = batch.ids.narrow(0, begin, n);
    begin += n;
  }
  return parts;
}

template <class M>
sm::MethodCalls calls(M& method) {
  sm::MethodCalls calls;
  calls.step = [&](const sm::Batch& batch, const sm::StepContext& context) { return method.step(batch, context); };
  if constexpr (requires(const sm::Batch& batch) { method.represent(batch, sm::StepContext{}); }) {
    calls.represent = [&](const sm::Batch& batch, const sm::StepContext& context) {
      return method.represent(batch, context);
    };
    calls.compare = [&](const sm::NamedTensors& samples, const sm::StepContext& context) {
      return method.compare(samples, context);
    };
  }
  return calls;
}

const sm::detail::GradientScope scope{[](std::int64_t part, const std::function<void()>& forward) {
                                        const sm::TorchSeedScope seeded{static_cast<std::uint64_t>(part)};
                                        forward();
                                      },
                                      [](const sm::LossOutput&) {}};

struct Gradient {
  sm::LossOutput output;
  std::vector<Tensor> of_parameters;
};

template <class M>
Gradient gradient(M& method, const std::vector<sm::Batch>& parts) {
  const auto module = method.module();
  for (auto& parameter : module->parameters()) parameter.mutable_grad() = Tensor{};
  Gradient result{sm::detail::add_gradient(*module, parts, {}, calls(method), scope), {}};
  for (const auto& parameter : module->parameters()) {
    if (parameter.grad().defined()) result.of_parameters.push_back(parameter.grad().clone());
  }
  return result;
}

template <class M>
void check_law(M method) {
  method.module()->to(torch::kDouble);
  const auto batch = make_batch(10);
  const auto whole = gradient(method, {batch}), parts = gradient(method, split(batch, {4, 4, 2}));
  CHECK_THAT(parts.output.total, AllCloseTo(whole.output.total, law));
  REQUIRE(parts.of_parameters.size() == whole.of_parameters.size());
  CHECK(whole.of_parameters.size() > 5);
  for (std::size_t i = 0; i < whole.of_parameters.size(); ++i)
    CHECK_THAT(parts.of_parameters[i], AllCloseTo(whole.of_parameters[i], law));
  REQUIRE(parts.output.parts.size() == whole.output.parts.size());
  for (std::size_t i = 0; i < whole.output.parts.size(); ++i) {
    CHECK(parts.output.parts[i].first == whole.output.parts[i].first);
    CHECK_THAT(parts.output.parts[i].second.to(torch::kDouble),
               AllCloseTo(whole.output.parts[i].second.to(torch::kDouble), {1e-9, 1e-9}));
  }
}

}  // namespace

TEST_CASE("Parts of a batch have the gradient of the whole, whatever the method compares") {
  check_law(sm::clip(vit(1), bert(0), {.dim = 8, .loss = {.mask_duplicates = true}}));
  check_law(sm::cass_mm(vit(1), vit(2), bert(0), {.dim = 8, .projection = sm::ProjectionKind::linear}));
  check_law(sm::cass_mm(vit(1), vit(2), bert(0),
                        {.dim = 8,
                         .projection = sm::ProjectionKind::linear,
                         .picture = {sm::EdgeLoss::vicreg, 1, sm::EdgeGradient::predicted},
                         .text = {sm::EdgeLoss::barlow_twins, 1, sm::EdgeGradient::first}}));
  check_law(sm::cass_mm_fused(vit(1), vit(2), bert(0),
                              {.dim = 8, .projection = sm::ProjectionKind::linear, .modality_dropout = 0}));
  check_law(sm::Siamese{vit(1), {.out = 8}, sm::NtXent{}});
  check_law(sm::Siamese{
      vit(1), {.out = 8}, sm::Predicted{sm::MocoV3Loss{}, {.dim = 8}}, {.symmetric = true, .teacher = vit(2)}});
}

TEST_CASE("Parts of a batch are compared with each other and with the memory as the whole is") {
  const sm::Supervised classifier{
      vit(1), bert(0), {.fusion = {.dim = 8, .map_dropout = 0, .fusion_dropout = 0, .layer_dropout = 0}}};
  sm::RetrievalGuided method{classifier, {.weight = 2, .positives = 2, .memory = 12}};
  method.remember(torch::randn({12, 8}), torch::arange(12) % 2, torch::arange(5, 17));
  check_law(method);
}

TEST_CASE("Losses that are means over samples add up as they are") {
  check_law(sm::Supervised{
      vit(1), bert(0), {.fusion = {.dim = 8, .map_dropout = 0, .fusion_dropout = 0, .layer_dropout = 0}}});
  check_law(
      sm::dino(vit(1), {.head = {.prototypes = 12, .hidden = 8, .bottleneck = 4}, .frozen_epochs = 0, .views = 2}));
}

TEST_CASE("DINO's centre is that of all samples, whatever the sizes of the parts") {
  const auto batch = make_batch(10);
  const auto center = [](const std::vector<sm::Batch>& parts) {
    auto method =
        sm::dino(vit(1), {.head = {.prototypes = 12, .hidden = 8, .bottleneck = 4}, .frozen_epochs = 0, .views = 2});
    method.module()->to(torch::kDouble);
    method.after_step({.step = 1, .total_steps = 10}, gradient(method, parts).output);
    return method.module()->named_buffers()["loss.center"].clone();
  };
  const auto whole = center({batch});
  CHECK(whole.abs().max().item<double>() > 0);
  CHECK_THAT(center(split(batch, {4, 4, 2})), AllCloseTo(whole, law));
}

TEST_CASE("Dropout is the same in both passes over a part") {
  auto method = sm::clip(vit(1), bert(0.3), {.dim = 8});
  method.module()->to(torch::kDouble);
  const auto parts = split(make_batch(10), {5, 5});
  const auto actual = gradient(method, parts);
  // The same by hand, with the graphs of both parts in memory.
  for (auto& parameter : method.module()->parameters()) parameter.mutable_grad() = Tensor{};
  std::vector<sm::NamedTensors> kept;
  for (std::size_t i = 0; i < parts.size(); ++i)
    scope.around(static_cast<std::int64_t>(i), [&] { kept.push_back(method.represent(parts[i], {})); });
  sm::NamedTensors all;
  for (const auto& [name, first] : kept[0])
    all.emplace_back(name, torch::cat({first, sm::detail::find_tensor(kept[1], name)}));
  method.compare(all, {}).total.backward();
  std::size_t i = 0;
  for (const auto& parameter : method.module()->parameters()) {
    if (parameter.grad().defined()) CHECK_THAT(actual.of_parameters.at(i++), AllCloseTo(parameter.grad(), law));
  }
  CHECK(i == actual.of_parameters.size());
}

TEST_CASE("A loss that draws random numbers draws those of the step, whatever was drawn before") {
  struct Noisy {
    Tensor operator()(const Tensor& z_a, const Tensor& z_b) const {
      return (torch::dropout(z_a, 0.5, /*train=*/true) - z_b).square().mean();
    }
  };
  sm::Siamese method{vit(1), {.out = 8}, Noisy{}};
  method.module()->to(torch::kDouble);
  const auto parts = split(make_batch(10), {5, 5});
  std::vector<Tensor> totals;
  for (const std::uint64_t before : {1U, 2U}) {
    torch::manual_seed(before);
    totals.push_back(gradient(method, parts).output.total);
  }
  CHECK(torch::equal(totals[0], totals[1]));
}

TEST_CASE("Buffers move once a part, although it is seen twice") {
  auto method = sm::cass(sm::image_encoder("resnet18", {.width = 2, .depth = 1}), vit(1), {.dim = 8});
  method.module()->to(torch::kDouble);
  auto by_hand = sm::cass(sm::image_encoder("resnet18", {.width = 2, .depth = 1}), vit(1), {.dim = 8});
  by_hand.module()->to(torch::kDouble);
  const auto parts = split(make_batch(10), {5, 5});
  gradient(method, parts);
  for (const auto& part : parts) by_hand.step(part, {});
  const auto expected = by_hand.module()->named_buffers();
  for (const auto& buffer : method.module()->named_buffers()) {
    INFO(buffer.key());
    CHECK_THAT(buffer.value(), AllCloseTo(expected[buffer.key()], law));
  }
  CHECK(method.module()->named_buffers()["nodes.cnn.encoder.bn1.num_batches_tracked"].item<int>() == 2);
}

TEST_CASE("A run with several batches a step counts steps, and goes on after a stop as if there had been none") {
  const sm::test::TemporaryFolder folder;
  const auto options = [&](const char* name, sm::ExistingRun existing = sm::ExistingRun::refuse) {
    auto o = sm::test::options(folder / name, existing);
    o.accumulate = 2;
    return o;
  };
  const auto whole = sm::test::train(options("whole"));
  CHECK(whole.result.steps == 9);  // 5 batches an epoch: steps of 2, 2 and 1
  REQUIRE(whole.result.history.size() == 3);
  for (const std::int64_t stop : {1, 3, 5}) {
    const auto name = "stopped_" + std::to_string(stop);
    sm::test::train(options(name.c_str()), sm::test::StopAt{stop});
    const auto parts = sm::test::train(options(name.c_str(), sm::ExistingRun::resume));
    CHECK(sm::test::same_state(parts.state, whole.state));
    for (std::size_t i = 0; i < 3; ++i) CHECK(parts.result.history[i].loss == whole.result.history[i].loss);
  }
  auto bad = options("bad");
  bad.accumulate = 0;
  CHECK_THROWS_AS(sm::test::train(bad), sm::InvalidArgument);
}
