// Degenerate input to the loss library: a documented value or one clear error, never NaN.
#include <sslmeme/core/error.hpp>
#include <sslmeme/loss/any_pair_loss.hpp>
#include <sslmeme/loss/barlow_twins.hpp>
#include <sslmeme/loss/compose.hpp>
#include <sslmeme/loss/dino.hpp>
#include <sslmeme/loss/gather.hpp>
#include <sslmeme/loss/info_nce.hpp>
#include <sslmeme/loss/koleo.hpp>
#include <sslmeme/loss/label_losses.hpp>
#include <sslmeme/loss/moco.hpp>
#include <sslmeme/loss/nt_xent.hpp>
#include <sslmeme/loss/predictive.hpp>
#include <sslmeme/loss/sigmoid.hpp>
#include <sslmeme/loss/soft_target_clip.hpp>
#include <sslmeme/loss/supervised_contrastive.hpp>
#include <sslmeme/loss/swav.hpp>
#include <sslmeme/loss/vicreg.hpp>

#include <torch/autograd.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "close_to.hpp"
#include "pair_losses.hpp"

namespace sm = sslmeme;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using sm::Tensor;
using sm::test::AllCloseTo;
using sm::test::pair_losses;

namespace {

void check_finite(const Tensor& a_in, const Tensor& b_in, const std::string& what) {
  for (const auto& loss : pair_losses(a_in.size(1))) {
    INFO(loss.name() << " on " << what);
    const auto a = a_in.clone().requires_grad_(), b = b_in.clone().requires_grad_();
    const auto total = loss(a, b).total;
    CHECK(std::isfinite(total.item<double>()));
    total.backward();
    for (const auto& x : {a, b}) CHECK((!x.grad().defined() || torch::isfinite(x.grad()).all().item<bool>()));
  }
}

template <class Call>
void refused(const std::string& message, Call call) {
  CHECK_THROWS_MATCHES(call(), sm::InvalidArgument, MessageMatches(ContainsSubstring(message)));
}

}  // namespace

TEST_CASE("Zero vectors, equal vectors and vast ones give finite losses and gradients") {
  const auto noise = torch::randn({4, 6});
  auto holes = noise.clone();
  holes[1].zero_();
  check_finite(holes, noise, "a zero vector");
  check_finite(torch::zeros({4, 6}), torch::zeros({4, 6}), "zeros");
  check_finite(torch::ones({4, 6}), torch::ones({4, 6}), "a constant");
  check_finite(noise * 1e6, noise * 1e-6, "vast and tiny vectors");
  check_finite(noise.to(torch::kBFloat16), noise.to(torch::kBFloat16), "bf16");
}

TEST_CASE("Vectors whose squares overflow have the losses of their directions") {
  const auto a = torch::randn({4, 6}) * 1e25, b = torch::randn({4, 6}) * 1e25;
  for (const auto& loss : pair_losses(a.size(1))) {
    INFO(loss.name());
    const auto x = a.clone().requires_grad_(), y = b.clone().requires_grad_();
    const auto total = loss(x, y).total;
    if (loss.name() == "vicreg" || loss.name() == "soft_target_clip") {  // of lengths, which fp32 cannot square
      CHECK_FALSE(std::isfinite(total.item<double>()));
      continue;
    }
    CHECK_THAT(total, AllCloseTo(loss(a.to(torch::kDouble), b.to(torch::kDouble)).total, {1e-4, 1e-5}));
    total.backward();
    for (const auto& z : {x, y}) CHECK((!z.grad().defined() || torch::isfinite(z.grad()).all().item<bool>()));
  }
}

