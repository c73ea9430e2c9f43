// check_pair_loss passes what keeps the contract and names, by its own sentence, each way to break it.
#include <sslmeme/core/random.hpp>
#include <sslmeme/loss/barlow_twins.hpp>
#include <sslmeme/loss/compose.hpp>
#include <sslmeme/loss/cosine.hpp>
#include <sslmeme/loss/dino.hpp>
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
#include <sslmeme/testing/loss_contract.hpp>

#include <torch/autograd.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <memory>
#include <span>
#include <sstream>
#include <string>
#include <vector>

namespace sm = sslmeme;
using Catch::Matchers::ContainsSubstring;
using sm::Tensor;
using sm::testing::check_loss;
using sm::testing::check_pair_loss;
using sm::testing::ContractReport;
using sm::testing::LossArgument;
using sm::testing::LossClaims;

namespace {

std::string text_of(const ContractReport& report) {
  std::ostringstream text;
  text << report;
  return text.str();
}

Tensor squared(const Tensor& a, const Tensor& b) {
  return (a - b).pow(2).sum(1).mean();
}

/// The identity with a gradient that is twice too large.
struct DoubledGradient : torch::autograd::Function<DoubledGradient> {
  static Tensor forward(torch::autograd::AutogradContext* /*context*/, const Tensor& x) { return x.clone(); }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* /*context*/,
                                                 torch::autograd::variable_list grads) {
    return {2 * grads[0]};
  }
};

struct PerSample {
  Tensor operator()(const Tensor& a, const Tensor& b) const { return (a - b).pow(2).sum(1); }
};
struct WrongGradientA {
  Tensor operator()(const Tensor& a, const Tensor& b) const { return squared(DoubledGradient::apply(a), b); }
};
struct WrongGradientB {
  Tensor operator()(const Tensor& a, const Tensor& b) const { return squared(a, DoubledGradient::apply(b)); }
};
struct Detached {
  Tensor operator()(const Tensor& a, const Tensor& b) const { return squared(a.detach(), b.detach()); }
};
/// Has a gradient, but only to its own parameter.
struct DetachedWithParameter {
  Tensor scale = torch::ones({}, torch::dtype(torch::kDouble).requires_grad(true));
  Tensor operator()(const Tensor& a, const Tensor& b) const { return scale * squared(a.detach(), b.detach()); }
};
struct PerPair {
  Tensor operator()(const Tensor& a, const Tensor& b) const { return squared(a, b); }
};
struct CountingInState {
  struct State : torch::nn::Module {
    Tensor calls = register_buffer("calls", torch::zeros({}));
  };
  std::shared_ptr<State> state = std::make_shared<State>();
  Tensor operator()(const Tensor& a, const Tensor& b) const {
    state->calls.add_(1);
    return squared(a, b);
  }
  std::shared_ptr<torch::nn::Module> module() const { return state; }
};
struct Counting {
  std::shared_ptr<int> calls = std::make_shared<int>(0);
  Tensor operator()(const Tensor& a, const Tensor& b) const { return squared(a, b) * ++*calls; }
};
struct NormalisesInPlace {
  Tensor operator()(const Tensor& a, const Tensor& b) const {
    const torch::NoGradGuard no_grad;
    a.detach().div_(a.norm(2, 1, true));
    return squared(a, b);
  }
};
struct OrderDependent {
  Tensor operator()(const Tensor& a, const Tensor& b) const {
    return ((a - b).pow(2).sum(1) * torch::arange(a.size(0), a.options())).mean();
  }
};
struct Asymmetric {
  Tensor operator()(const Tensor& a, const Tensor& b) const { return squared(a, b) + a.pow(2).sum(1).mean(); }
};
struct NotFinite {
  Tensor operator()(const Tensor& a, const Tensor& b) const { return squared(a, b) / 0; }
};
struct Throws {
  Tensor operator()(const Tensor& a, const Tensor& /*b*/) const {
    throw sm::InvalidArgument("too few: " + sm::shape_string(a));
  }
};
/// Its gradient is half of what it should be, and small.
struct SmallHalfGradient {
  Tensor operator()(const Tensor& z_a, const Tensor& z_b) const {
    const auto x = (z_a * z_b.detach()).mean();
    return 0.5e-6 * (x + x.detach());
  }
};

