#include <sslmeme/loss/compose.hpp>
#include <sslmeme/loss/cosine.hpp>
#include <sslmeme/loss/info_nce.hpp>
#include <sslmeme/loss/koleo.hpp>
#include <sslmeme/loss/nt_xent.hpp>
#include <sslmeme/loss/sigmoid.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <torch/autograd.h>

#include <limits>
#include <string>
#include <vector>

#include "close_to.hpp"

namespace sm = sslmeme;
using Catch::Matchers::WithinRel;
using sm::Tensor;

namespace {

std::vector<std::string> names(const sm::LossOutput& output) {
  std::vector<std::string> all;
  for (const auto& [name, value] : output.parts) all.push_back(name);
  return all;
}

std::vector<std::string> names(const torch::nn::Module& module) {
  std::vector<std::string> all;
  for (const auto& item : module.named_parameters()) all.push_back(item.key());
  return all;
}

}  // namespace

TEST_CASE("A sum of weighted losses is what its formula says") {
  torch::manual_seed(1);
  const auto a = torch::randn({6, 4}, torch::kDouble), b = torch::randn({6, 4}, torch::kDouble);
  const sm::CosineLoss cosine;
  const sm::InfoNce sharp{{.temperature = 0.05, .learned = false}}, soft{{.temperature = 1, .learned = false}};
  const auto c = cosine(a, b).item<double>(), s = sharp(a, b).item<double>(), t = soft(a, b).item<double>();
  const auto total = [&](const auto& loss) { return loss(a, b).total.template item<double>(); };

  CHECK_THAT(total(cosine + sharp), WithinRel(c + s, 1e-12));
  CHECK_THAT(total(cosine + 0.5 * sharp), WithinRel(c + 0.5 * s, 1e-12));
  CHECK_THAT(total(cosine * 3 + sharp * 0.1 + soft), WithinRel(3 * c + 0.1 * s + t, 1e-12));
  CHECK_THAT(total(2 * (cosine + 0.5 * (sharp + 3 * soft))), WithinRel(2 * c + s + 3 * t, 1e-12));
  CHECK_THAT(total(-1.0 * cosine), WithinRel(-c, 1e-12));

  const auto output = (cosine + 0.5 * sharp + soft + cosine)(a, b);
  CHECK(names(output) == std::vector<std::string>{"cosine", "info_nce", "info_nce_2", "cosine_2"});
  CHECK_THAT(output.parts[1].second.item<double>(), WithinRel(s, 1e-12));  // weights are not applied
  CHECK((cosine + 0.5 * sharp).name() == "cosine+info_nce");
}

TEST_CASE("Gradients of a sum are the weighted sum of gradients") {
  const auto a = torch::randn({5, 3}, torch::kDouble).requires_grad_(), b = torch::randn({5, 3}, torch::kDouble);
  const sm::InfoNce fixed{{.learned = false}};
  const auto gradient = [&](const Tensor& loss) { return torch::autograd::grad({loss}, {a})[0]; };
  const auto expected = gradient(sm::CosineLoss{}(a, b)) + 0.25 * gradient(fixed(a, b));
  CHECK(torch::allclose(gradient((sm::CosineLoss{} + 0.25 * fixed)(a, b).total), expected, 1e-10, 1e-12));
}

TEST_CASE("Terms keep their state, by position, and their update") {
  const sm::InfoNce first, second;
  auto sum = sm::CosineLoss{} + first + 0.5 * second;
  REQUIRE(sum.module() != nullptr);
  CHECK(names(*sum.module()) == std::vector<std::string>{"1.log_scale", "2.log_scale"});
  CHECK((sm::CosineLoss{} + sm::CosineLoss{}).module() == nullptr);
  const torch::NoGradGuard no_grad;
  for (auto& parameter : sum.module()->parameters()) parameter.fill_(10);
  sum.update({});
  CHECK_THAT(first.scale(), WithinRel(100.0, 1e-5));
  CHECK_THAT(second.scale(), WithinRel(100.0, 1e-5));
}