TEST_CASE("A batch of one is 0 for what contrasts, and refused by what takes statistics") {
  const auto a = torch::randn({1, 6}), b = torch::randn({1, 6});
  CHECK(sm::InfoNce{}(a, b).item<double>() == 0);
  for (const double temperature : {0.07, 0.1, 0.5}) {
    for (int i = 0; i < 20; ++i) {
      const auto x = torch::randn({1, 6}).requires_grad_();
      const auto value = sm::NtXent{.temperature = temperature}(x, torch::randn({1, 6}));
      CHECK(value.item<double>() == 0);
      value.backward();
      CHECK(x.grad().count_nonzero().item<int>() == 0);
    }
  }
  refused("BarlowTwins: z is (1, 6); it compares the samples of a batch: give 2 or more",
          [&] { return sm::BarlowTwins{}(a, b); });
  refused("VicReg: z is (1, 6)", [&] { return sm::VicReg{}(a, b).total; });
  refused("koleo: z is (1, 6)", [&] { return sm::KoLeo{}(a, b); });
}

TEST_CASE("One feature has no other to be independent of") {
  const auto a = torch::randn({5, 1}), b = torch::randn({5, 1});
  CHECK(std::isfinite(sm::BarlowTwins{}(a, b).item<double>()));
  CHECK(sm::VicReg{}(a, b).parts[2].second.item<double>() == 0);
}

TEST_CASE("VicReg reports its terms, which add up") {
  const auto output = sm::VicReg{}(torch::randn({5, 4}), torch::randn({5, 4}));
  REQUIRE(output.parts.size() == 3);
  const auto part = [&](std::size_t i) { return output.parts[i].second.item<double>(); };
  CHECK(std::abs(output.total.item<double>() - (25 * part(0) + 25 * part(1) + part(2))) < 1e-4);
}

TEST_CASE("SigmoidLoss is the sum over the matrix that it never holds") {
  for (const auto& [type, tolerance] : {std::pair{torch::kDouble, 1e-11}, std::pair{torch::kFloat, 1e-5}}) {
    // Beyond one tile of 512 × 1024 in both directions, and not a multiple of any vector's width.
    const auto a = torch::randn({1100, 9}, type).requires_grad_(), b = torch::randn({1100, 9}, type).requires_grad_();
    const sm::SigmoidLoss loss{{.scale = 4, .bias = -1.5}};
    std::vector<Tensor> variables{a, b};
    for (const auto& parameter : loss.module()->parameters()) variables.push_back(parameter);
    const auto logits = torch::matmul(4 * sm::l2_normalize(a), sm::l2_normalize(b).t()) - 1.5;
    const auto expected = (torch::softplus(logits).sum() - logits.trace()) / 1100.0;
    const auto actual = loss(a, b);
    CHECK_THAT(actual, AllCloseTo(expected, {tolerance, 0}));
    const auto gradients = torch::autograd::grad({actual}, variables);
    const auto of_inputs = torch::autograd::grad({expected}, {a, b}, {}, true);
    for (std::size_t i = 0; i < 2; ++i) CHECK_THAT(gradients[i], AllCloseTo(of_inputs[i], {tolerance, 0, tolerance}));
    const auto weights = (torch::sigmoid(logits) - torch::eye(1100, type)) / 1100.0;
    CHECK_THAT(gradients[2], AllCloseTo((weights * (logits + 1.5)).sum().to(torch::kFloat), {1e-4, 0}));
    CHECK_THAT(gradients[3], AllCloseTo(weights.sum().to(torch::kFloat), {1e-4, 0}));
  }
}

TEST_CASE("A side that teaches gets no gradient") {
  const auto a = torch::randn({6, 8}).requires_grad_(), b = torch::randn({6, 8}).requires_grad_();
  const auto of_b = [&](const sm::AnyPairLoss& loss) {
    return torch::autograd::grad({loss(a, b).total}, {b}, {}, {}, false, true)[0].defined();
  };
  CHECK(of_b(sm::VicReg{}));
  CHECK_FALSE(of_b(sm::StopGradient{sm::VicReg{}}));
  CHECK_FALSE(of_b(sm::Predicted{sm::VicReg{}, {.dim = 8}}));
  CHECK_THAT(sm::StopGradient{sm::VicReg{}}(a, b).total, AllCloseTo(sm::VicReg{}(a, b).total, {1e-6, 0}));
  const auto loss = sm::Predicted{sm::InfoNce{}, {.dim = 8}};
  CHECK(loss.name() == "predicted(info_nce)");
  CHECK(loss.module()->named_parameters().contains("loss.log_scale"));
  CHECK(loss.module()->named_parameters()["predictor.fc1.weight"].sizes() == torch::IntArrayRef{2, 8});
  const auto message = [](auto call, const std::string& what) {
    CHECK_THROWS_MATCHES(call(), sm::InvalidArgument, MessageMatches(ContainsSubstring(what)));
  };
  message([&] { return sm::Predicted{sm::InfoNce{}}(a, b); },
          "vectors are (6, 8), the predictor's dim is 256: give it .dim = 8");
  message([] { return sm::Predicted{sm::InfoNce{}, {.dim = 0}}.name(); }, "Predicted: dim is 0");
}

