// The law of gathering: W ranks are one rank on the concatenated batch. Two real processes over Gloo.
#include <sslmeme/core/error.hpp>
#include <sslmeme/loss/barlow_twins.hpp>
#include <sslmeme/loss/compose.hpp>
#include <sslmeme/loss/cosine.hpp>
#include <sslmeme/loss/dino.hpp>
#include <sslmeme/loss/gather.hpp>
#include <sslmeme/loss/info_nce.hpp>
#include <sslmeme/loss/koleo.hpp>
#include <sslmeme/loss/label_losses.hpp>
#include <sslmeme/loss/moco.hpp>
#include <sslmeme/loss/nt_xent.hpp>
#include <sslmeme/loss/predictive.hpp>
#include <sslmeme/loss/retrieval_guided.hpp>
#include <sslmeme/loss/sigmoid.hpp>
#include <sslmeme/loss/soft_target_clip.hpp>
#include <sslmeme/loss/supervised_contrastive.hpp>
#include <sslmeme/loss/swav.hpp>
#include <sslmeme/loss/vicreg.hpp>
#include <sslmeme/method/dino.hpp>
#include <sslmeme/method/recipes.hpp>
#include <sslmeme/train/distributed.hpp>

#include <torch/autograd.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <array>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <vector>

#include "close_to.hpp"
#include "ranks.hpp"

namespace sm = sslmeme;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using sm::Tensor;
using sm::test::AllCloseTo;

