// similarity_logsumexp against the matrix written out, at sizes below, at and above its tiles.
#include <sslmeme/core/error.hpp>
#include <sslmeme/loss/any_pair_loss.hpp>
#include <sslmeme/loss/dino.hpp>
#include <sslmeme/loss/info_nce.hpp>
#include <sslmeme/loss/moco.hpp>
#include <sslmeme/loss/nt_xent.hpp>
#include <sslmeme/loss/sigmoid.hpp>
#include <sslmeme/loss/similarity.hpp>
#include <sslmeme/loss/supervised_contrastive.hpp>

#include <torch/autograd.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <array>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "close_to.hpp"
#include "instruction_sets.hpp"
#include "loss/kernels.hpp"
#include "peak_memory.hpp"

namespace sm = sslmeme;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using sm::Tensor;
using sm::test::AllCloseTo;
using sm::test::Tolerance;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

Tensor unit_vectors(std::int64_t n, std::int64_t d, torch::ScalarType type) {
  return sm::l2_normalize(torch::randn({n, d}, type)).requires_grad_();
}

/// A weighted sum of all results, so that one backward pass shows every gradient.
Tensor mix(const sm::SimilarityLogSumExp& s, bool columns) {
  const auto weights = [](const Tensor& t) { return torch::cos(torch::arange(t.size(0), t.options())); };
  auto sum = (s.rows * weights(s.rows)).sum() + (s.positives * (2 + weights(s.positives))).sum();
  if (columns) sum = sum + (s.columns * (1 + weights(s.columns))).sum();
  return sum;
}

void leave_out_duplicates(Tensor& scores, const Tensor& rows, const Tensor& columns, std::int64_t offset,
                          bool mirrored) {
  auto same = rows.unsqueeze(1) == columns.unsqueeze(0);
  same.diagonal(offset).fill_(false);
  if (mirrored) same.diagonal(-offset).fill_(false);
  scores = scores.masked_fill(same, -infinity);
}

/// expected: in fp64. Sums over all entries, as the value and the gradient of the scale, carry the rounding of terms of
/// both signs.
void compare(const Tensor& ours, const Tensor& expected, const std::vector<Tensor>& inputs) {
  const bool exact = ours.scalar_type() == torch::kDouble;
  const Tolerance of_vectors = exact ? Tolerance{1e-10, 1e-12, 1e-12} : Tolerance{1e-5, 1e-7, 1e-6};
  const Tolerance of_sums = exact ? Tolerance{1e-10, 1e-9} : Tolerance{1e-5, 2e-4};
  CHECK_THAT(ours, AllCloseTo(expected, of_sums));
  const auto a = torch::autograd::grad({ours}, inputs), b = torch::autograd::grad({expected}, inputs);
  for (std::size_t i = 0; i < inputs.size(); ++i)
    CHECK_THAT(a[i], AllCloseTo(b[i], inputs[i].dim() == 0 ? of_sums : of_vectors));
}

}  // namespace

TEST_CASE("Rows, columns and positives of a similarity matrix, and their gradients, without the matrix") {
  const auto type = GENERATE(torch::kDouble, torch::kFloat);
  const auto [n, m, d] = GENERATE(std::array{1, 1, 3}, std::array{7, 9, 5}, std::array{512, 1024, 4},
                                  std::array{600, 1300, 16}, std::array{1030, 1030, 8});
  const std::int64_t offset = GENERATE(0, 3);
  const bool masked = GENERATE(false, true);
  if (offset >= m) return;
  INFO("N " << n << ", M " << m << ", offset " << offset << ", masked " << masked);
  const auto a = unit_vectors(n, d, type), b = unit_vectors(m, d, type);
  const auto scale = torch::tensor(14.0, type).requires_grad_();
  const auto row_ids = torch::randint(0, 50, {n}, torch::kLong), column_ids = torch::randint(0, 50, {m}, torch::kLong);

  auto scores = scale.to(torch::kDouble) * torch::mm(a.to(torch::kDouble), b.to(torch::kDouble).t());
  const auto positives = scores.diagonal(offset);
  if (masked) leave_out_duplicates(scores, row_ids, column_ids, offset, false);
  const sm::SimilarityLogSumExp expected{scores.logsumexp(1), scores.logsumexp(0), positives};
  const auto ours = sm::similarity_logsumexp(a, b, scale,
                                             {.row_ids = masked ? row_ids : Tensor{},
                                              .column_ids = masked ? column_ids : Tensor{},
                                              .positive_offset = offset});
  compare(mix(ours, true), mix(expected, true), {a, b, scale});
}