TEST_CASE("Duplicates are the farthest that KoLeo can be from content, and finitely so") {
  const auto x = torch::randn({1, 4}).repeat({3, 1});
  CHECK_THAT(sm::koleo(x), AllCloseTo(torch::tensor(-std::log(2e-8 + 1e-8)), sm::test::fp32_rounding));
}

TEST_CASE("SupCon leaves out who is alone in a class") {
  const auto z = torch::randn({4, 3});
  const auto labels = [](std::initializer_list<std::int64_t> l) { return torch::tensor(std::vector<std::int64_t>(l)); };
  CHECK(sm::SupCon{}(z, labels({0, 1, 2, 3})).item<double>() == 0);
  CHECK(sm::SupCon{}(torch::randn({1, 3}), labels({7})).item<double>() == 0);
  const auto x = z.clone().requires_grad_();
  sm::SupCon{}(x, labels({0, 0, 1, 2})).backward();
  CHECK(torch::isfinite(x.grad()).all().item<bool>());
  refused("z is (4, 3), labels are (3)", [&] { return sm::SupCon{}(z, labels({0, 1, 2})); });
}

TEST_CASE("Codes are shares of samples, prototypes are used about alike") {
  const auto codes = sm::sinkhorn(torch::rand({12, 4}) * 2 - 1, {.epsilon = 0.5, .iterations = 50});
  CHECK_THAT(codes.sum(1), AllCloseTo(torch::ones({12}), sm::test::fp32_rounding));
  CHECK_THAT(codes.sum(0), AllCloseTo(torch::full({4}, 3.0F), {1e-4, 0}));
  for (const auto& wide : {torch::tensor({{1000.0F, 0.0F}, {999.0F, 0.0F}}),
                           torch::tensor({{6.0F, 0.1F}, {0.5F, 0.4F}}), torch::tensor({{90.0F, 0.1F}, {0.5F, 0.4F}})})
    CHECK(torch::isfinite(sm::sinkhorn(wide)).all().item<bool>());
  const std::vector<Tensor> one{torch::zeros({2, 3})};
  refused("1 views of which 1 give codes", [&] { return sm::SwavLoss{}(one, 1); });
}

TEST_CASE("Options and labels that cannot be are refused") {
  const auto z = torch::randn({2, 3}), logits = torch::randn({2});
  refused("NtXent: temperature is 0; it must be positive and finite",
          [&] { return sm::NtXent{.temperature = 0}(z, z); });
  refused("SigmoidLoss: scale is -1", [&] { return sm::SigmoidLoss{{.scale = -1}}.name(); });
  refused("FocalLoss: gamma is -1", [&] { return sm::FocalLoss{.gamma = -1}(logits, torch::ones({2})); });
  refused("FocalLoss: alpha is 2", [&] { return sm::FocalLoss{.alpha = 2}(logits, torch::ones({2})); });
  refused("a label is neither 0 nor 1", [&] { return sm::BinaryCrossEntropy{}(logits, torch::full({2}, 3)); });
  refused("logits are (2), labels are (3)", [&] { return sm::FocalLoss{}(logits, torch::ones({3})); });
  refused("a label is outside [0, 3)", [&] { return sm::CrossEntropy{}(z, torch::full({2}, 3, torch::kLong)); });
  refused("label_smoothing is 1",
          [&] { return sm::CrossEntropy{.label_smoothing = 1}(z, torch::zeros({2}, torch::kLong)); });
}