namespace {

constexpr std::int64_t each = 3, in = 6, out = 5;
constexpr sm::test::Tolerance law{1e-10, 1e-12};

std::shared_ptr<const sm::ProcessGroup> connect() {
  auto options = sm::ranks_from_environment();
  REQUIRE(options);
  options->interface_address = "127.0.0.1";
  options->timeout = std::chrono::seconds{20};
  return sm::connect_ranks(*options);
}

/// This rank's rows of what all have.
Tensor own(const Tensor& all, const sm::ProcessGroup& group) {
  const auto n = all.size(0) / group.size();
  return all.narrow(0, group.rank() * n, n);
}

Tensor mean_over_ranks(const Tensor& x, const sm::ProcessGroup& group) {
  return group.all_reduce_sum(x) / group.size();
}

/// What a step makes of a loss: value, gradients of the encoder's weight and of the loss's parameters.
struct Outcome {
  Tensor total;
  std::vector<Tensor> gradients;
  sm::NamedTensors observed;
};

Outcome differentiate(const sm::LossOutput& output, const Tensor& weight, const sm::AnyPairLoss* loss = nullptr) {
  std::vector<Tensor> variables{weight};
  if (loss != nullptr && loss->module()) {
    for (const auto& parameter : loss->module()->parameters()) variables.push_back(parameter);
  }
  return {output.total.detach(), torch::autograd::grad({output.total}, variables, {}, true), output.observed};
}

void check_equal(const Outcome& of_rank, const Outcome& of_all, const sm::ProcessGroup& group) {
  CHECK_THAT(mean_over_ranks(of_rank.total, group), AllCloseTo(of_all.total, law));
  REQUIRE(of_rank.gradients.size() == of_all.gradients.size());
  for (std::size_t i = 0; i < of_all.gradients.size(); ++i)
    CHECK_THAT(mean_over_ranks(of_rank.gradients[i], group), AllCloseTo(of_all.gradients[i], law));
}

struct Case {
  std::string name;
  std::function<sm::AnyPairLoss()> make;
  bool mean_over_pairs = false;  ///< exact without gathering
};

std::vector<Case> cases() {
  return {
      {"cosine", [] { return sm::CosineLoss{}; }, true},
      {"info_nce", [] { return sm::InfoNce{}; }},
      {"info_nce, duplicates masked", [] { return sm::InfoNce{{.mask_duplicates = true}}; }},
      {"nt_xent", [] { return sm::NtXent{}; }},
      {"nt_xent, duplicates masked", [] { return sm::NtXent{.mask_duplicates = true}; }},
      {"sigmoid", [] { return sm::SigmoidLoss{{.scale = 2, .bias = -1}}; }},
      {"sigmoid, duplicates masked", [] { return sm::SigmoidLoss{{.scale = 2, .bias = -1, .mask_duplicates = true}}; }},
      {"soft_target_clip", [] { return sm::SoftTargetClip{}; }},
      {"byol", [] { return sm::ByolLoss{}; }, true},
      {"simsiam", [] { return sm::SimSiamLoss{}; }, true},
      {"barlow_twins", [] { return sm::BarlowTwins{}; }},
      {"vicreg", [] { return sm::VicReg{}; }},
      {"koleo", [] { return sm::KoLeo{}; }},
      {"moco", [] { return sm::MocoLoss{{.queue = 16, .dim = out}}; }, true},
      {"moco_v3", [] { return sm::MocoV3Loss{}; }},
      {"stop_gradient", [] { return sm::StopGradient{sm::InfoNce{}}; }},
      {"predicted", [] { return sm::Predicted{sm::CosineLoss{}, {.dim = out, .hidden = 4}}; }},
      {"a sum",
       [] { return sm::InfoNce{} + 0.1 * sm::KoLeo{} + sm::MocoLoss{{.queue = 16, .dim = out}} + sm::CosineLoss{}; }}};
}

void check_pair_loss(const Case& which, sm::GatherPolicy policy, const std::shared_ptr<const sm::ProcessGroup>& group) {
  INFO(which.name << ", policy " << static_cast<int>(policy));
  torch::manual_seed(7);
  const auto n = each * group->size();
  const auto weight = torch::randn({in, out}, torch::kDouble).requires_grad_();
  const auto ids = torch::tensor({0, 1, 2, 1, 4, 0}, torch::kLong);  // across ranks too
  auto of_all = which.make(), part = which.make();
  for (auto* loss : {&of_all, &part}) {
    if (loss->module()) loss->module()->to(torch::kDouble);
  }
  sm::AnyPairLoss of_rank = sm::Gathered{part, {group, policy}};
  for (int step = 0; step < 4; ++step) {  // the queue of 16 goes round
    const auto a = torch::randn({n, in}, torch::kDouble), b = a + torch::randn({n, in}, torch::kDouble);
    const auto project = [&](const Tensor& x) { return torch::matmul(x, weight); };
    const auto expected = differentiate(of_all(project(a), project(b), {ids}), weight, &of_all);
    const auto actual =
        differentiate(of_rank(project(own(a, *group)), project(own(b, *group)), {own(ids, *group)}), weight, &of_rank);
    check_equal(actual, expected, *group);
    of_all.update({}, expected.observed);
    of_rank.update({}, actual.observed);
  }
  if (!of_all.module()) return;
  const auto states = of_rank.module()->named_buffers();
  for (const auto& buffer : of_all.module()->named_buffers()) {
    INFO(buffer.key());
    CHECK_THAT(states[buffer.key()], AllCloseTo(buffer.value(), law));
  }
}

}  // namespace

TEST_CASE("One of two ranks: every pair loss", "[.pair_losses]") {
  const auto group = connect();
  for (const auto& which : cases()) {
    if (which.mean_over_pairs) check_pair_loss(which, sm::GatherPolicy::none, group);
    check_pair_loss(which, sm::GatherPolicy::global, group);
    check_pair_loss(which, sm::GatherPolicy::local, group);
  }
}

