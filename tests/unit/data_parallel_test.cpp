// The law of training over several processes: W ranks train as one does with batches W times as large. Real processes
// over Gloo.
#include <sslmeme/core/error.hpp>
#include <sslmeme/method/recipes.hpp>
#include <sslmeme/method/supervised.hpp>
#include <sslmeme/train/distributed.hpp>
#include <sslmeme/train/logs.hpp>

#include <unistd.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <cmath>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "close_to.hpp"
#include "files.hpp"
#include "ranks.hpp"
#include "tiny_run.hpp"

namespace sm = sslmeme;
namespace fs = std::filesystem;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using sm::Tensor;
using sm::test::AllCloseTo;

namespace {

constexpr sm::test::Tolerance law{1e-9, 1e-11};
constexpr std::int64_t each = 4;
constexpr double clip_norm = 0.2;
using sm::test::batches;

std::shared_ptr<const sm::ProcessGroup> connect() {
  auto options = sm::ranks_from_environment();
  REQUIRE(options);
  options->timeout = std::chrono::seconds{20};
  return sm::connect_ranks(*options);
}

constexpr const char* folder_variable = "SSLMEME_TEST_FOLDER";

/// A folder that both ranks know.
fs::path shared_folder() {
  return std::getenv(folder_variable);
}

/// Batches of noise in double, of which this loader gives the rows that a rank has.
struct Rows {
  std::int64_t rank, ranks;  ///< of one rank alone, all rows
  std::optional<std::int64_t> poisoned = {};
  std::int64_t next_batch = 0;