/// That of its parameter is half.
struct HalfParameterGradient {
  struct State : torch::nn::Module {
    Tensor scale = register_parameter("scale", torch::ones({}));
  };
  std::shared_ptr<State> state = std::make_shared<State>();
  Tensor operator()(const Tensor& z_a, const Tensor& z_b) const {
    const auto scale = 0.5 * (state->scale + state->scale.detach());
    return (z_a * z_b).mean() * scale.to(z_a.scalar_type());
  }
  std::shared_ptr<torch::nn::Module> module() const { return state; }
};

/// Sums 2·N·D terms of alternating sign in the type it is given, and so loses bf16's eight bits.
struct ComputesInBf16 {
  Tensor operator()(const Tensor& a, const Tensor& b) const { return ((a + 1000) - (b + 1000)).pow(2).sum(1).mean(); }
};
/// Only z_a learns, as of a teacher.
struct StopsOneSide {
  Tensor operator()(const Tensor& a, const Tensor& b) const { return squared(a, b.detach()); }
};

template <class L>
void check_built_in(const L& loss, const LossClaims& claims) {
  const auto report = check_pair_loss(loss, claims);
  INFO(sm::AnyPairLoss{loss}.name() << " of " << claims.n << ": " << text_of(report));
  CHECK((report && text_of(report) == "keeps the contract of a pair loss"));
}

}  // namespace

TEST_CASE("The built-in losses keep the contract and what they claim") {
  for (const std::int64_t n : {1, 2, 6, 33}) {
    const LossClaims both{.symmetric = true, .scale_invariant = true, .n = n}, symmetric{.symmetric = true, .n = n};
    check_built_in(sm::CosineLoss{}, both);
    check_built_in(sm::InfoNce{}, both);
    check_built_in(sm::InfoNce{{.temperature = 0.5, .learned = false}}, both);
    check_built_in(sm::CosineLoss{} + 0.5 * sm::InfoNce{}, both);
    check_built_in(sm::NtXent{}, both);
    check_built_in(sm::SigmoidLoss{}, both);
    check_built_in(sm::SoftTargetClip{}, LossClaims{.n = n});
    // Of a product with a stopped gradient only the value is symmetric, and only one side's gradient flows.
    const LossClaims target{.symmetric = true, .scale_invariant = true, .target_b = true, .n = n};
    check_built_in(sm::ByolLoss{}, target);
    check_built_in(sm::SimSiamLoss{}, target);
    check_built_in(sm::MocoLoss{{.queue = 40, .dim = 5}},
                   LossClaims{.scale_invariant = true, .target_b = true, .n = n});
    check_built_in(sm::MocoV3Loss{}, LossClaims{.scale_invariant = true, .target_b = true, .n = n});
    check_built_in(sm::StopGradient{sm::InfoNce{}}, target);
    if (n < 2) continue;
    for (const auto& compared : {sm::AnyPairLoss{sm::CosineLoss{}}, sm::AnyPairLoss{sm::VicReg{}}})
      check_built_in(sm::Predicted{compared, {.dim = 5, .hidden = 7}}, LossClaims{.target_b = true, .n = n});
    check_built_in(sm::BarlowTwins{}, symmetric);
    check_built_in(sm::VicReg{}, symmetric);
    check_built_in(sm::KoLeo{}, both);
    check_built_in(sm::InfoNce{} + 0.1 * sm::KoLeo{}, both);
  }
}