TEST_CASE("Weights and ε that make no loss are refused") {
  const auto z = torch::randn({3, 4});
  const auto of = [&](const auto& loss) { return [&z, loss] { return sm::AnyPairLoss{loss}(z, z).total; }; };
  refused("VicReg: epsilon is 0; it must be positive and finite", of(sm::VicReg{.epsilon = 0}));
  refused("VicReg: epsilon is -1", of(sm::VicReg{.epsilon = -1}));
  refused("VicReg: invariance_weight is -1; it must be finite and not negative",
          of(sm::VicReg{.invariance_weight = -1}));
  refused("VicReg: variance_weight is nan", of(sm::VicReg{.variance_weight = NAN}));
  refused("VicReg: covariance_weight is -2", of(sm::VicReg{.covariance_weight = -2}));
  refused("BarlowTwins: off_diagonal_weight is -1", of(sm::BarlowTwins{.off_diagonal_weight = -1}));
  refused("BarlowTwins: off_diagonal_weight is nan", of(sm::BarlowTwins{.off_diagonal_weight = NAN}));
  CHECK(std::isfinite(sm::VicReg{.covariance_weight = 0}(z, z).total.item<double>()));
}

TEST_CASE("Without focus the focal loss is binary cross-entropy") {
  const auto logits = torch::randn({9}, torch::kDouble), labels = torch::randint(0, 2, {9});
  CHECK_THAT(sm::FocalLoss{.gamma = 0}(logits, labels),
             AllCloseTo(sm::BinaryCrossEntropy{}(logits, labels), sm::test::fp64_exact));
}

TEST_CASE("Wide heads lose nothing in fp32") {
  const auto a = torch::randn({64, 2048}).requires_grad_(), b = torch::randn({64, 2048});
  for (const sm::AnyPairLoss& loss : {sm::AnyPairLoss{sm::BarlowTwins{}}, sm::AnyPairLoss{sm::VicReg{}}}) {
    INFO(loss.name());
    const auto single = loss(a, b).total, exact = loss(a.to(torch::kDouble), b.to(torch::kDouble)).total;
    CHECK_THAT(single, AllCloseTo(exact, {1e-5, 0}));
    CHECK_THAT(torch::autograd::grad({single}, {a})[0],
               AllCloseTo(torch::autograd::grad({exact}, {a})[0], {1e-5, 0, 1e-5}));
  }
}

TEST_CASE("A weight counts harmful samples so many times") {
  const auto logits = torch::randn({4}, torch::kDouble), labels = torch::tensor({1, 0, 0, 1}, torch::kLong);
  const auto harmful_thrice = torch::cat({logits, logits.index_select(0, torch::tensor({0, 3, 0, 3}, torch::kLong))});
  const auto labels_thrice = torch::cat({labels, torch::ones({4}, torch::kLong)});
  const auto check = [&](const auto& weighted, const auto& plain) {
    CHECK_THAT(4 * weighted(logits, labels),
               AllCloseTo(8 * plain(harmful_thrice, labels_thrice), sm::test::fp64_exact));
  };
  check(sm::BinaryCrossEntropy{.positive_weight = 3}, sm::BinaryCrossEntropy{});
  check(sm::FocalLoss{.positive_weight = 3}, sm::FocalLoss{});
  check(sm::FocalLoss{.gamma = 1, .alpha = 0.3, .positive_weight = 3}, sm::FocalLoss{.gamma = 1, .alpha = 0.3});
  refused("FocalLoss: positive_weight", [&] { return sm::FocalLoss{.positive_weight = 0}(logits, labels); });
}