TEST_CASE("The same for a matrix of vectors against themselves") {
  const auto type = GENERATE(torch::kDouble, torch::kFloat);
  const std::int64_t n = GENERATE(2, 8, 512, 1030);
  const std::int64_t offset = GENERATE_COPY(std::int64_t{1}, n / 2);
  const bool masked = GENERATE(false, true);
  INFO("N " << n << ", offset " << offset << ", masked " << masked);
  const auto z = unit_vectors(n, 6, type);
  const auto scale = torch::tensor(5.0, type).requires_grad_();
  const auto ids = torch::randint(0, 50, {n}, torch::kLong);

  const auto wide = z.to(torch::kDouble);
  auto scores = scale.to(torch::kDouble) * torch::mm(wide, wide.t());
  const auto positives = scores.diagonal(offset);
  if (masked) leave_out_duplicates(scores, ids, ids, offset, true);
  scores = scores.masked_fill(torch::eye(n, torch::kBool), -infinity);
  const auto rows = scores.logsumexp(1);
  if (rows.isneginf().any().item<bool>()) return;  // a row without any entry left: its own test
  const auto ours = sm::self_similarity_logsumexp(z, scale, offset, masked ? ids : Tensor{});
  compare(mix(ours, false), mix({rows, rows, positives}, false), {z, scale});
}

TEST_CASE("A row of which nothing is left is minus infinity, and gets no gradient") {
  const auto type = GENERATE(torch::kFloat, torch::kDouble);
  const auto a = unit_vectors(3, 4, type), b = unit_vectors(2, 4, type);
  const auto rows = torch::tensor({5, 6, 7}, torch::kLong), columns = torch::tensor({7, 7}, torch::kLong);
  const auto s = sm::similarity_logsumexp(a, b, torch::ones({}, type), {.row_ids = rows, .column_ids = columns});
  CHECK(s.rows[2].item<double>() == -infinity);
  s.rows.narrow(0, 0, 2).sum().backward();
  CHECK(torch::isfinite(a.grad()).all().item<bool>());
  CHECK(a.grad()[2].abs().max().item<double>() == 0);
}

TEST_CASE("Scores far apart and far from zero neither overflow nor vanish") {
  const auto type = GENERATE(torch::kFloat, torch::kDouble);
  const auto a = torch::tensor({{1.0, 0.0}, {-1.0, 0.0}}, type).requires_grad_();
  const auto s = sm::similarity_logsumexp(a, a.detach(), torch::tensor(1e4, type));
  CHECK_THAT(s.rows, AllCloseTo(torch::tensor({1e4, 1e4}, type), {1e-6, 0}));
  (s.rows - s.positives).sum().backward();
  CHECK(torch::isfinite(a.grad()).all().item<bool>());
}

TEST_CASE("The same bits whatever the number of threads") {
  const auto a = unit_vectors(700, 32, torch::kFloat), b = unit_vectors(1500, 32, torch::kFloat);
  std::vector<Tensor> rows, columns;
  const int before = at::get_num_threads();
  for (const int threads : {1, 2, 3}) {
    at::set_num_threads(threads);
    const auto s = sm::similarity_logsumexp(a, b, torch::tensor(10.0F));
    rows.push_back(s.rows.detach());
    columns.push_back(s.columns.detach());
  }
  at::set_num_threads(before);
  for (std::size_t i = 1; i < rows.size(); ++i) {
    CHECK(torch::equal(rows[0], rows[i]));
    CHECK(torch::equal(columns[0], columns[i]));
  }
}