TEST_CASE("Losses of labels and of several views keep the contract") {
  const sm::TorchSeedScope seeded{3};
  const auto check = [](const char* name, const auto& call, const std::vector<LossArgument>& arguments,
                        const std::shared_ptr<torch::nn::Module>& module = nullptr) {
    const auto report = check_loss(call, arguments, module);
    INFO(name << ": " << text_of(report));
    CHECK(report);
  };
  const auto of_labels = [](auto loss) { return [loss](std::span<const Tensor> x) { return loss(x[0], x[1]); }; };
  const auto guided = [](const sm::RetrievalGuidedLoss& loss) {
    return [loss](std::span<const Tensor> x) { return loss(x[0], x[1], {x[2], x[3]}); };
  };
  for (const std::int64_t n : {1, 2, 9}) {
    const std::vector<LossArgument> retrieved{
        {.name = "z", .value = torch::randn({n, 6}), .scale_invariant = true},
        {.name = "labels", .value = torch::arange(n) % 2, .learns = false},
        {.name = "positives", .value = torch::randn({n, 2, 6}), .learns = false, .scale_invariant = true},
        {.name = "negatives", .value = torch::randn({n, 3, 6}), .learns = false, .scale_invariant = true}};
    check("rgcl", guided({}), retrieved);
    check("rgcl, reference", guided({.form = sm::RetrievalGuidedForm::hinge, .margin = 3}), retrieved);
    const std::vector<LossArgument> binary{{.name = "logits", .value = 2 * torch::randn({n})},
                                           {.name = "labels", .value = torch::arange(n) % 2, .learns = false}};
    check("bce", of_labels(sm::BinaryCrossEntropy{.positive_weight = 3}), binary);
    check("focal", of_labels(sm::FocalLoss{}), binary);
    check("focal, weighted", of_labels(sm::FocalLoss{.gamma = 1.5, .alpha = 0.25, .positive_weight = 3}), binary);
    const LossArgument classes{.name = "labels", .value = torch::arange(n) % 4, .learns = false};
    check("cross-entropy", of_labels(sm::CrossEntropy{.label_smoothing = 0.1}),
          {{.name = "logits", .value = torch::randn({n, 4})}, classes});
    if (n < 5) continue;  // SupCon of samples that are all alone in their class is 0, without gradient
    const LossArgument vectors{.name = "z", .value = torch::randn({n, 6}), .scale_invariant = true};
    check("sup_con", of_labels(sm::SupCon{}), {vectors, classes});
    check("sup_con, reference", of_labels(sm::sup_con_reference()), {vectors, classes});
  }
  // The view that gives the codes is a target: no gradient flows through them.
  check("swav", [](std::span<const Tensor> x) { return sm::SwavLoss{}(x, 1); },
        {{.name = "codes", .value = torch::rand({9, 12}), .learns = false},
         {.name = "scores", .value = torch::rand({9, 12})}});
  const sm::DinoLoss dino{{.prototypes = 12}};
  dino.center().copy_(torch::randn({12}));
  for (const std::int64_t teachers : {1, 2, 3}) {
    check(
        "dino", [&dino](std::span<const Tensor> x) { return dino(x[0], x[1]); },
        {{.name = "student", .value = torch::randn({4, 5, 12}), .batch = 1},
         {.name = "teacher", .value = 0.1 * torch::randn({teachers, 5, 12}), .learns = false, .batch = 1}},
        dino.module());
  }
}

TEST_CASE("check_loss names what a loss of labels does wrong") {
  const std::vector<LossArgument> arguments{{.name = "logits", .value = torch::linspace(-1, 2, 6)},
                                            {.name = "weights", .value = torch::linspace(1, 2, 6), .learns = false}};
  const auto report_of = [&](auto value) {
    return text_of(check_loss([value](std::span<const Tensor> x) { return value(x[0], x[1]); }, arguments));
  };
  CHECK_THAT(report_of([](const Tensor& x, const Tensor& w) { return (x * w.detach()).square().mean(); }),
             ContainsSubstring("keeps the contract"));
  CHECK_THAT(report_of([](const Tensor& x, const Tensor& w) { return (x * w).square().mean(); }),
             ContainsSubstring("gradient flows to weights, which is claimed to be a target"));
  CHECK_THAT(
      report_of([](const Tensor& x, const Tensor& w) { return (DoubledGradient::apply(x) * w.detach()).mean(); }),
      ContainsSubstring("its gradient along a direction of logits is"));
  CHECK_THAT(report_of([](const Tensor& x, const Tensor& w) { return (x.detach() * w.detach()).mean(); }),
             ContainsSubstring("no gradient flows to logits"));
  const std::vector<LossArgument> both{{.name = "x", .value = torch::linspace(-1, 2, 6)},
                                       {.name = "y", .value = torch::linspace(1, 2, 6)}};
  CHECK_THAT(text_of(check_loss([](std::span<const Tensor> x) { return (x[0].detach() * x[1]).mean(); }, both)),
             ContainsSubstring("no gradient flows to x, as if it were detached"));
  CHECK_THAT(report_of([](const Tensor& x, const Tensor& /*w*/) { return x[0]; }),
             ContainsSubstring("it is not blind to the order of the batch"));
  CHECK_THROWS_AS(
      check_loss([](std::span<const Tensor> x) { return x[0].sum(); }, {{.name = "labels", .value = torch::arange(3)}}),
      sm::InvalidArgument);
}