TEST_CASE("No option of a loss is left out of what it tells of itself") {
  const auto differ = [](const sm::AnyPairLoss& loss, const std::vector<sm::AnyPairLoss>& others) {
    for (const auto& other : others) {
      CHECK(other.name() == loss.name());
      CHECK(other.describe() != loss.describe());
    }
  };
  using sm::InfoNce, sm::SigmoidLoss, sm::MocoLoss, sm::Predicted;
  const sm::InfoNceOptions masked{.mask_duplicates = true};
  differ(InfoNce{},
         {InfoNce{{.temperature = 0.1}}, InfoNce{{.learned = false}}, InfoNce{masked}, InfoNce{{.max_scale = 50}}});
  differ(sm::NtXent{}, {sm::NtXent{.temperature = 0.1}, sm::NtXent{.mask_duplicates = true}});
  differ(SigmoidLoss{}, {SigmoidLoss{{.scale = 5}}, SigmoidLoss{{.bias = 0}}, SigmoidLoss{{.mask_duplicates = true}}});
  differ(sm::SoftTargetClip{}, {sm::SoftTargetClip{.temperature = 2}});
  differ(sm::BarlowTwins{}, {sm::barlow_twins_reference()});
  differ(sm::VicReg{}, {sm::VicReg{.invariance_weight = 1}, sm::VicReg{.variance_weight = 1},
                        sm::VicReg{.covariance_weight = 2}, sm::VicReg{.epsilon = 1e-3}});
  differ(sm::KoLeo{}, {sm::KoLeo{.epsilon = 1e-3}});
  const sm::MocoOptions moco{.queue = 8, .dim = 4};
  differ(MocoLoss{moco},
         {MocoLoss{{.queue = 9, .dim = 4}}, MocoLoss{{.queue = 8, .dim = 5}},
          MocoLoss{{.queue = 8, .dim = 4, .temperature = 0.2}}, MocoLoss{{.queue = 8, .dim = 4, .seed = 1}}});
  differ(sm::MocoV3Loss{}, {sm::MocoV3Loss{.temperature = 0.1}});
  differ(sm::StopGradient{InfoNce{}}, {sm::StopGradient{InfoNce{masked}}});
  differ(Predicted{InfoNce{}, {.dim = 8}},
         {Predicted{InfoNce{masked}, {.dim = 8}}, Predicted{InfoNce{}, {.dim = 4}},
          Predicted{InfoNce{}, {.dim = 8, .hidden = 3}}, Predicted{InfoNce{}, {.dim = 8, .last_norm = true}},
          Predicted{InfoNce{}, {.dim = 8, .seed = 1}}});
  differ(sm::Gathered{InfoNce{}, {}}, {sm::Gathered{InfoNce{masked}, {}}});
}

TEST_CASE("Presets are what their publications have") {
  CHECK(sm::moco_reference().temperature == 0.07);
  CHECK(sm::moco_v2_reference().temperature == 0.2);
  const auto a = torch::randn({5, 4}, torch::kDouble), b = torch::randn({5, 4}, torch::kDouble);
  // Two of five samples are alone in their class.
  const auto labels = torch::tensor({0, 1, 0, 2, 0}, torch::kLong);
  CHECK_THAT(sm::sup_con_reference()(a, labels), AllCloseTo(0.6 * sm::SupCon{}(a, labels), sm::test::fp64_exact));
  CHECK(sm::sup_con_reference()(a, torch::arange(5)).item<double>() == 0);
  // The paper's algorithm 1 of VICReg: μ [v(Z) + v(Z')], and the mean over N and D of the squared differences.
  CHECK_THAT(sm::VicReg{}(a, b).parts[0].second, AllCloseTo((a - b).square().mean(), sm::test::fp64_exact));
  const auto parts = sm::VicReg{}(a, b).parts;
  const auto hinges = 2 * parts[1].second;
  CHECK_THAT(sm::vicreg_paper()(a, b).total,
             AllCloseTo(25 * parts[0].second + 25 * hinges + parts[2].second, sm::test::fp64_exact));
  CHECK_THAT(sm::barlow_twins_reference()(a, b),
             AllCloseTo(sm::BarlowTwins{.off_diagonal_weight = 0.0051}(a, b), sm::test::fp64_exact));
  CHECK_THAT(sm::nt_xent_reference()(a, b), AllCloseTo(sm::NtXent{.temperature = 0.1}(a, b), sm::test::fp64_exact));
}

