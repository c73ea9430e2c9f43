// check_pair_loss passes what keeps the contract and names, by its own sentence, each way to break it.
#include <sslmeme/loss/barlow_twins.hpp>
#include <sslmeme/loss/compose.hpp>
#include <sslmeme/loss/cosine.hpp>
#include <sslmeme/loss/info_nce.hpp>
#include <sslmeme/loss/koleo.hpp>
#include <sslmeme/loss/moco.hpp>
#include <sslmeme/loss/nt_xent.hpp>
#include <sslmeme/loss/predictive.hpp>
#include <sslmeme/loss/sigmoid.hpp>
#include <sslmeme/loss/soft_target_clip.hpp>
#include <sslmeme/loss/vicreg.hpp>
#include <sslmeme/testing/loss_contract.hpp>

#include <torch/autograd.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <sstream>
#include <string>

namespace sm = sslmeme;
using Catch::Matchers::ContainsSubstring;
using sm::Tensor;
using sm::testing::check_pair_loss;
using sm::testing::ContractReport;
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

TEST_CASE("A loss that learns on one side alone keeps the contract") {
  CHECK(check_pair_loss(StopsOneSide{}));
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
    only(check_pair_loss(SmallHalfGradient{}), "its gradient along a direction of z_a is");
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
    only(check_pair_loss(StopsOneSide{}, {.scale_invariant = true}), "it is not scale invariant");
  }
  SECTION("exception") {
    only(check_pair_loss(Throws{}), "it throws on (6, 5) vectors: too few: (6, 5)");
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
