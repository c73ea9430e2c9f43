#include <sslmeme/core/error.hpp>
#include <sslmeme/eval/probe.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <cmath>
#include <string>

#include "close_to.hpp"
#include "evaluation_golden.hpp"
#include "one_thread.hpp"

namespace sm = sslmeme;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using sm::Tensor;
using sm::test::AllCloseTo;

namespace {

constexpr sm::test::Tolerance sklearn_convergence{1e-6, 1e-6};

sm::Embeddings made(const Tensor& features, const Tensor& labels) {
  return {features, labels, torch::arange(labels.size(0))};
}

sm::ProbeScaling scaling_of(const std::string& name) {
  if (name == "standardize") return sm::ProbeScaling::standardize;
  return name == "unit_length" ? sm::ProbeScaling::unit_length : sm::ProbeScaling::none;
}

/// Three classes, not quite apart.
sm::Embeddings three_classes() {
  const auto labels = torch::arange(120).remainder(3);
  return made(torch::eye(3, 7).index_select(0, labels) + 0.5 * torch::randn({120, 7}), labels);
}

/// The gradient of mean −log p(label) + ‖weight‖² / (2 C N) by automatic differentiation.
std::pair<Tensor, Tensor> gradients(const sm::LinearProbe& probe, const Tensor& x, const Tensor& labels, double c) {
  const auto weight = probe.weight.clone().requires_grad_(), bias = probe.bias.clone().requires_grad_();
  auto logits = torch::matmul(x, weight.t()) + bias;
  if (logits.size(1) == 1) logits = torch::cat({torch::zeros_like(logits), logits}, 1);
  const auto n = static_cast<double>(x.size(0));
  (torch::cross_entropy_loss(logits, labels) + weight.square().sum() / (2 * c * n)).backward();
  return {weight.grad(), bias.grad()};
}

}  // namespace

TEST_CASE("The probe is scikit-learn's logistic regression") {
  for (const auto& expected : sm::test::evaluation_golden("probe")) {
    const auto scaling = expected.at("scaling").get<std::string>();
    INFO(scaling << ", C " << expected.at("c") << ", " << expected.at("weight").size() << " rows");
    const auto x = sm::test::matrix(expected.at("features")).to(torch::kFloat);
    const auto labels = sm::test::integers(expected.at("labels"));
    const auto probe = sm::fit_probe(made(x, labels), {.c = expected.at("c"), .scaling = scaling_of(scaling)});
    CHECK(probe.converged);
    CHECK(probe.gradient <= 1e-10);
    CHECK((probe.iterations > 0 && probe.iterations < 30));
    CHECK_THAT(probe.weight, AllCloseTo(sm::test::matrix(expected.at("weight")), sklearn_convergence));
    const auto bias = torch::tensor(expected.at("bias").get<std::vector<double>>(), torch::kDouble);
    CHECK_THAT(probe.bias, AllCloseTo(bias, sklearn_convergence));
    const auto p = probe.predict_proba(sm::test::matrix(expected.at("new")).to(torch::kFloat));
    CHECK_THAT(p, AllCloseTo(sm::test::matrix(expected.at("probabilities")), sklearn_convergence));
    CHECK_THAT(p.sum(1), AllCloseTo(torch::ones(5), sm::test::fp64_exact));
  }
}

TEST_CASE("At the end the gradient is zero") {
  const auto known = three_classes();
  for (const double c : {1e-3, 1.0, 1e4}) {
    const auto probe = sm::fit_probe(known, {.c = c, .scaling = sm::ProbeScaling::none});
    CHECK(probe.converged);
    const auto [of_weight, of_bias] = gradients(probe, known.features.to(torch::kDouble), known.labels, c);
    CHECK(of_weight.abs().max().item<double>() < 1e-9);
    CHECK(of_bias.abs().max().item<double>() < 1e-9);
  }
}

