// The training loop: reproducible, in order, stopped when asked or when numbers break.
#include <sslmeme/core/error.hpp>
#include <sslmeme/core/random.hpp>
#include <sslmeme/data/loader.hpp>
#include <sslmeme/method/recipes.hpp>
#include <sslmeme/train/trainer.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "one_thread.hpp"
#include "state.hpp"

namespace sm = sslmeme;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::Message;
using Catch::Matchers::MessageMatches;
using Catch::Matchers::WithinRel;
using sm::Tensor;
using sm::test::copy_of_state;
using sm::test::same_state;

namespace {

/// Patches of one random colour with noise, made on the spot.
struct Patches {
  std::size_t samples = 24;
  std::size_t size() const { return samples; }
  sm::Sample get(std::size_t i) const {
    sm::Sample sample{sm::Image{16, 16}, {}, {}, static_cast<std::int64_t>(100 + i)};
    sm::Rng rng{i};
    const std::uint64_t color[] = {rng.below(200), rng.below(200), rng.below(200)};
    for (std::size_t k = 0; k < sample.picture.pixels.size(); ++k) {
      sample.picture.pixels[k] = static_cast<std::uint8_t>(color[k % 3] + rng.below(56));
    }
    return sample;
  }
};

sm::ImageEncoder resnet(std::int64_t classes = 0) {
  return sm::image_encoder("resnet18", {.width = 4, .depth = 1, .num_classes = classes, .seed = 1});
}
sm::ImageEncoder vit(std::int64_t classes = 0, std::int64_t size = 16) {
  return sm::image_encoder(
      "vit_tiny_patch16_224",
      {.image_size = size, .patch_size = size / 2, .width = 24, .depth = 1, .num_classes = classes, .seed = 2});
}
sm::ModalityGraph tiny_cass() {
  return sm::cass(resnet(), vit(), {.dim = 8});
}

sm::DataLoader make_loader(int workers = 0, std::uint64_t seed = 3) {
  return {Patches{}, sm::cass_views({.size = 16}), {.batch_size = 6, .workers = workers, .seed = seed}};
}

/// A method of one parameter, whose loss is given as a function.
struct Simple {
  using Loss = std::function<Tensor(const Tensor& weight, const sm::Batch&, const sm::StepContext&)>;
  struct Net : torch::nn::Module {
    Tensor weight = register_parameter("weight", torch::ones({2, 2}));
  };
  Loss loss = [](const Tensor& weight, const sm::Batch&, const sm::StepContext&) { return weight.pow(2).sum(); };
  std::shared_ptr<Net> net = std::make_shared<Net>();
  std::shared_ptr<std::vector<sm::StepContext>> after = std::make_shared<std::vector<sm::StepContext>>();

  sm::LossOutput step(const sm::Batch& batch, const sm::StepContext& context) {
    return {loss(net->weight, batch, context), {}, {}};
  }
  void after_step(const sm::StepContext& context, const sm::LossOutput& /*output*/) { after->push_back(context); }
  std::shared_ptr<torch::nn::Module> module() const { return net; }
  int views_required() const { return 0; }
};

/// A user's own loader: batches of two ids, counted through.
struct CountingLoader {
  std::int64_t batches = 3, gives = 3;
  std::vector<std::pair<std::int64_t, std::int64_t>> started = {};
  std::int64_t at = 0;

  void start_epoch(std::int64_t epoch, std::int64_t first_batch, int /*views*/) {
    started.emplace_back(epoch, first_batch);
    at = first_batch;
  }
  std::optional<sm::Batch> next() {
    if (at == gives) return std::nullopt;
    sm::Batch batch;
    batch.ids = torch::tensor({10 * at, 10 * at + 1});
    ++at;
    return batch;
  }
  std::int64_t batches_per_epoch() const { return batches; }
};

using Log = std::vector<std::string>;

struct Recorder {
  Log* log;
  std::string name;
  std::string stop_at = {};
  sm::Flow note(const char* hook, const sm::StepInfo& info) const {
    log->push_back(name + " " + hook + " " + std::to_string(info.step));
    return log->back() == name + " " + stop_at ? sm::Flow::stop : sm::Flow::proceed;
  }
  sm::Flow on_fit_begin(const sm::StepInfo& info) const { return note("begin", info); }
  sm::Flow on_step_end(const sm::StepInfo& info) const { return note("step", info); }
  sm::Flow on_epoch_end(const sm::StepInfo& info) const { return note("epoch", info); }
  void on_fit_end(const sm::StepInfo& info) const { note("end", info); }
};

/// Calls a function after each step.
struct EachStep {
  std::function<void(const sm::StepInfo&)> look;
  void on_step_end(const sm::StepInfo& info) const { look(info); }
};

}  // namespace