TEST_CASE("Shapes, types and ids that do not fit are refused") {
  const auto one = torch::ones({});
  const auto refused = [](const std::string& message, auto call) {
    CHECK_THROWS_MATCHES(call(), sm::InvalidArgument, MessageMatches(ContainsSubstring(message)));
  };
  const auto a = torch::ones({2, 3});
  refused("a is (2, 3), b is (2, 4), scale is ()",
          [&] { return sm::similarity_logsumexp(a, torch::ones({2, 4}), one); });
  refused("all must be float or all double",
          [&] { return sm::similarity_logsumexp(a, torch::ones({2, 3}, torch::kDouble), one); });
  refused("2 ids of i64 are needed, got Long (3)", [&] {
    const auto three = torch::arange(3);
    return sm::similarity_logsumexp(a, a, one, {.row_ids = three, .column_ids = three});
  });
  refused("give the ids of rows and columns, or neither",
          [&] { return sm::similarity_logsumexp(a, a, one, {.row_ids = torch::arange(2)}); });
  refused("positive_offset is -1", [&] { return sm::similarity_logsumexp(a, a, one, {.positive_offset = -1}); });
  refused("leaves out the positives", [&] { return sm::similarity_logsumexp(a, a, one, {.self_offset = 0}); });
  refused("positive_offset is 0", [&] { return sm::self_similarity_logsumexp(a, one, 0); });
}

#if defined(__linux__) && !defined(__SANITIZE_ADDRESS__)
namespace {

/// What step(rows) takes at its peak beside what there is.
template <class Step>
double extra_megabytes(Step step, std::int64_t few, std::int64_t all) {
  step(few);  // threads are there
  return static_cast<double>(sm::test::peak_growth([&] { step(all); })) / 1024;
}

}  // namespace

TEST_CASE("No contrastive loss ever holds the matrix of similarities") {
  constexpr std::int64_t n = 8192;  // of which the matrix takes 256 MB in fp32
  const auto a = unit_vectors(n, 8, torch::kFloat), b = unit_vectors(n, 8, torch::kFloat);
  const auto extra = [&](const sm::AnyPairLoss& loss, const Tensor& x, const Tensor& y) {
    const auto step = [&](std::int64_t rows) {
      torch::autograd::grad({loss(x.narrow(0, 0, rows), y.narrow(0, 0, rows)).total}, {x});
    };
    return extra_megabytes(step, 64, x.size(0));
  };
  CHECK(extra(sm::InfoNce{}, a, b) < 64);
  CHECK(extra(sm::SigmoidLoss{}, a, b) < 64);
  CHECK(extra(sm::NtXent{}, a.detach().narrow(0, 0, n / 2).requires_grad_(), b.detach().narrow(0, 0, n / 2)) < 64);
  CHECK(extra(sm::MocoV3Loss{}, a, b.detach()) < 64);
  CHECK(extra(sm::MocoLoss{{.queue = n, .dim = 8}}, a, b.detach()) < 64);
  const auto labels = torch::arange(n) % 64;
  const auto sup_con = [&](std::int64_t rows) {
    torch::autograd::grad({sm::SupCon{}(a.narrow(0, 0, rows), labels.narrow(0, 0, rows))}, {a});
  };
  CHECK(extra_megabytes(sup_con, 128, n) < 64);
}

TEST_CASE("DinoLoss makes nothing of the size of its outputs but their gradient") {
  constexpr std::int64_t views = 20, batch = 8, prototypes = 65536;
  constexpr double outputs = 4.0 * views * batch * prototypes / (1 << 20);  // 40 MB
  const auto student = torch::randn({views, batch, prototypes}), teacher = torch::randn({2, batch, prototypes});
  const sm::DinoLoss loss;
  const auto step = [&](std::int64_t rows) {
    const auto z = student.narrow(1, 0, rows).contiguous().requires_grad_();
    torch::autograd::grad({loss(z, teacher.narrow(1, 0, rows).contiguous()).total}, {z});
  };
  // Its gradient and some rows of K numbers; in plain tensor operations, some of T · B · K.
  CHECK(extra_megabytes(step, 1, batch) < 1.7 * outputs);
}
#endif