  void start_epoch(std::int64_t /*epoch*/, std::int64_t first, int /*views*/) { next_batch = first; }
  std::int64_t batches_per_epoch() const { return batches; }
  std::optional<sm::Batch> next() {
    if (next_batch == batches) return {};
    const sm::TorchSeedScope seeded{static_cast<std::uint64_t>(next_batch)};
    const auto n = 2 * each;
    const auto rows = [&](const Tensor& all) { return all.narrow(0, rank * n / ranks, n / ranks); };
    sm::Batch batch;
    for (int view = 0; view < 2; ++view) batch.views.push_back(rows(torch::randn({n, 3, 16, 16}, torch::kDouble)));
    if (poisoned == next_batch) batch.views[0].fill_(std::numeric_limits<double>::quiet_NaN());
    batch.tokens = rows(torch::randint(1, 30, {n, 8}));
    batch.mask = torch::ones_like(batch.tokens, torch::kBool);
    batch.labels = rows(torch::arange(n) % 2);
    batch.ids = rows(torch::arange(n) + next_batch++ * n);
    return batch;
  }
};

sm::ImageEncoder vit(std::uint64_t seed) {
  return sm::image_encoder("vit_tiny_patch16_224",
                           {.image_size = 16, .patch_size = 8, .width = 12, .depth = 1, .seed = seed});
}
sm::TextEncoder bert(std::uint64_t seed) {
  return sm::text_encoder(
      "minilm_l6", {.vocabulary_size = 30, .max_tokens = 8, .width = 24, .depth = 1, .dropout = 0, .seed = seed});
}
sm::Supervised classifier(std::uint64_t seed) {
  return {vit(seed),
          bert(seed),
          {.fusion = {.norm = sm::FusionNorm::l2,
                      .dim = 8,
                      .map_dropout = 0,
                      .fusion_dropout = 0,
                      .layer_dropout = 0,
                      .seed = seed}}};
}

sm::TrainerOptions how(std::int64_t accumulate, std::shared_ptr<const sm::ProcessGroup> group = nullptr) {
  return {.epochs = 2,
          .accumulate = accumulate,
          .optimizer = sm::Sgd{.lr = 0.2},
          .average = sm::WeightAverage{.decay = 0.9},
          .clip_norm = clip_norm,
          .ranks = std::move(group)};
}

/// The numbers of one rank are those of the other.
void check_same_on_all(const sm::NamedTensors& state, const sm::ProcessGroup& group) {
  for (const auto& [name, tensor] : state) {
    INFO(name);
    const auto all = group.all_gather(tensor.detach().reshape({1, -1}));
    CHECK(torch::equal(all[0], all[1]));
  }
}

/// Records what of a run the law is about besides weights.
struct Record {
  double* largest_norm;
  void on_step_end(const sm::StepInfo& info) const { *largest_norm = std::max(*largest_norm, info.gradient_norm); }
};

/// The averaged weights at the end of a run.
struct KeepAverage {
  std::shared_ptr<torch::nn::Module> module;
  sm::NamedTensors* kept;
  void on_fit_end(const sm::StepInfo& info) const {
    info.session->with_average([&] { *kept = sm::test::copy_of_state(*module); });
  }
};

/// make(gather): a method. Ranks begin with different weights, and train with those of rank 0.
template <class Make>
void check_law(const std::shared_ptr<const sm::ProcessGroup>& group, const char* name, std::int64_t accumulate,
               const Make& make) {
  INFO(name << ", " << accumulate << " batches a step");
  auto alone = make(sm::Gather{}), together = make(sm::Gather{group});
  for (auto* method : {&alone, &together}) method->module()->to(torch::kDouble);
  if (group->rank() == 1) {
    const torch::NoGradGuard no_grad;
    for (auto& parameter : together.module()->parameters()) parameter.mul_(0.5);
  }
  Rows all{0, 1}, mine{group->rank(), group->size()};
  double norm = 0, same_norm = 0;
  sm::NamedTensors average, same_average;
  const auto expected =
      sm::Trainer{alone, how(accumulate)}.fit(all, Record{&norm}, KeepAverage{alone.module(), &average});
  const auto result = sm::Trainer{together, how(accumulate, group)}.fit(mine, Record{&same_norm},
                                                                        KeepAverage{together.module(), &same_average});
  CHECK(norm > clip_norm);
  CHECK(std::abs(same_norm - norm) <= 1e-9 * norm);
  const auto check_equal = [](const sm::NamedTensors& actual, const sm::NamedTensors& wanted) {
    const auto states = sm::test::by_name(actual);
    for (const auto& [key, tensor] : wanted) {
      INFO(key);
      CHECK_THAT(states.at(key), AllCloseTo(tensor, law));
    }
  };
  check_equal(sm::state_of(*together.module()), sm::state_of(*alone.module()));
  check_equal(same_average, average);
  check_same_on_all(sm::state_of(*together.module()), *group);
  REQUIRE(result.history.size() == expected.history.size());
  for (std::size_t i = 0; i < expected.history.size(); ++i) {
    const auto &a = result.history[i], &b = expected.history[i];
    CHECK(std::abs(a.loss - b.loss) <= 1e-9 * std::abs(b.loss));
    REQUIRE(a.parts.size() == b.parts.size());
    for (std::size_t p = 0; p < a.parts.size(); ++p) {
      CHECK(a.parts[p].first == b.parts[p].first);
      CHECK(std::abs(a.parts[p].second - b.parts[p].second) <= 1e-6 * std::abs(b.parts[p].second) + 1e-9);
    }
  }
  CHECK(expected.history.back().loss != expected.history.front().loss);
}

}  // namespace

TEST_CASE("One of two ranks: the law", "[.law]") {
  const auto group = connect();
  for (const std::int64_t accumulate : {1, 2}) {
    check_law(group, "clip", accumulate,
              [](const sm::Gather& gather) { return sm::clip(vit(1), bert(1), {.dim = 8, .gather = gather}); });
    check_law(group, "cass_mm", accumulate, [](const sm::Gather& gather) {
      return sm::cass_mm(vit(1), vit(2), bert(1),
                         {.dim = 8, .projection = sm::ProjectionKind::linear, .modality_dropout = 0, .gather = gather});
    });
    check_law(group, "supervised", accumulate, [](const sm::Gather& /*gather*/) { return classifier(0); });
  }
}