TEST_CASE("A weight that is not finite is refused") {
  sm::WeightedSum sum;
  CHECK_THROWS_MATCHES(sum.add(std::numeric_limits<double>::infinity(), sm::CosineLoss{}), sm::InvalidArgument,
                       Catch::Matchers::Message("the weight of a loss is inf; it must be finite"));
  CHECK_THROWS_AS(NAN * sm::CosineLoss{}, sm::InvalidArgument);
}

TEST_CASE("A weight may be a schedule over the run") {
  const auto a = torch::randn({6, 4}, torch::kDouble), b = torch::randn({6, 4}, torch::kDouble);
  const sm::CosineLoss cosine;
  const sm::InfoNce fixed{{.learned = false}};
  const auto c = cosine(a, b).item<double>(), f = fixed(a, b).item<double>();
  const sm::AnyPairLoss sum = 2 * (cosine + sm::LinearWeight{.from = 1, .to = 0.5, .begin = 0.2, .end = 0.6} * fixed);
  const auto total = [&](std::int64_t step) {
    return sum(a, b, {.context = {.step = step, .total_steps = 100}}).total.item<double>();
  };
  CHECK_THAT(total(0), WithinRel(2 * (c + f), 1e-12));
  CHECK_THAT(total(20), WithinRel(2 * (c + f), 1e-12));
  CHECK_THAT(total(40), WithinRel(2 * (c + 0.75 * f), 1e-12));
  CHECK_THAT(total(99), WithinRel(2 * (c + 0.5 * f), 1e-12));
  CHECK_THAT(sum(a, b).total.item<double>(), WithinRel(2 * (c + f), 1e-12));  // outside a run: as at its start

  const auto every_other =
      sm::LossWeight{[](const sm::StepContext& at) { return at.step % 2 == 0 ? 1.0 : 0.0; }} * cosine;
  CHECK(every_other(a, b, {.context = {.step = 1}}).total.item<double>() == 0);
  const auto broken = sm::LossWeight{[](const sm::StepContext&) { return NAN; }} * cosine;
  CHECK_THROWS_MATCHES(broken(a, b, {.context = {.step = 7}}), sm::InvalidArgument,
                       Catch::Matchers::Message("the weight of a loss is nan at step 7; it must be finite"));
}

TEST_CASE("A sum of nothing and a schedule that takes no time are refused") {
  const auto refused = [](const auto& call, const char* what) {
    CHECK_THROWS_MATCHES(call(), sm::InvalidArgument,
                         Catch::Matchers::MessageMatches(Catch::Matchers::ContainsSubstring(what)));
  };
  const auto z = torch::ones({2, 3});
  refused([&] { return sm::WeightedSum{}(z, z).total; }, "WeightedSum: it has no terms: add() a loss");
  const auto at = [](double begin, double end) {
    return sm::LinearWeight{.begin = begin, .end = end}({.step = 50, .total_steps = 100});
  };
  refused([&] { return at(0.5, 0.5); }, "LinearWeight: begin is 0.5");
  refused([&] { return at(0.7, 0.2); }, "begin must come before end");
  refused([&] { return at(NAN, 1); }, "LinearWeight: begin is nan");
  CHECK(at(0, 1) == 0.5);
}

TEST_CASE("A sum tells its terms, their options and their weights") {
  const auto sum = sm::CosineLoss{} + 0.5 * sm::KoLeo{.epsilon = 0.25} + sm::LinearWeight{.to = 3} * sm::CosineLoss{};
  CHECK(sum.describe() ==
        R"([{"of":{"loss":"cosine"},"weight":1.0},)"
        R"({"of":{"loss":"koleo","options":{"epsilon":0.25}},"weight":0.5},)"
        R"({"of":{"loss":"cosine"},"weight":{"factor":1.0,"schedule":{"begin":0.0,"end":1.0,"from":0.0,"to":3.0}}}])");
}