TEST_CASE("A loss that learns on one side alone keeps the contract when it says so") {
  CHECK(check_pair_loss(StopsOneSide{}, {.target_b = true}));
  CHECK(check_pair_loss(StopsOneSide{}, {.both_learn = false}));
}

TEST_CASE("Each way to break the contract has its own message") {
  const auto only = [](const ContractReport& report, const char* message) {
    INFO(text_of(report));
    CHECK_FALSE(report);
    REQUIRE(report.failures.size() == 1);
    CHECK_THAT(report.failures.front(), ContainsSubstring(message));
    CHECK_THAT(text_of(report), ContainsSubstring("breaks the contract: "));
  };
  SECTION("not 0-d") {
    only(check_pair_loss(PerSample{}), "it returns (6); it must be 0-d: take the mean over the batch");
  }
  SECTION("a target that learns") {
    only(check_pair_loss(PerPair{}, {.target_b = true}), "gradient flows to z_b, which is claimed to be a target");
  }
  SECTION("running state moved by the call") {
    only(check_pair_loss(CountingInState{}), "it changes its state");
  }
  SECTION("gradient of z_a") {
    only(check_pair_loss(WrongGradientA{}), "its gradient along a direction of z_a is");
  }
  SECTION("gradient of z_b") {
    only(check_pair_loss(WrongGradientB{}), "its gradient along a direction of z_b is");
  }
  SECTION("a small gradient") {
    only(check_pair_loss(SmallHalfGradient{}, {.target_b = true}), "its gradient along a direction of z_a is");
  }
  SECTION("gradient of a parameter") {
    const HalfParameterGradient half;
    only(check_pair_loss(half), "its gradient along a direction of its parameter scale is");
    CHECK(half.state->scale.item<float>() == 1);  // as it was
  }
  SECTION("no gradient") {
    only(check_pair_loss(Detached{}), "no gradient flows to z_a or z_b");
  }
  SECTION("no gradient but its own") {
    only(check_pair_loss(DetachedWithParameter{}), "no gradient flows to z_a or z_b");
    only(check_pair_loss(Detached{}, {.both_learn = false}), "no gradient flows to z_a or z_b");
  }
  SECTION("a side that lost its gradient") {
    only(check_pair_loss(StopsOneSide{}), "no gradient flows to z_b, as if it were detached");
  }
  SECTION("side effect") {
    only(check_pair_loss(Counting{}), "a second call gives another value: a call must have no side effect");
  }
  SECTION("inputs changed") {
    only(check_pair_loss(NormalisesInPlace{}), "it changes the vectors it is given");
  }
  SECTION("order") {
    only(check_pair_loss(OrderDependent{}), "it is not blind to the order of the batch");
  }
  SECTION("order, declared") {
    CHECK(check_pair_loss(OrderDependent{}, {.batch_independent = false}));
  }
  SECTION("symmetry") {
    only(check_pair_loss(Asymmetric{}, {.symmetric = true}), "it is not symmetric");
  }
  SECTION("symmetry, not claimed") {
    CHECK(check_pair_loss(Asymmetric{}));
  }
  SECTION("scale") {
    only(check_pair_loss(StopsOneSide{}, {.scale_invariant = true, .target_b = true}), "it is not scale invariant");
  }
  SECTION("exception") {
    only(check_pair_loss(Throws{}), "it throws on z_a (6, 5), z_b (6, 5): too few: (6, 5)");
  }
  SECTION("half precision") {
    only(check_pair_loss(ComputesInBf16{}), "compute in fp32");
  }
  SECTION("not finite") {
    const auto report = check_pair_loss(NotFinite{});
    INFO(text_of(report));
    CHECK_FALSE(report);
    CHECK_THAT(text_of(report), ContainsSubstring("its value is inf on random vectors"));
  }
}