TEST_CASE("One of two ranks: losses of labels, of several views, and their running state", "[.other_losses]") {
  const auto group = connect();  // once: a second store on the same port could meet the first one's last breath
  torch::manual_seed(8);
  const auto n = each * group->size();
  const auto x = torch::randn({n, in}, torch::kDouble);
  const auto labels = torch::tensor({0, 1, 0, 0, 1, 1}, torch::kLong);
  const auto weight = torch::randn({in, out}, torch::kDouble).requires_grad_();
  const auto mine = own(labels, *group);
  const auto z = torch::matmul(x, weight), of_rank = torch::matmul(own(x, *group), weight);
  const auto compare = [&](const char* name, const Tensor& actual, const Tensor& expected) {
    INFO(name);
    check_equal(differentiate({actual, {}, {}}, weight), differentiate({expected, {}, {}}, weight), *group);
  };
  compare("sup_con", sm::SupCon{}(sm::all_gather(of_rank, group), group->all_gather(mine)), sm::SupCon{}(z, labels));
  const auto logit = [](const Tensor& of) { return of.select(1, 0); };
  compare("binary", sm::BinaryCrossEntropy{}(logit(of_rank), mine), sm::BinaryCrossEntropy{}(logit(z), labels));
  compare("focal", sm::FocalLoss{}(logit(of_rank), mine), sm::FocalLoss{}(logit(z), labels));
  compare("cross_entropy", sm::CrossEntropy{}(of_rank, mine), sm::CrossEntropy{}(z, labels));

  // The anchors that have a positive are one on rank 0, two on rank 1.
  const sm::RetrievedExamples found{
      torch::randn({n, 2, out}, torch::kDouble), torch::randn({n, 3, out}, torch::kDouble),
      torch::arange(2 * n).view({n, 2}) % 7 < 2, torch::arange(3 * n).view({n, 3}) % 4 > 0};
  const auto gathered = [&](const Tensor& all) { return group->all_gather(own(all, *group)); };
  const sm::RetrievedExamples found_by_all{gathered(found.positives), gathered(found.negatives),
                                           gathered(found.has_positive), gathered(found.has_negative)};
  for (const auto& loss : {sm::RetrievalGuidedLoss{}, sm::retrieval_guided_reference()}) {
    compare("rgcl", loss(sm::all_gather(of_rank, group), group->all_gather(mine), found_by_all),
            loss(z, labels, found));
  }

  const auto two_views = [](const Tensor& of) {
    return std::vector<Tensor>{sm::l2_normalize(of), sm::l2_normalize(of * 0.5 + 0.1)};
  };
  compare("swav", sm::SwavLoss{.sinkhorn = {.group = group}}(two_views(of_rank), 2), sm::SwavLoss{}(two_views(z), 2));

  INFO("dino");
  sm::DinoLoss together{{.prototypes = out}}, alone{{.prototypes = out}};
  for (auto* loss : {&together, &alone}) loss->module()->to(torch::kDouble);
  for (int step = 0; step < 3; ++step) {
    const auto views = [](const Tensor& of) { return torch::stack({of, of * 0.7 + 0.2, of.square()}); };
    const auto teacher = torch::randn({2, n, out}, torch::kDouble);
    const auto expected = together(views(z), teacher);
    const auto actual = alone(views(of_rank), teacher.narrow(1, group->rank() * each, each));
    check_equal(differentiate(actual, weight), differentiate(expected, weight), *group);
    together.update({}, expected.observed);
    alone.update({}, sm::all_gather(actual.observed, *group));
  }
  CHECK_THAT(alone.center(), AllCloseTo(together.center(), law));
  CHECK(alone.center().abs().max().item<double>() > 0);
}

