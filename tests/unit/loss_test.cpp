#include <sslmeme/core/error.hpp>
#include <sslmeme/loss/any_pair_loss.hpp>
#include <sslmeme/loss/cosine.hpp>
#include <sslmeme/loss/info_nce.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <limits>
#include <string>

namespace sm = sslmeme;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::Message;
using Catch::Matchers::MessageMatches;
using Catch::Matchers::WithinRel;
using sm::Tensor;

namespace {

void set_scale(const sm::InfoNce& loss, double scale) {
  const torch::NoGradGuard no_grad;
  loss.module()->parameters().front().fill_(std::log(scale));
}

/// A loss that a careless wrapper would call by its overload that is not const.
struct TwoFaced {
  Tensor operator()(const Tensor& a, const Tensor& /*b*/) const { return a.sum(); }
  Tensor operator()(const Tensor& /*a*/, const Tensor& /*b*/) { throw std::logic_error("not const"); }
};

struct WithParts {
  sm::LossOutput operator()(const Tensor& a, const Tensor& b) const {
    return {(a + b).sum(), {{"x", a.sum()}, {"y", b.sum()}}, {}};
  }
};

struct InOwnWords : WithParts {
  std::string describe() const { return "of 3 things"; }
};

static_assert(sm::PairLoss<sm::CosineLoss> && sm::PairLoss<sm::InfoNce> && sm::PairLoss<WithParts> &&
              sm::PairLoss<sm::AnyPairLoss>);
struct ReturnsFloat {
  float operator()(const Tensor&, const Tensor&) const { return 0; }
};
struct NotConst {
  Tensor operator()(const Tensor& a, const Tensor&) { return a; }
};
static_assert(!sm::PairLoss<ReturnsFloat> && !sm::PairLoss<NotConst> && !sm::PairLoss<int>);

template <class L>
void check_shapes(const L& loss, const std::string& who) {
  const auto refused = [&](const Tensor& a, const Tensor& b, const std::string& what) {
    CHECK_THROWS_MATCHES(loss(a, b), sm::InvalidArgument,
                         MessageMatches(ContainsSubstring(who + ": ") && ContainsSubstring(what)));
  };
  refused(torch::zeros({16, 128}), torch::zeros({16, 256}),
          "z_a is (16, 128), z_b is (16, 256); both must be (N, D): give both projections the same .out");
  refused(torch::zeros({4, 2}), torch::zeros({3, 2}), "z_a is (4, 2), z_b is (3, 2); both must be (N, D)");
  refused(torch::zeros({4}), torch::zeros({4}), "z_a is (4), z_b is (4); both must be (N, D)");
  refused(torch::zeros({4, 2, 1}), torch::zeros({4, 2, 1}), "both must be (N, D)");
  refused({}, torch::zeros({4, 2}), "z_a is undefined");
  refused(torch::zeros({0, 2}), torch::zeros({0, 2}), "a batch must hold at least one pair");
  refused(torch::zeros({4, 2}, torch::kLong), torch::zeros({4, 2}),
          "z_a is Long, z_b is Float; both must be floating point");
}

}  // namespace

TEST_CASE("Vectors of a wrong shape or type are refused with what they are") {
  check_shapes(sm::CosineLoss{}, "CosineLoss");
  check_shapes(sm::InfoNce{}, "InfoNce");
}

TEST_CASE("Cosine runs from 0 for equal directions to 4 for opposite ones") {
  const auto a = torch::randn({5, 3}, torch::kDouble);
  CHECK_THAT(sm::CosineLoss{}(a, 7 * a).item<double>() + 1, WithinRel(1.0, 1e-12));
  CHECK_THAT(sm::CosineLoss{}(a, -a).item<double>(), WithinRel(4.0, 1e-12));
  CHECK_THAT(sm::CosineLoss{}(torch::tensor({{1.0, 0.0}}), torch::tensor({{0.0, 2.0}})).item<double>(),
             WithinRel(2.0, 1e-12));
}

TEST_CASE("InfoNce of identical vectors is log N, of one pair 0, whatever the temperature") {
  for (const double temperature : {0.01, 0.07, 1.0}) {
    const sm::InfoNce loss{{.temperature = temperature}};
    CHECK_THAT(loss(torch::ones({8, 3}), torch::ones({8, 3})).item<double>(), WithinRel(std::log(8.0), 1e-5));
    const auto one = torch::randn({1, 3}).requires_grad_();
    const auto value = loss(one, torch::randn({1, 3}));
    CHECK(value.item<double>() == 0);
    value.backward();
    CHECK(one.grad().count_nonzero().item<int>() == 0);
  }
}