TEST_CASE("The same seeds give the same parameters, bit by bit, whatever the number of workers") {
  const auto train = [](int workers, std::uint64_t seed) {
    auto loader = make_loader(workers, seed);
    sm::Trainer trainer{tiny_cass(), {.epochs = 2, .optimizer = sm::AdamW{.lr = 0.01}}};
    const auto result = trainer.fit(loader);
    CHECK(result.steps == 8);
    return copy_of_state(*trainer.method().module());
  };
  const auto expected = train(0, 3);
  CHECK_FALSE(same_state(expected, copy_of_state(*tiny_cass().module())));
  CHECK(same_state(train(0, 3), expected));
  CHECK(same_state(train(1, 3), expected));
  CHECK(same_state(train(2, 3), expected));
  CHECK_FALSE(same_state(train(2, 4), expected));
}

TEST_CASE("Dropout comes from the trainer's seed and leaves the caller's random numbers alone") {
  const auto train = [](std::uint64_t seed) {
    Simple method{.loss = [](const Tensor& weight, const sm::Batch&, const sm::StepContext&) {
      return torch::dropout(weight, 0.5, true).sum();
    }};
    CountingLoader loader;
    sm::Trainer{method, {.epochs = 2, .seed = seed}}.fit(loader);
    return method.net->weight.detach().clone();
  };
  const auto first = train(1);
  torch::manual_seed(7);
  const auto expected = torch::rand({2});
  torch::manual_seed(7);
  CHECK(torch::equal(train(1), first));
  CHECK(torch::equal(torch::rand({2}), expected));
  CHECK_FALSE(torch::equal(train(2), first));
}

TEST_CASE("Training lowers the loss") {
  auto loader = make_loader();
  const auto result = sm::Trainer{tiny_cass(), {.epochs = 12, .optimizer = sm::AdamW{.lr = 3e-3}}}.fit(loader);
  REQUIRE(result.history.size() == 12);
  CHECK(result.history.back().loss < 0.7 * result.history.front().loss);
  CHECK(result.history[3].epoch == 3);
  REQUIRE(result.history[3].parts.size() == 3);
  CHECK(result.history[3].parts[0].first == "cnn-vit");
  CHECK_THAT(result.history[3].parts[0].second, WithinRel(result.history[3].loss, 1e-6));
  CHECK(result.history[3].health.size() == 2);
}

TEST_CASE("Callbacks are called in the order given, and each of them although one says stop") {
  Log log;
  CountingLoader loader{.batches = 2, .gives = 2};
  const auto fit = [&](const std::string& stop_at) {
    return sm::Trainer{Simple{}, {.epochs = 2}}.fit(loader, Recorder{&log, "a", stop_at}, Recorder{&log, "b"});
  };
  SECTION("to the end") {
    CHECK_FALSE(fit("").stopped);
    CHECK(log == Log{"a begin 0", "b begin 0", "a step 1", "b step 1", "a step 2", "b step 2", "a epoch 2", "b epoch 2",
                     "a step 3", "b step 3", "a step 4", "b step 4", "a epoch 4", "b epoch 4", "a end 4", "b end 4"});
    CHECK(loader.started == std::vector<std::pair<std::int64_t, std::int64_t>>{{0, 0}, {1, 0}});
  }
  SECTION("stopped before the first step") {
    const auto result = fit("begin 0");
    CHECK((result.stopped && result.steps == 0 && result.history.empty()));
    CHECK(log == Log{"a begin 0", "b begin 0", "a end 0", "b end 0"});
  }
  SECTION("stopped within an epoch, which then does not end") {
    const auto result = fit("step 1");
    CHECK((result.stopped && result.steps == 1 && result.history.empty()));
    CHECK(log == Log{"a begin 0", "b begin 0", "a step 1", "b step 1", "a end 1", "b end 1"});
  }
  SECTION("stopped at the last step of an epoch, which ends") {
    const auto result = fit("step 2");
    CHECK((result.stopped && result.history.size() == 1));
    CHECK(log == Log{"a begin 0", "b begin 0", "a step 1", "b step 1", "a step 2", "b step 2", "a epoch 2", "b epoch 2",
                     "a end 2", "b end 2"});
  }
  SECTION("stopped at the end of an epoch") {
    const auto result = fit("epoch 2");
    CHECK((result.stopped && result.steps == 2 && result.history.size() == 1));
    CHECK(log.back() == "b end 2");
  }
}