TEST_CASE("Classes that lie apart are told apart, in numbers and scales of any kind") {
  const auto labels = torch::arange(100).remainder(2);
  auto x = torch::randn({100, 4});
  x.select(1, 2).add_(6 * labels);
  x = x * torch::tensor({1e-4, 1.0, 1e3, 1.0}) + torch::tensor({0.0, 1e4, 0.0, 0.0});
  x.select(1, 3).fill_(0.1);  // constant: says nothing, and divides nothing by zero
  const auto known = made(x, labels);
  // [probe]
  const auto probe = sm::fit_probe(known, {.c = 0.1});
  const auto scores = probe.predict_proba(known.features).select(1, 1);  // of class 1
  const auto right = probe.predict(known.features) == known.labels;
  // [/probe]
  CHECK(probe.converged);
  CHECK(right.to(torch::kDouble).mean().item<double>() > 0.98);
  CHECK(torch::equal(scores > 0.5, probe.predict(known.features) == 1));
  CHECK(probe.weight.sizes() == torch::IntArrayRef{1, 4});
  CHECK(probe.weight[0].argmax().item<std::int64_t>() == 2);
  CHECK(std::abs(probe.weight[0][3].item<double>()) < 1e-9);
}

TEST_CASE("The bias is not penalised, the weight is") {
  const auto labels = (torch::arange(40) < 30).to(torch::kLong);
  const auto known = made(torch::randn({40, 3}), labels);
  const auto probe = sm::fit_probe(known, {.c = 1e-9});
  CHECK(probe.weight.abs().max().item<double>() < 1e-6);
  CHECK_THAT(probe.bias, AllCloseTo(torch::tensor({std::log(3.0)}), sklearn_convergence));
}

TEST_CASE("The same features give the same probe") {
  const auto known = three_classes();
  CHECK(torch::equal(sm::fit_probe(known).weight, sm::fit_probe(known).weight));
}

TEST_CASE("A probe that ran out of steps says so") {
  const auto known = three_classes();
  const auto probe = sm::fit_probe(known, {.c = 100, .max_iterations = 2});
  CHECK_FALSE(probe.converged);
  CHECK(probe.iterations == 2);
  CHECK(probe.gradient > 1e-10);
}

TEST_CASE("A probe that cannot be fitted is refused") {
  const auto refused = [](const std::string& why, auto call) {
    INFO(why);
    CHECK_THROWS_MATCHES(call(), sm::InvalidArgument, MessageMatches(ContainsSubstring(why)));
  };
  const auto x = torch::randn({4, 3});
  const auto known = made(x, torch::tensor({0, 1, 1, 0}));
  refused("c is 0", [&] { return sm::fit_probe(known, {.c = 0}); });
  refused("tolerance is -1", [&] { return sm::fit_probe(known, {.tolerance = -1}); });
  refused("max_iterations is 0", [&] { return sm::fit_probe(known, {.max_iterations = 0}); });
  refused("features are (4, 3), labels (3)", [&] { return sm::fit_probe(made(x, torch::tensor({0, 1, 1}))); });
  refused("features are (0, 3)",
          [] { return sm::fit_probe(made(torch::empty({0, 3}), torch::empty({0}, torch::kLong))); });
  refused("a sample has no label", [&] { return sm::fit_probe(made(x, torch::tensor({0, 1, -1, 0}))); });
  refused("all labels are 0", [&] { return sm::fit_probe(made(x, torch::tensor({0, 0, 0, 0}))); });
  refused("labels go up to 2, but none is 1", [&] { return sm::fit_probe(made(x, torch::tensor({0, 2, 2, 0}))); });
  auto broken = x.clone();
  broken[2][1] = NAN;
  refused("row 2 of features is not finite", [&] { return sm::fit_probe(made(broken, known.labels)); });
  const auto probe = sm::fit_probe(known);
  refused("must be (M, 3)", [&] { return probe.predict(torch::randn({2, 4})); });
  refused("row 2 of features is not finite", [&] { return probe.predict_proba(broken); });
}