TEST_CASE("NtXent leaves duplicates out of the negatives too") {
  const auto a = torch::randn({4, 5}, torch::kDouble), b = torch::randn({4, 5}, torch::kDouble);
  const auto ids = torch::tensor({7, 8, 7, 9}, torch::kLong);
  const sm::NtXent plain{}, masking{.mask_duplicates = true};
  CHECK(masking(a, b).item<double>() == plain(a, b, {.ids = ids}).item<double>());
  const auto z = sm::l2_normalize(torch::cat({a, b}));
  auto logits = torch::matmul(z, z.t()) / 0.5;
  const auto positives = torch::cat({logits.diagonal(4), logits.diagonal(-4)}).clone();
  logits.fill_diagonal_(-INFINITY);
  for (const auto i : {0, 4}) {  // the views of sample 0 against those of sample 2
    for (const auto j : {2, 6}) logits[i][j] = logits[j][i] = -INFINITY;
  }
  const auto expected = (logits.logsumexp(1) - positives).mean().item<double>();
  CHECK_THAT(masking(a, b, {.ids = ids}).item<double>(), WithinRel(expected, 1e-10));
}

TEST_CASE("SigmoidLoss leaves duplicates out of the negatives too") {
  for (const auto type : {torch::kDouble, torch::kFloat}) {
    INFO(type);
    const auto a = torch::randn({4, 5}, type).requires_grad_(), b = torch::randn({4, 5}, type).requires_grad_();
    const auto ids = torch::tensor({7, 8, 7, 9}, torch::kLong);
    const sm::SigmoidLoss plain{{.scale = 3, .bias = -1}}, masking{{.scale = 3, .bias = -1, .mask_duplicates = true}};
    CHECK(masking(a, b).item<double>() == plain(a, b, {.ids = ids}).item<double>());
    CHECK_THROWS_MATCHES(masking(a, b, {.ids = torch::arange(3)}), sm::InvalidArgument,
                         Catch::Matchers::Message("SigmoidLoss: ids are Long (3); for 4 pairs they must be i64 (4)"));
    const auto state = masking.module()->named_parameters();
    const auto scale = state["log_scale"], bias = state["bias"];
    const auto cosines = torch::matmul(sm::l2_normalize(a), sm::l2_normalize(b).t());
    const auto logits = scale.exp().to(type) * cosines + bias.to(type);
    const auto same = (ids.unsqueeze(1) == ids).fill_diagonal_(false);  // rows 0 and 2 against each other
    const auto expected = (torch::softplus(logits).masked_fill(same, 0).sum() - logits.trace()) / 4;
    const auto actual = masking(a, b, {.ids = ids});
    CHECK_THAT(actual, sm::test::AllCloseTo(expected, sm::test::fp32_rounding));
    const auto ours = torch::autograd::grad({actual}, {a, b, scale, bias});
    const auto theirs = torch::autograd::grad({expected}, {a, b, scale, bias});
    for (std::size_t i = 0; i < ours.size(); ++i)
      CHECK_THAT(ours[i], sm::test::AllCloseTo(theirs[i], sm::test::fp32_rounding));
  }
}

TEST_CASE("Ids reach the terms of a sum: duplicates are no negatives") {
  const auto a = torch::randn({4, 5}), b = torch::randn({4, 5});
  const sm::InfoNce plain{{.learned = false}}, masking{{.learned = false, .mask_duplicates = true}};
  const auto ids = torch::tensor({7, 8, 7, 9}, torch::kLong);
  const auto value = [&](const sm::AnyPairLoss& loss, const sm::PairInfo& info) {
    return loss(a, b, info).total.item<double>();
  };
  CHECK(value(masking, {}) == value(plain, {.ids = ids}));
  CHECK(value(masking, {.ids = torch::arange(4)}) == value(plain, {}));
  // Rows 0 and 2 against each other are taken out of the softmax, in both directions.
  auto logits = torch::matmul(sm::l2_normalize(a), sm::l2_normalize(b).t()) / 0.07;
  const auto positives = logits.diagonal().clone();
  logits[0][2] = logits[2][0] = -INFINITY;
  const auto expected = 0.5 * ((logits.logsumexp(1) - positives).mean() + (logits.logsumexp(0) - positives).mean());
  CHECK_THAT(value(1 * masking, {.ids = ids}), WithinRel(expected.item<double>(), 1e-5));
}