namespace {

/// A method whose parameters are used by all ranks, by rank 1 alone, and by none.
struct Picky {
  std::int64_t rank;
  std::shared_ptr<torch::nn::Module> root = std::make_shared<torch::nn::Module>("picky");
  Tensor all = root->register_parameter("all", torch::zeros({4, 3, 3, 3}).to(torch::MemoryFormat::ChannelsLast)),
         wide = root->register_parameter("wide", torch::zeros({9 << 20})),  // fills a message by itself
      one = root->register_parameter("one", torch::zeros({2})),
         none = root->register_parameter("none", torch::ones({2})),
         frozen = root->register_parameter("frozen", torch::ones({2}), /*requires_grad=*/false);
  Tensor dice = {};

  sm::LossOutput step(const sm::Batch& /*batch*/, const sm::StepContext& /*context*/) {
    dice = torch::rand({1});
    const auto weights = torch::arange(108).view({4, 3, 3, 3});
    auto loss = (all * weights * (1 + rank)).sum() + wide.sum() * (2 * rank) + (frozen * all.sum()).sum() * 0;
    if (rank == 1) loss = loss + one.sum();
    return {loss, {}, {}};
  }
  std::shared_ptr<torch::nn::Module> module() const { return root; }
  int views_required() const { return 1; }
};

}  // namespace

TEST_CASE("One of two ranks: what the mean of gradients is", "[.mean]") {
  const auto group = connect();
  Picky method{group->rank()};
  Rows loader{group->rank(), group->size()};
  auto options = how(1, group);
  options.epochs = 1;
  options.optimizer = sm::Sgd{.lr = 1, .momentum = 0};
  options.clip_norm = 0;
  options.schedule = sm::Constant{};
  sm::Trainer trainer{method, options};
  trainer.fit(loader, sm::test::StopAt{1});
  CHECK_THAT(method.all, AllCloseTo(-1.5 * torch::arange(108).view({4, 3, 3, 3}), sm::test::Tolerance{1e-6, 1e-6}));
  CHECK(torch::equal(method.wide, torch::full_like(method.wide, -1)));
  CHECK(torch::equal(method.one, torch::full({2}, -0.5)));
  CHECK(torch::equal(method.none, torch::ones({2})));
  CHECK_FALSE(method.none.grad().defined());
  CHECK_FALSE(method.frozen.grad().defined());
  const auto dice = group->all_gather(trainer.method().dice);
  CHECK(dice[0].item<float>() != dice[1].item<float>());  // each rank's dropout is its own
}

TEST_CASE("One of two ranks: resume", "[.resume]") {
  const auto group = connect();
  const auto folder = shared_folder();
  const auto train = [&](const fs::path& run, sm::ExistingRun existing, auto... callbacks) {
    sm::DataLoader loader{sm::test::Noise{},
                          sm::cass_views({.size = 16}),
                          {.batch_size = 2, .workers = 1, .seed = 3, .rank = group->rank(), .ranks = 2}};
    auto options = sm::test::options(run, existing);
    options.ranks = group;
    options.average = sm::WeightAverage{.decay = 0.9};
    sm::Trainer trainer{sm::test::tiny_cass({.dim = 8, .gather = {group}}), options};
    auto result = trainer.fit(loader, sm::CsvLog{}, sm::TensorBoardLog{}, sm::Checkpoint{}, callbacks...);
    return sm::test::Trained{std::move(result), sm::test::copy_of_state(*trainer.method().module())};
  };
  const auto expected = train(folder / "whole", sm::ExistingRun::refuse);
  check_same_on_all(expected.state, *group);

  struct AskOnRankOne {  // one rank's wish holds for all
    sm::Flow on_step_end(const sm::StepInfo& info) const {
      return info.rank == 1 && info.step == 7 ? sm::Flow::interrupt : sm::Flow::proceed;
    }
  };
  const auto half = train(folder / "halved", sm::ExistingRun::refuse, AskOnRankOne{});
  CHECK(half.result.interrupted);
  CHECK(half.result.steps == 7);
  const auto resumed = train(folder / "halved", sm::ExistingRun::resume);
  sm::test::check_same(resumed, expected, folder / "halved");
  check_same_on_all(resumed.state, *group);
  if (group->rank() == 0) {
    CHECK(sm::test::names_in(folder / "whole") == std::set<std::string>{"checkpoints", "config.json", "epochs.csv",
                                                                        "log.jsonl", "model.safetensors",
                                                                        "average.safetensors", "tensorboard"});
    CHECK(sm::test::names_in(folder / "whole/tensorboard").size() == 1);
    CHECK(sm::test::json_of(folder / "whole/config.json").at("trainer").at("ranks") == 2);
  }
}