TEST_CASE("One of two ranks: recipes", "[.recipes]") {
  const auto group = connect();
  torch::manual_seed(9);
  const auto n = each * group->size();
  sm::Batch all;
  for (int view = 0; view < 3; ++view) all.views.push_back(torch::randn({n, 3, 16, 16}, torch::kDouble));
  all.tokens = torch::randint(5, 30, {n, 7}, torch::kLong);
  all.mask = torch::ones({n, 7}, torch::kBool);
  all.ids = torch::arange(n);
  sm::Batch mine{{}, own(all.tokens, *group), own(all.mask, *group), {}, own(all.ids, *group)};
  for (const auto& view : all.views) mine.views.push_back(own(view, *group));

  // Batch norm within encoders and projections takes the statistics of one rank: evaluation has none.
  const auto check = [&](const char* name, auto together, auto alone) {
    INFO(name);
    std::vector<Outcome> outcomes;
    for (auto* method : {&together, &alone}) {
      method->module()->to(torch::kDouble);
      method->module()->eval();
      std::vector<Tensor> learning;
      for (const auto& parameter : method->module()->parameters()) {
        if (parameter.requires_grad()) learning.push_back(parameter);
      }
      const sm::StepContext context{.step = 0, .total_steps = 10, .epoch = 2};
      const auto output = method->step(method == &together ? all : mine, context);
      outcomes.push_back(
          {output.total.detach(), torch::autograd::grad({output.total}, learning, {}, true, false, true), {}});
      for (std::size_t i = 0; i < learning.size(); ++i) {
        auto& gradient = outcomes.back().gradients[i];
        if (!gradient.defined()) gradient = torch::zeros_like(learning[i]);
      }
      method->after_step({.step = 1, .total_steps = 10, .epoch = 2}, output);
    }
    check_equal(outcomes[1], outcomes[0], *group);
    const auto states = alone.module()->named_buffers();
    for (const auto& buffer : together.module()->named_buffers())
      CHECK_THAT(states[buffer.key()], AllCloseTo(buffer.value(), law));
  };
  const auto cnn = [] { return sm::image_encoder("resnet18", {.width = 2, .depth = 1, .seed = 1}); };
  const auto vit = [] {
    return sm::image_encoder("vit_tiny_patch16_224",
                             {.image_size = 16, .patch_size = 8, .width = 12, .depth = 1, .seed = 2});
  };
  const auto text = [] {
    return sm::text_encoder("bert_base",
                            {.vocabulary_size = 30, .max_tokens = 7, .width = 12, .depth = 1, .dropout = 0});
  };
  const sm::Gather gather{group}, none;
  check("clip", sm::clip(vit(), text()), sm::clip(vit(), text(), {.gather = gather}));
  const auto siamese = [](const sm::Gather& policy) {
    return sm::SiameseRecipeOptions{.dim = 8, .hidden = 6, .gather = policy};
  };
  check("simclr", sm::simclr(vit(), siamese(none)), sm::simclr(vit(), siamese(gather)));
  check("simsiam", sm::simsiam(vit(), siamese(none)), sm::simsiam(vit(), siamese(gather)));
  check("byol", sm::byol(vit(), vit(), siamese(none)), sm::byol(vit(), vit(), siamese(gather)));
  check("moco_v3", sm::moco_v3(vit(), vit(), siamese(none)), sm::moco_v3(vit(), vit(), siamese(gather)));
  check("cass", sm::cass(cnn(), vit(), {.dim = 8}), sm::cass(cnn(), vit(), {.dim = 8, .gather = gather}));
  check("cass_mm", sm::cass_mm(cnn(), vit(), text(), {.dim = 8}),
        sm::cass_mm(cnn(), vit(), text(), {.dim = 8, .gather = gather}));
  check("cass_mm_fused", sm::cass_mm_fused(cnn(), vit(), text(), {.dim = 8, .modality_dropout = 0}),
        sm::cass_mm_fused(cnn(), vit(), text(), {.dim = 8, .modality_dropout = 0, .gather = gather}));
  {
    INFO("modality dropout: the same rows on every rank, so that what is left can be gathered");
    auto method = sm::cass_mm(cnn(), vit(), text(), {.dim = 8, .modality_dropout = 0.5, .gather = gather});
    method.module()->to(torch::kDouble);
    for (std::int64_t step = 0; step < 4; ++step) {
      const auto output = method.step(mine, {.step = step, .total_steps = 10});
      output.total.backward();
      CHECK(std::isfinite(output.total.item<double>()));
    }
  }
  const auto distilled = [](const std::shared_ptr<const sm::ProcessGroup>& over) {
    return sm::DinoMethodOptions{.head = {.prototypes = 9, .hidden = 8, .bottleneck = 4}, .views = 3, .group = over};
  };
  check("dino", sm::dino(vit(), distilled(nullptr)), sm::dino(vit(), distilled(group)));
}