TEST_CASE("What a callback sees is right") {
  CountingLoader loader;
  const sm::TrainerOptions options{.epochs = 4,
                                   .optimizer = sm::AdamW{.lr = 0.02},
                                   .schedule = sm::WarmupCosine{.warmup = sm::Epochs{1}, .final_factor = 0.1},
                                   .monitor_every = 4};
  std::vector<sm::StepInfo> seen;
  double sum = 0;
  Simple method{.loss = [](const Tensor& weight, const sm::Batch& batch, const sm::StepContext&) {
    return weight.sum() + batch.ids.sum();
  }};
  sm::Trainer{method, options}.fit(loader, EachStep{[&](const sm::StepInfo& info) { seen.push_back(info); }});
  REQUIRE(seen.size() == 12);
  for (std::int64_t i = 0; i < 12; ++i) {
    const auto& info = seen[static_cast<std::size_t>(i)];
    INFO(i);
    CHECK((info.step == i + 1 && info.total_steps == 12 && info.epoch == i / 3 && info.epochs == 4));
    CHECK((info.batch == i % 3 + 1 && info.batches_per_epoch == 3));
    sum = info.batch == 1 ? info.loss : sum + info.loss;
    CHECK_THAT(info.mean_loss, WithinRel(sum / static_cast<double>(info.batch), 1e-12));
    CHECK_THAT(info.learning_rate, WithinRel(0.02 * options.schedule.factor({i, 12, 3}), 1e-12));
    CHECK_THAT(info.gradient_norm, WithinRel(2.0, 1e-6));
    CHECK(info.health_is_new == (info.step % 4 == 0 || info.batch == 3));
    CHECK((info.samples_per_second > 0 && info.data_wait_share >= 0 && info.data_wait_share <= 1 && info.seconds > 0 &&
           info.resident_mb > 10));
  }
  // after_step comes once a step, after the step was counted.
  REQUIRE(method.after->size() == 12);
  CHECK((method.after->at(4).step == 5 && method.after->at(4).epoch == 1 && method.after->at(4).total_steps == 12));
}

TEST_CASE("Gradients longer than clip_norm are scaled down to it, shorter ones are left") {
  for (const auto& [clip, expected] : {std::pair{0.5, 0.5}, std::pair{3.0, 2.0}, std::pair{0.0, 2.0}}) {
    CountingLoader loader;
    Simple method{.loss = [](const Tensor& weight, const sm::Batch&, const sm::StepContext&) { return weight.sum(); }};
    sm::Trainer{method, {.epochs = 1, .clip_norm = clip}}.fit(
        loader, EachStep{[&, &norm = expected](const sm::StepInfo& info) {
          CHECK_THAT(info.gradient_norm, WithinRel(2.0, 1e-6));  // before clipping
          CHECK_THAT(method.net->weight.grad().norm().item<double>(), WithinRel(norm, 1e-6));
        }});
  }
}

TEST_CASE("A loss that is not finite stops before anything is changed, naming step and samples") {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  Tensor before;
  CountingLoader loader;
  const auto fit = [&](Simple::Loss broken) {
    Simple method;
    method.loss = [&, good = method.loss, broken](const Tensor& weight, const sm::Batch& batch,
                                                  const sm::StepContext& context) {
      if (context.step < 4) return good(weight, batch, context);
      before = weight.detach().clone();
      return broken(weight, batch, context);
    };
    try {
      sm::Trainer{method, {.epochs = 3}}.fit(loader);
    } catch (const sm::NonFiniteError&) {
      CHECK(torch::equal(before, method.net->weight));
      CHECK(method.after->size() == 4);
      throw;
    }
  };
  CHECK_THROWS_MATCHES(
      fit([&](const Tensor& weight, const sm::Batch&, const sm::StepContext&) { return weight.sum() * nan; }),
      sm::NonFiniteError,
      Message(
          "the loss is nan at step 4 (epoch 1, batch 1; ids 10, 11): lower the learning rate, clip gradients, or look "
          "at these samples"));
  // A loss that is finite, with a gradient that is not: √ at 0.
  CHECK_THROWS_MATCHES(fit([](const Tensor& weight, const sm::Batch&, const sm::StepContext&) {
                         return (weight - weight.detach()).sqrt().sum();
                       }),
                       sm::NonFiniteError,
                       MessageMatches(ContainsSubstring("the gradient norm is inf at step 4") ||
                                      ContainsSubstring("the gradient norm is nan at step 4")));
}