TEST_CASE("One of two ranks: a loss that is not finite", "[.not_finite]") {
  const auto group = connect();
  const auto train = [&](std::int64_t skip) {
    auto method = classifier(0);
    method.module()->to(torch::kDouble);
    Rows loader{group->rank(), group->size()};
    if (group->rank() == 1) loader.poisoned = 2;
    auto options = how(1, group);
    options.epochs = 1;
    options.skip_non_finite = skip;
    const auto result = sm::Trainer{method, options}.fit(loader);
    check_same_on_all(sm::state_of(*method.module()), *group);
    return result;
  };
  CHECK(train(1).steps == batches);
  const auto where = group->rank() == 0 ? "nan at step 2 (epoch 0, batch 2; on rank 1)" : "; ids 20, 21";
  CHECK_THROWS_MATCHES(train(0), sm::NonFiniteError, MessageMatches(ContainsSubstring(where)));
}

TEST_CASE("One of two ranks: what cannot be read", "[.unreadable]") {
  struct Torn : sm::test::Noise {
    sm::Sample get(std::size_t i) const {
      if (i % 9 == 4) throw sm::DataError("torn");
      return Noise::get(i);
    }
  };
  const auto group = connect();
  sm::DataLoader loader{Torn{},
                        sm::cass_views({.size = 16}),
                        {.batch_size = 2,
                         .workers = 1,
                         .unreadable = {sm::UnreadablePolicy::substitute, 1},
                         .rank = group->rank(),
                         .ranks = 2}};
  auto options = sm::test::options(shared_folder() / "run");
  options.epochs = 1;
  options.ranks = group;
  sm::Trainer{sm::test::tiny_cass({.dim = 8, .gather = {group}}), options}.fit(loader);
  const auto file = shared_folder() / "run" / sm::quarantine_file(group->rank());
  std::set<std::size_t> listed, met;
  if (fs::exists(file)) {
    for (const auto& line : sm::test::json_lines_of(file)) listed.insert(line.at("position").get<std::size_t>());
  }
  for (const auto& sample : loader.quarantine().samples) met.insert(sample.position);
  CHECK(listed == met);
  const auto met_by_any = group->all_reduce_sum(torch::tensor({static_cast<std::int64_t>(met.size())}));
  CHECK(met_by_any.item<std::int64_t>() >= 2);  // of positions 4 and 13, each on one rank or more
}

TEST_CASE("One of two ranks: another configuration", "[.configured]") {
  const auto group = connect();
  auto options = how(1, group);
  if (group->rank() == 1) options.clip_norm = 3;
  options.output_dir = shared_folder() / "run";
  Rows loader{group->rank(), group->size()};
  const auto refused = group->rank() == 0 ? "rank 0 of 2: " : "trainer/clip_norm is 0.2 on rank 0 and 3.0 on rank 1: ";
  CHECK_THROWS_MATCHES(sm::Trainer(classifier(0), options).fit(loader), sm::Error,
                       MessageMatches(ContainsSubstring(refused)));
  CHECK_FALSE(fs::exists(options.output_dir));
}