TEST_CASE("One of two ranks: batches of different sizes", "[.uneven]") {
  const auto group = connect();
  const auto z = torch::randn({2 + group->rank(), 4});
  const sm::Gathered loss{sm::InfoNce{}, {group, sm::GatherPolicy::global}};
  CHECK_THROWS_MATCHES(loss(z, z), sm::InvalidArgument,
                       MessageMatches(ContainsSubstring("give all ranks batches of one size")));
}

TEST_CASE("One of two ranks: the other is gone", "[.gone]") {
  const auto group = connect();
  if (group->rank() == 1) std::_Exit(0);
  const auto begin = std::chrono::steady_clock::now();
  CHECK_THROWS_MATCHES(group->all_gather(torch::zeros({2, 2})), sm::Error,
                       MessageMatches(ContainsSubstring("rank 0 of 2: all_gather failed")));
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds{25});
}

TEST_CASE("Two ranks are one rank on the concatenated batch: value, gradient and running state of every pair loss") {
  CHECK(sm::test::run_ranks("[.pair_losses]", 2) == std::vector{0, 0});
}

TEST_CASE("Two ranks are one rank: losses of labels and of several views") {
  CHECK(sm::test::run_ranks("[.other_losses]", 2) == std::vector{0, 0});
}

TEST_CASE("Two ranks are one rank: recipes") {
  CHECK(sm::test::run_ranks("[.recipes]", 2) == std::vector{0, 0});
}

TEST_CASE("Ranks with batches of different sizes are told so") {
  CHECK(sm::test::run_ranks("[.uneven]", 2) == std::vector{0, 0});
}

TEST_CASE("A lost rank is an error, not a wait for ever") {
  CHECK(sm::test::run_ranks("[.gone]", 2) == std::vector{0, 0});
}

TEST_CASE("A rank alone, or without a group, computes its own pairs") {
  const auto a = torch::randn({4, 5}), b = torch::randn({4, 5});
  const sm::InfoNce loss;
  CHECK(torch::equal(sm::Gathered{loss, {}}(a, b).total, loss(a, b)));
  const auto one =
      sm::connect_ranks({.port = static_cast<std::uint16_t>(sm::test::free_port()), .interface_address = "127.0.0.1"});
  CHECK(one->size() == 1);
  CHECK(torch::equal(one->all_gather(a), a));
  CHECK(torch::equal(sm::Gathered{loss, {one}}(a, b).total, loss(a, b)));
}

TEST_CASE("Ranks that cannot be are refused") {
  const auto refused = [](const sm::RankOptions& options, const std::string& what) {
    CHECK_THROWS_MATCHES(sm::connect_ranks(options), sm::InvalidArgument, MessageMatches(ContainsSubstring(what)));
  };
  refused({.rank = 2, .size = 2}, "rank 2 of 2 ranks");
  refused({.timeout = std::chrono::milliseconds{0}}, "timeout is 0 ms");
  ::setenv("WORLD_SIZE", "two", 1);
  CHECK_THROWS_MATCHES(sm::ranks_from_environment(), sm::InvalidArgument,
                       MessageMatches(ContainsSubstring("RANK is not: start with torchrun")));
  ::setenv("RANK", "0", 1);
  CHECK_THROWS_MATCHES(sm::ranks_from_environment(), sm::InvalidArgument,
                       MessageMatches(ContainsSubstring("WORLD_SIZE is \"two\"")));
  ::unsetenv("RANK");
  ::unsetenv("WORLD_SIZE");
  CHECK_FALSE(sm::ranks_from_environment());
}