TEST_CASE("A gradient that is not finite is skipped, its loss being finite, with one batch a step and with two") {
  const std::int64_t accumulate = GENERATE(1, 2);
  CountingLoader loader{.batches = 4, .gives = 4};
  Simple method;
  method.loss = [](const Tensor& weight, const sm::Batch& batch, const sm::StepContext& context) {
    const bool broken = context.step == 1 && batch.ids[0].item<std::int64_t>() % 20 == 10;  // the second of two
    return broken ? (weight - weight.detach()).sqrt().sum() : weight.sum();
  };
  std::vector<sm::StepInfo> seen;
  std::vector<Tensor> weights{method.net->weight.detach().clone()};
  const auto look = [&](const sm::StepInfo& info) {
    seen.push_back(info);
    weights.push_back(method.net->weight.detach().clone());
  };
  sm::Trainer{method, {.epochs = 2, .accumulate = accumulate, .optimizer = sm::Sgd{.lr = 0.1}, .skip_non_finite = 1}}
      .fit(loader, EachStep{look});
  REQUIRE(seen.size() == static_cast<std::size_t>(8 / accumulate));
  for (std::size_t i = 0; i < seen.size(); ++i) {
    INFO(i);
    CHECK(seen[i].skipped == (i == 1));
    CHECK(torch::equal(weights[i + 1], weights[i]) == (i == 1));
    if (i != 1) CHECK_THAT(seen[i].gradient_norm, WithinRel(2.0, 1e-6));  // nothing is left of the skipped gradient
  }
  CHECK_THAT(seen[1].note, ContainsSubstring("step 1 is skipped: the gradient norm is "));
  CHECK(method.after->size() == seen.size() - 1);
}

TEST_CASE("In half precision a gradient that is not finite halves the scale of the loss and is not counted") {
  CountingLoader loader{.batches = 20, .gives = 20};
  const Simple method{.loss = [](const Tensor& weight, const sm::Batch&, const sm::StepContext&) {
    return (weight - weight.detach()).sqrt().sum();
  }};
  // From 65,536 down to 1 are 16 halvings; then there is no scale to blame, and none may be skipped.
  CHECK_THROWS_MATCHES((sm::Trainer{method, {.epochs = 1, .precision = sm::Precision::fp16}}.fit(loader)),
                       sm::NonFiniteError,
                       MessageMatches(ContainsSubstring("the gradient norm is ") &&
                                      ContainsSubstring(" at step 16 (epoch 0, batch 16;")));
}

TEST_CASE("The message of a loss that is not finite names the first few of many samples") {
  auto loader =
      sm::DataLoader{Patches{}, sm::cass_views({.size = 16}), {.batch_size = 12, .workers = 0, .shuffle = false}};
  Simple method{
      .loss = [](const Tensor& weight, const sm::Batch&, const sm::StepContext&) { return weight.sum() * INFINITY; }};
  struct OneView : Simple {
    int views_required() const { return 1; }
  };
  CHECK_THROWS_MATCHES((sm::Trainer{OneView{method}, {.epochs = 1}}.fit(loader)), sm::NonFiniteError,
                       MessageMatches(ContainsSubstring("ids 100, 101, 102, 103, 104, 105, 106, 107 and 4 more")));
}

TEST_CASE("The scale of InfoNce stays in its bounds after each step") {
  auto loader = make_loader();
  const sm::InfoNce loss{{.temperature = 0.0101}};
  sm::ModalityGraph graph{sm::node("cnn", resnet(), {.out = 8}), sm::node("vit", vit(), {.out = 8}),
                          sm::edge("cnn", "vit", loss)};
  double largest = 0, moved = 0;
  sm::Trainer{graph, {.epochs = 2, .optimizer = sm::AdamW{.lr = 0.5}}}.fit(
      loader, EachStep{[&](const sm::StepInfo&) {
        largest = std::max(largest, loss.scale());
        moved = std::max(moved, std::abs(loss.scale() - 1 / 0.0101));
      }});
  CHECK(moved > 1);
  CHECK(largest <= 100.001);
}