TEST_CASE("InfoNce learns its scale and keeps it in bounds") {
  sm::InfoNce loss;
  CHECK_THAT(loss.scale(), WithinRel(1 / 0.07, 1e-6));
  const auto z = torch::eye(4);
  loss(z, z).backward();
  const auto log_scale = loss.module()->parameters().front();
  CHECK(log_scale.grad().item<double>() < 0);  // all pairs match: sharper is better

  set_scale(loss, 500);
  loss.update({});
  CHECK_THAT(loss.scale(), WithinRel(100.0, 1e-5));
  set_scale(loss, 0.5);
  loss.update({});
  CHECK_THAT(loss.scale(), WithinRel(1.0, 1e-6));
  set_scale(loss, 20);
  loss.update({});
  CHECK_THAT(loss.scale(), WithinRel(20.0, 1e-5));
  CHECK(log_scale.is_same(loss.module()->parameters().front()));

  const sm::InfoNce copy = loss;
  set_scale(copy, 3);
  CHECK_THAT(loss.scale(), WithinRel(3.0, 1e-6));  // copies share it

  sm::InfoNce fixed{{.temperature = 0.001, .learned = false}};
  fixed.update({});
  CHECK_THAT(fixed.scale(), WithinRel(1000.0, 1e-12));  // what is not learned is not clamped
}

TEST_CASE("Options are told as JSON, and as words where they are words") {
  CHECK(sm::InfoNce{{.temperature = 0.1, .mask_duplicates = true}}.describe() ==
        R"({"learned":true,"mask_duplicates":true,"max_scale":100.0,"temperature":0.1})");
  CHECK(sm::detail::loss_json("mine", "") == R"({"loss":"mine"})");
  CHECK(sm::detail::loss_json("mine", "of 3 things") == R"({"loss":"mine","options":"of 3 things"})");
  CHECK(sm::detail::loss_json("sum", R"([{"of":1}])") == R"({"loss":"sum","options":[{"of":1}]})");
}

TEST_CASE("Options of InfoNce that cannot work are refused") {
  CHECK_THROWS_MATCHES(sm::InfoNce({.temperature = 0}), sm::InvalidArgument,
                       MessageMatches(ContainsSubstring("InfoNce: temperature is 0")));
  CHECK_THROWS_AS(sm::InfoNce({.temperature = -1}), sm::InvalidArgument);
  CHECK_THROWS_AS(sm::InfoNce({.temperature = std::numeric_limits<double>::quiet_NaN()}), sm::InvalidArgument);
  CHECK_THROWS_AS(sm::InfoNce({.max_scale = 0.5}), sm::InvalidArgument);
  // A learned scale that its first update would move without a word.
  for (const double temperature : {0.005, 2.0}) {
    CHECK_THROWS_MATCHES(sm::InfoNce({.temperature = temperature}), sm::InvalidArgument,
                         MessageMatches(ContainsSubstring("but a learned one is kept in [1, 100")));
    CHECK_NOTHROW(sm::InfoNce({.temperature = temperature, .learned = false}));
  }
  CHECK_NOTHROW(sm::InfoNce({.temperature = 0.005, .max_scale = 200}));
}

TEST_CASE("AnyPairLoss holds every loss with its name, state and update") {
  const auto a = torch::ones({2, 2}).requires_grad_(), b = torch::ones({2, 2});
  sm::AnyPairLoss cosine{sm::CosineLoss{}};
  CHECK(cosine.name() == "cosine");
  CHECK(cosine.module() == nullptr);
  const auto output = cosine(a, b);
  CHECK(output.total.requires_grad());
  REQUIRE(output.parts.size() == 1);
  CHECK(output.parts[0].first == "cosine");
  CHECK_FALSE(output.parts[0].second.requires_grad());
  cosine.update({});

  const sm::InfoNce info_nce;
  sm::AnyPairLoss any{info_nce};
  CHECK(any.module() == info_nce.module());
  set_scale(info_nce, 1000);
  auto copy = any;
  copy.update({});
  CHECK_THAT(info_nce.scale(), WithinRel(100.0, 1e-5));

  const auto parts = sm::AnyPairLoss{WithParts{}}(a, b).parts;
  REQUIRE(parts.size() == 2);
  CHECK(parts[1].first == "y");
  CHECK(cosine.describe().empty());
  CHECK(any.describe() == info_nce.describe());
  CHECK(sm::AnyPairLoss{InOwnWords{}}.describe() == "of 3 things");
  const sm::AnyPairLoss unnamed{[](const Tensor& x, const Tensor&) { return x.sum(); }};
  CHECK(unnamed.name() == "loss");
  CHECK(sm::AnyPairLoss{TwoFaced{}}(a, b).total.item<double>() == 4);
}