TEST_CASE("One of two ranks: a loader of all samples", "[.shares]") {
  const auto group = connect();
  auto options = how(1, group);
  auto loader = sm::test::make_loader();
  CHECK_THROWS_MATCHES(
      sm::Trainer(sm::test::tiny_cass(), options).fit(loader), sm::InvalidArgument,
      MessageMatches(ContainsSubstring("the loader gives the share of rank 0 of 1, and this is rank")));
}

TEST_CASE("One of two ranks: the other is killed", "[.killed]") {
  const auto group = connect();
  struct Kill {
    void on_step_end(const sm::StepInfo& info) const {
      if (info.rank == 1 && info.step == 3) ::kill(::getpid(), SIGKILL);
    }
  };
  auto options = how(1, group);
  options.output_dir = shared_folder() / "run";
  Rows loader{group->rank(), group->size()};
  auto method = classifier(0);
  method.module()->to(torch::kDouble);
  CHECK_THROWS_MATCHES((sm::Trainer{method, options}.fit(loader, sm::Checkpoint{.every_steps = 2}, Kill{})), sm::Error,
                       MessageMatches(ContainsSubstring("rank 0 of 2: ")));
  CHECK(sm::test::checkpoints_of(options.output_dir).size() == 1);
}

TEST_CASE("One of two ranks: after one was killed", "[.after_killed]") {
  const auto group = connect();
  auto options = how(1, group);
  options.output_dir = shared_folder() / "run";
  options.existing = sm::ExistingRun::resume;
  Rows loader{group->rank(), group->size()};
  auto method = classifier(0);
  method.module()->to(torch::kDouble);
  std::int64_t first = -1;
  struct First {
    std::int64_t* step;
    void on_fit_begin(const sm::StepInfo& info) const { *step = info.step; }
  };
  CHECK(sm::Trainer{method, options}.fit(loader, First{&first}).steps == 2 * batches);
  CHECK(first == 2);
  check_same_on_all(sm::state_of(*method.module()), *group);
}

namespace {

/// Runs the hidden cases, one after the other, in two processes that have a folder in common: the exit codes of each.
std::vector<std::vector<int>> run_two(const std::vector<std::string>& tags) {
  const sm::test::TemporaryFolder folder;
  ::setenv(folder_variable, folder.path.c_str(), 1);
  std::vector<std::vector<int>> codes;
  for (const auto& tag : tags) codes.push_back(sm::test::run_ranks(tag, 2));
  return codes;
}
bool pass_on_two(const std::string& tag) {
  return run_two({tag}).front() == std::vector{0, 0};
}

}  // namespace

TEST_CASE("Two ranks train as one does with batches twice as large, from the weights of the first") {
  CHECK(pass_on_two("[.law]"));
}

TEST_CASE("Two ranks resume together, where one of them asked for an end; one of them writes") {
  CHECK(pass_on_two("[.resume]"));
}

TEST_CASE("A loss that is not finite on one rank is one on all: they skip the step together, or end") {
  CHECK(pass_on_two("[.not_finite]"));
}

TEST_CASE("Each rank lists what it could not read") {
  CHECK(pass_on_two("[.unreadable]"));
}

TEST_CASE("The gradient is the mean over ranks, whoever has one; dice are each rank's own") {
  CHECK(pass_on_two("[.mean]"));
}

TEST_CASE("A rank that was configured otherwise is refused, naming the key") {
  CHECK(pass_on_two("[.configured]"));
}

TEST_CASE("A loader that gives every rank all samples is refused") {
  CHECK(pass_on_two("[.shares]"));
}

TEST_CASE("When a rank is killed the others end with an error, and both resume from a checkpoint") {
  CHECK(run_two({"[.killed]", "[.after_killed]"}) == std::vector<std::vector<int>>{{0, 128 + SIGKILL}, {0, 0}});
}