TEST_CASE("Training in bf16 comes close to training in fp32") {
  const auto losses = [](sm::Precision precision) {
    // 32 pixels: on a picture of one pixel, oneDNN's bf16 gradient of a 3 × 3 convolution of stride 2 is garbage
    // (LibTorch 2.13).
    sm::DataLoader loader{Patches{}, sm::cass_views({.size = 32}), {.batch_size = 6, .workers = 0, .seed = 3}};
    std::vector<double> all;
    // Linear heads: batch norm over six pictures would amplify the rounding.
    const sm::ModalityGraph graph{
        sm::node("cnn", resnet(), {.out = 8}), sm::node("vit", vit(0, 32), {.out = 8}),
        sm::edge("cnn", "vit", sm::CosineLoss{} + 0.5 * sm::InfoNce{sm::InfoNceOptions{.temperature = 1}})};
    sm::Trainer{graph, {.epochs = 1, .optimizer = sm::AdamW{.lr = 1e-3}, .precision = precision}}.fit(
        loader, EachStep{[&](const sm::StepInfo& info) { all.push_back(info.loss); }});
    return all;
  };
  const auto exact = losses(sm::Precision::fp32), half = losses(sm::Precision::bf16);
  REQUIRE(exact.size() == half.size());
  for (std::size_t i = 0; i < exact.size(); ++i) CHECK_THAT(half[i], WithinRel(exact[i], 2e-2));
  CHECK(exact != half);
}

TEST_CASE("CASS as published collapses and the monitor says so; the default does not") {
  struct OneBatch {
    sm::Batch batch;
    bool given = false;
    void start_epoch(std::int64_t, std::int64_t, int) { given = false; }
    std::optional<sm::Batch> next() { return std::exchange(given, true) ? std::nullopt : std::optional{batch}; }
    std::int64_t batches_per_epoch() const { return 1; }
  };
  const sm::TorchSeedScope seeded{1};
  OneBatch loader;
  loader.batch.views = {torch::randn({32, 3, 1, 1}) + 0.3 * torch::randn({32, 3, 16, 16})};
  loader.batch.ids = torch::arange(32);
  const auto health = [&](const sm::ModalityGraph& method) {
    return sm::Trainer{method, {.epochs = 80, .optimizer = sm::AdamW{.lr = 0.01}}}.fit(loader).history.back().health;
  };
  const auto reference = health(sm::cass_reference(resnet(8), vit(8)));
  REQUIRE(reference.size() == 2);
  for (const auto& node : reference) {
    INFO(node.name << ": deviation " << node.deviation << ", rank " << node.effective_rank);
    CHECK_THAT(node.warning, ContainsSubstring(node.name + " has collapsed"));
  }
  for (const auto& node : health(tiny_cass())) {
    INFO(node.name << ": deviation " << node.deviation << ", rank " << node.effective_rank);
    CHECK(node.warning.empty());
    CHECK(node.deviation > 0.5);
  }
}

TEST_CASE("Options and loaders that cannot work are refused") {
  CountingLoader loader;
  const auto refused = [&](const sm::TrainerOptions& options, const std::string& what) {
    CHECK_THROWS_MATCHES((sm::Trainer{Simple{}, options}.fit(loader)), sm::InvalidArgument,
                         MessageMatches(ContainsSubstring(what)));
  };
  refused({.epochs = 0}, "TrainerOptions::epochs is 0; it must be at least 1");
  refused({.clip_norm = -1}, "TrainerOptions::clip_norm is -1");
  refused({.clip_norm = NAN}, "TrainerOptions::clip_norm is nan");
  refused({.monitor_every = 0}, "TrainerOptions::monitor_every is 0");
  refused({.schedule = sm::WarmupCosine{.warmup = sm::Epochs{-1}}}, "WarmupCosine::warmup is -1");
  refused({.schedule = sm::WarmupCosine{.final_factor = NAN}},
          "WarmupCosine::final_factor is nan; it must be in [0, 1]");
  refused({.optimizer = sm::AdamW{.lr = -1}}, "AdamW::lr is -1");
  refused({.device = "gpu"}, "\"gpu\" is no device: use \"cpu\", \"cuda\" or \"cuda:1\"");
  loader.batches = 0;
  refused({}, "the loader has no batch: give it more samples or a smaller batch_size");
  loader.batches = 4;
  refused({}, "the loader ended epoch 0 after 3 of 4 batches");
}

TEST_CASE("A method that gives no 0-d loss is refused") {
  CountingLoader loader;
  Simple method{.loss = [](const Tensor& weight, const sm::Batch&, const sm::StepContext&) { return weight * 2; }};
  CHECK_THROWS_MATCHES((sm::Trainer{method, {}}.fit(loader)), sm::InvalidArgument,
                       Message("the method returned a loss of shape (2, 2); it must be 0-d: take its mean"));
}

TEST_CASE("After fit() the method is in evaluation mode") {
  CountingLoader loader;
  const Simple method;
  sm::Trainer{method, {.epochs = 1}}.fit(loader,
                                         EachStep{[&](const sm::StepInfo&) { CHECK(method.net->is_training()); }});
  CHECK_FALSE(method.net->is_training());
}