TEST_CASE("DINO's loss is finite for large logits and half types, and says which shapes it needs") {
  const sm::DinoLoss loss{{.prototypes = 21}};
  for (const auto type : {torch::kFloat, torch::kDouble, torch::kBFloat16}) {
    const auto student = (torch::randn({3, 2, 21}) * 300).to(type).requires_grad_();
    const auto output = loss(student, (torch::randn({2, 2, 21}) * 300).to(type));
    CHECK(std::isfinite(output.total.item<double>()));
    output.total.backward();
    CHECK(torch::isfinite(student.grad()).all().item<bool>());
  }
  refused("student is (1, 2, 21), teacher is (1, 2, 21)",
          [&] { return loss(torch::zeros({1, 2, 21}), torch::zeros({1, 2, 21})).total; });
  refused("they must be floating (V, B, 21)",
          [&] { return loss(torch::zeros({2, 2, 20}), torch::zeros({2, 2, 20})).total; });
  refused("DinoLoss: observed \"teacher\" is (1, 20)", [] {
    sm::DinoLoss{{.prototypes = 21}}.update({}, {{"teacher", torch::zeros({1, 20})}});
    return 0;
  });
  refused("DinoLoss: observed \"samples\" is undefined", [] {
    sm::DinoLoss{{.prototypes = 21}}.update({}, {{"teacher", torch::zeros({2, 21})}});
    return 0;
  });
}

TEST_CASE("DINO's gradient is the incoming one times its own, call after call, and no call changes an earlier result") {
  for (const auto type : {torch::kFloat, torch::kBFloat16, torch::kDouble}) {
    const auto student = torch::randn({3, 2, 21}).to(type).requires_grad_();
    const auto teacher = torch::randn({2, 2, 21}).to(type);
    const auto total = sm::DinoLoss{{.prototypes = 21}}(student, teacher).total;
    const auto gradient = [&](double factor) {
      return torch::autograd::grad({total}, {student}, {torch::scalar_tensor(factor, total.options())}, true)[0];
    };
    const auto expected = gradient(1).clone();
    for (const auto factor : {1.0, 0.25, 0.25, 0.0, 1024.0, 1.0}) {
      INFO(type << ' ' << factor);
      CHECK(torch::equal(gradient(factor), expected * factor));
    }
    const auto held = gradient(0.5);
    CHECK(torch::equal(gradient(2), expected * 2));
    CHECK(torch::equal(held, expected * 0.5));
    CHECK(torch::isinf(gradient(std::numeric_limits<double>::infinity())).any().item<bool>());
    CHECK(torch::equal(gradient(1), expected));
  }
}

TEST_CASE("What DINO's backward pass gave away is not written to again, views of a leaf included") {
  const auto x = torch::randn({6, 21}).requires_grad_();
  const auto total = sm::DinoLoss{{.prototypes = 21}}(x.unflatten(0, {3, 2}), torch::randn({2, 2, 21})).total;
  const auto gradient = [&](double factor, bool keep_graph) {
    x.mutable_grad() = Tensor{};
    total.backward(torch::scalar_tensor(factor), keep_graph);
    return x.grad();
  };
  const sm::test::Tolerance rounding{1e-6, 1e-8};
  const auto once = gradient(1, true);
  const auto expected = once.clone();
  CHECK_THAT(gradient(3, true), AllCloseTo(3 * expected, rounding));
  CHECK(torch::equal(once, expected));
  once.zero_();  // nor does it matter what becomes of it
  CHECK_THAT(gradient(2, false), AllCloseTo(2 * expected, rounding));
  CHECK_THROWS(gradient(1, false));  // the graph was not kept
}