TEST_CASE("A frozen side gets no gradient, and changes nothing of the other's") {
  const auto a = unit_vectors(5, 4, torch::kFloat), b = unit_vectors(6, 4, torch::kFloat);
  const auto scale = torch::tensor(3.0F);
  const auto both = torch::autograd::grad({mix(sm::similarity_logsumexp(a, b, scale), true)}, {a, b});
  const auto of_a = torch::autograd::grad({mix(sm::similarity_logsumexp(a, b.detach(), scale), true)}, {a});
  const auto of_b = torch::autograd::grad({mix(sm::similarity_logsumexp(a.detach(), b, scale), true)}, {b});
  CHECK(torch::equal(both[0], of_a[0]));
  CHECK(torch::equal(both[1], of_b[0]));
}

TEST_CASE("Rows that do not lie side by side are read right") {
  const auto a = torch::randn({7, 12}).slice(1, 0, 12, 2), b = torch::randn({6, 9}).t();
  const auto expected = torch::matmul(a, b.t()).logsumexp(1);
  CHECK_THAT(sm::similarity_logsumexp(a, b, torch::ones({})).rows, AllCloseTo(expected, sm::test::fp32_rounding));
}

#ifdef SSLMEME_HIGHWAY
TEST_CASE("Every instruction set of this machine gives the same losses, and touches no float beyond its rows") {
  const auto a = unit_vectors(37, 5, torch::kFloat), b = unit_vectors(41, 5, torch::kFloat);
  const auto student = torch::randn({3, 3, 37}).requires_grad_(), teacher = torch::randn({2, 3, 37});
  const auto scale = torch::tensor(9.0F);
  const auto results = [&] {
    const auto s = mix(sm::similarity_logsumexp(a, b, scale), true);
    const auto dino = sm::DinoLoss{{.prototypes = 37}}(student, teacher).total;
    auto all = torch::autograd::grad({s}, {a, b});
    all.push_back(torch::autograd::grad({dino}, {student})[0]);
    const auto halves = student.detach().to(torch::kBFloat16).requires_grad_();
    const auto of_halves = sm::DinoLoss{{.prototypes = 37}}(halves, teacher.to(torch::kBFloat16)).total;
    all.push_back(torch::autograd::grad({of_halves}, {halves})[0].to(torch::kFloat));
    all.push_back(of_halves.detach());
    all.push_back(s.detach());
    all.push_back(dino.detach());
    return all;
  };
  const auto expected = results();
  {  // bf16 is fp32 with rounding before and after
    const auto rounded = student.detach().to(torch::kBFloat16).to(torch::kFloat).requires_grad_();
    const auto total = sm::DinoLoss{{.prototypes = 37}}(rounded, teacher.to(torch::kBFloat16).to(torch::kFloat)).total;
    CHECK(torch::equal(total, expected[4]));
    const auto gradient = torch::autograd::grad({total}, {rounded})[0];
    CHECK(torch::equal(gradient.to(torch::kBFloat16).to(torch::kFloat), expected[3]));
  }
  std::set<std::string> seen;
  sm::test::on_every_instruction_set([&] {
    seen.insert(sm::detail::kernel_target());
    const auto actual = results();
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const auto relative = i == 3 ? 8e-3 : 1e-5;  // one rounding of bf16, of two numbers on either side of a border
      CHECK_THAT(actual[i], AllCloseTo(expected[i], {relative, 1e-6, 1e-6}));
    }
  });
  CHECK(seen.size() == hwy::SupportedAndGeneratedTargets().size());
}
#endif