TEST_CASE("DINO is exact in fp32 where both sides agree, however far from zero their logits are") {
  // More than a block of the kernel, the largest in the last one.
  const std::int64_t k = 9000;
  const auto center = (0.1 * torch::randn({k}, torch::kDouble)).to(torch::kFloat);
  const auto teacher =
      (400 + 0.05 * torch::randn({2, 2, k}, torch::kDouble) + torch::linspace(0, 0.3, k, torch::kDouble))
          .to(torch::kFloat);
  // Logits of 10⁴ whose softmax is the teacher's.
  const auto student =
      (2.5 * (torch::stack({teacher[1], teacher[0], teacher[0]}).to(torch::kDouble) - center)).to(torch::kFloat);
  const auto compare = [&](torch::ScalarType type, bool gradients) {
    INFO(type);
    const auto outcome = [&](torch::ScalarType in, Tensor& gradient, Tensor& entropy) {
      const sm::DinoLoss loss{{.prototypes = k}};
      loss.module()->to(in == torch::kDouble ? torch::kDouble : torch::kFloat);
      loss.center().copy_(center);
      const auto x = student.to(type).to(in).detach().clone().requires_grad_();
      const auto output = loss(x, teacher.to(type).to(in));
      gradient = torch::autograd::grad({output.total}, {x})[0];
      entropy = sm::detail::find_tensor(output.parts, "teacher_entropy");
      return output.total;
    };
    Tensor gradient, entropy, exact_gradient, exact_entropy;
    const auto value = outcome(type, gradient, entropy), exact = outcome(torch::kDouble, exact_gradient, exact_entropy);
    CHECK_THAT(value, AllCloseTo(exact, {1e-5, 1e-6}));
    CHECK_THAT(entropy, AllCloseTo(exact_entropy, {1e-5, 1e-6}));
    if (gradients) CHECK_THAT(gradient, AllCloseTo(exact_gradient, {1e-5, 0, 1e-5}));
  };
  compare(torch::kFloat, true);
  compare(torch::kHalf, false);  // in plain tensor operations; its gradient is rounded to fp16
}

TEST_CASE("DINO tells the entropy of its teacher") {
  const auto teacher = 0.1 * torch::randn({2, 3, 21}, torch::kDouble);
  const auto log_q = torch::log_softmax(teacher / 0.04, -1);
  const auto expected = -(log_q.exp() * log_q).sum(-1).mean();
  for (const auto type : {torch::kFloat, torch::kDouble}) {
    const auto parts = sm::DinoLoss{{.prototypes = 21}}(torch::zeros({3, 3, 21}, type), teacher.to(type)).parts;
    CHECK_THAT(sm::detail::find_tensor(parts, "teacher_entropy"), AllCloseTo(expected, {1e-5, 1e-6}));
  }
}

TEST_CASE("A teacher that says nothing makes the student's loss ln K, and its gradient even") {
  const sm::DinoLoss loss{{.prototypes = 32}};
  const auto student = torch::zeros({2, 3, 32}).requires_grad_();
  const auto output = loss(student, torch::zeros({2, 3, 32}));
  CHECK_THAT(output.total, AllCloseTo(torch::tensor(std::log(32.0)), sm::test::fp32_rounding));
  output.total.backward();
  CHECK(student.grad().abs().max().item<double>() < 1e-7);
}

TEST_CASE("The teacher's temperature rises as published") {
  const sm::TeacherTemperature warm_up{.from = 0.04, .to = 0.07, .epochs = 4};
  CHECK(warm_up.at(0) == 0.04);
  CHECK(std::abs(warm_up.at(1) - 0.05) < 1e-12);
  CHECK(warm_up.at(3) == 0.07);
  CHECK(warm_up.at(100) == 0.07);
  CHECK(sm::TeacherTemperature{.epochs = 0}.at(0) == 0.07);
}

TEST_CASE("NaN in a vector is NaN in the loss, never a number that looks fine") {
  auto a = torch::randn({4, 9});
  const auto b = torch::randn({4, 9});
  a[1][3] = NAN;
  for (const auto& loss : pair_losses(a.size(1))) {
    INFO(loss.name());
    CHECK(std::isnan(loss(a, b).total.item<double>()));
  }
  CHECK(std::isnan(sm::SupCon{}(a, torch::tensor({0, 1, 0, 0}, torch::kLong)).item<double>()));
  sm::DinoLoss dino{{.prototypes = 9}};
  const auto clean = torch::randn({2, 2, 9});
  auto broken = clean.clone();
  broken[0][1][8] = NAN;
  CHECK(std::isnan(dino(broken, clean).total.item<double>()));
  const auto output = dino(clean, broken);
  CHECK(std::isnan(output.total.item<double>()));
  CHECK_THROWS_AS(dino.update({}, output.observed), sm::NonFiniteError);
  CHECK(dino.center().abs().max().item<double>() == 0);
}

TEST_CASE("A second derivative is refused rather than wrong") {
  const auto a = torch::randn({4, 9}).requires_grad_(), b = torch::randn({4, 9});
  CHECK_THROWS_AS(torch::autograd::grad({sm::NtXent{}(a, b)}, {a}, {}, true, true), sm::Error);
  const auto student = torch::randn({2, 2, 9}).requires_grad_();
  const auto dino = sm::DinoLoss{{.prototypes = 9}}(student, torch::randn({2, 2, 9})).total;
  CHECK_THROWS_AS(torch::autograd::grad({dino}, {student}, {}, true, true), sm::Error);
}

TEST_CASE("Vectors of two types or of no entries are refused") {
  const auto a = torch::randn({4, 3});
  refused("z_a is Float, z_b is Double", [&] { return sm::InfoNce{}(a, a.to(torch::kDouble)); });
  refused("a batch must hold at least one pair",
          [&] { return sm::VicReg{}(a.narrow(1, 0, 0), a.narrow(1, 0, 0)).total; });
  CHECK(std::isfinite(sm::InfoNce{}(a, a.to(torch::kBFloat16)).item<double>()));
}

TEST_CASE("MoCo's queue forgets the oldest keys first, whatever the batch, also inside a sum") {
  sm::MocoLoss loss{{.queue = 5, .dim = 3, .seed = 4}};
  const auto key = [](double first) { return sm::l2_normalize(torch::tensor({{first, 1.0, 0.0}}, torch::kFloat)); };
  auto sum = 2.0 * loss + sm::MocoLoss{{.queue = 7, .dim = 3}};
  const auto before = loss.queue().clone();
  for (int i = 0; i < 4; ++i) {  // two keys a step: the last comes to stand at position 2
    const auto keys = torch::cat({key(2 * i), key(2 * i + 1)});
    const auto output = sum(torch::randn({2, 3}), keys);
    if (i == 0) CHECK(torch::equal(loss.queue(), before));  // a call changes nothing
    sum.update({}, output.observed);
  }
  CHECK_THAT(loss.queue(), AllCloseTo(torch::cat({key(5), key(6), key(7), key(3), key(4)}), sm::test::fp32_rounding));
  CHECK(loss.module()->named_buffers()["position"].item<std::int64_t>() == 3);
}

TEST_CASE("MoCo refuses what does not fit its queue") {
  refused("query is (2, 4); MocoOptions::dim is 3",
          [] { return sm::MocoLoss{{.queue = 8, .dim = 3}}(torch::randn({2, 4}), torch::randn({2, 4})).total; });
  refused("observed \"keys\" is (9, 3)", [] {
    sm::MocoLoss{{.queue = 8, .dim = 3}}.update({}, {{"keys", torch::zeros({9, 3})}});
    return 0;
  });
  refused("observed \"keys\" is undefined", [] {
    sm::MocoLoss{{.queue = 8, .dim = 3}}.update({}, {});
    return 0;
  });
  refused("MocoLoss: queue is 0", [] { return sm::MocoLoss{{.queue = 0}}.name(); });
  sm::MocoLoss loss{{.queue = 8, .dim = 3}};
  const auto before = loss.queue().clone();
  CHECK_THROWS_AS(loss.update({}, {{"keys", torch::full({1, 3}, NAN)}}), sm::NonFiniteError);
  CHECK(torch::equal(loss.queue(), before));
}
