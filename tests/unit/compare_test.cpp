#include <sslmeme/core/error.hpp>
#include <sslmeme/core/random.hpp>
#include <sslmeme/eval/compare.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "evaluation_golden.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using Catch::Matchers::WithinAbs;
using Catch::Matchers::WithinRel;
namespace sm = sslmeme;

namespace {

using Numbers = std::vector<double>;
using Classes = std::vector<std::int64_t>;
using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("DeLong's test and interval are those of the definition, pair by pair") {
  for (const auto& expected : sm::test::evaluation_golden("delong")) {
    const auto scores_a = expected.at("a").get<Numbers>(), scores_b = expected.at("b").get<Numbers>();
    const auto labels = expected.at("labels").get<Classes>();
    // [compare]
    const auto test = sm::delong_test(scores_a, scores_b, labels);
    const bool differ = test.p < 0.05;
    const auto [auroc, variance, interval] = sm::delong_interval(scores_a, labels, 0.9);
    // [/compare]
    CHECK(differ == (expected.at("p") < 0.05));
    CHECK_THAT(test.auroc_a, WithinAbs(expected.at("auroc_a"), 1e-14));
    CHECK_THAT(test.auroc_b, WithinAbs(expected.at("auroc_b"), 1e-14));
    CHECK_THAT(test.variance, WithinRel(expected.at("variance").get<double>(), 1e-10));
    CHECK_THAT(test.z, WithinRel(expected.at("z").get<double>(), 1e-10));
    CHECK_THAT(test.p, WithinRel(expected.at("p").get<double>(), 1e-9));
    CHECK(auroc == sm::auroc(scores_a, labels));
    CHECK_THAT(variance, WithinRel(expected.at("variance_a").get<double>(), 1e-10));
    CHECK_THAT(interval.low, WithinAbs(expected.at("interval_90")[0], 1e-12));
    CHECK_THAT(interval.high, WithinAbs(expected.at("interval_90")[1], 1e-12));

    const auto swapped = sm::delong_test(scores_b, scores_a, labels);
    CHECK((swapped.z == -test.z && swapped.p == test.p));
  }
}

TEST_CASE("Models of the same order do not differ, whatever their scales") {
  const auto golden = sm::test::evaluation_golden("delong")[0];
  const auto scores = golden.at("a").get<Numbers>();
  const auto labels = golden.at("labels").get<Classes>();
  auto logits = scores;
  for (auto& s : logits) s = 3 * s - 7;
  const auto test = sm::delong_test(scores, logits, labels);
  CHECK((test.z == 0 && test.p == 1 && test.variance == 0));
}

TEST_CASE("A difference without variance is certain") {
  const Classes labels{0, 0, 1, 1};
  const auto test = sm::delong_test(Numbers{1, 2, 3, 4}, Numbers{4, 3, 2, 1}, labels);
  CHECK((test.auroc_a == 1 && test.auroc_b == 0));
  CHECK((std::isinf(test.z) && test.z > 0 && test.p == 0));
  const auto perfect = sm::delong_interval(Numbers{1, 2, 3, 4}, labels);
  CHECK((perfect.interval.low == 1 && perfect.interval.high == 1));
}

TEST_CASE("The interval holds the true AUROC, and the test errs, as often as they say") {
  const double truth = std::erfc(-0.5 / std::sqrt(2.0)) / 2;  // N(1, 2) against N(0, 2)
  sm::Rng rng{1};
  constexpr int runs = 2000;
  int held = 0, rejected = 0;
  for (int run = 0; run < runs; ++run) {
    Numbers a, b;
    Classes labels;
    for (int i = 0; i < 80; ++i) {
      labels.push_back(i % 2);
      const double shared = rng.normal() + i % 2;
      a.push_back(shared + rng.normal());
      b.push_back(shared + rng.normal());
    }
    const auto interval = sm::delong_interval(a, labels, 0.8).interval;
    held += interval.low <= truth && truth <= interval.high ? 1 : 0;
    rejected += sm::delong_test(a, b, labels).p < 0.2 ? 1 : 0;
  }
  // The part of 2,000 runs deviates by 0.9 % from run to run; so small samples add about 1 %.
  CHECK_THAT(static_cast<double>(held) / runs, WithinAbs(0.8, 0.04));
  CHECK_THAT(static_cast<double>(rejected) / runs, WithinAbs(0.2, 0.04));
}

TEST_CASE("Figures by group are those of its samples alone") {
  const Numbers scores{0.9, 0.1, 0.4, 0.6, 0.7, 0.2, 0.8};
  const std::vector<std::uint8_t> labels{1, 0, 1, 0, 1, 1, 1};
  const auto figures =
      sm::evaluate_groups(scores, labels, Names{"women", "women", "men", "men", "men", "animals", "animals"});
  REQUIRE(figures.size() == 3);
  CHECK((figures[0].group == "animals" && figures[1].group == "men" && figures[2].group == "women"));
  CHECK((figures[0].n == 2 && figures[0].positives == 2 && figures[0].accuracy == 0.5));
  CHECK_FALSE(figures[0].auroc.has_value());
  CHECK((figures[1].n == 3 && figures[1].positives == 2));
  CHECK(figures[1].auroc == 0.5);
  CHECK_THAT(figures[1].accuracy, WithinAbs(1.0 / 3, 1e-15));
  CHECK((figures[2].auroc == 1.0 && figures[2].accuracy == 1));
  CHECK(sm::evaluate_groups(scores, labels, Names(7, "all"), 0.05)[0].accuracy == sm::accuracy(scores, labels, 0.05));
}

TEST_CASE("Figures of groups are scikit-learn's on each alone") {
  const auto golden = sm::test::evaluation_golden("groups");
  const auto figures = sm::evaluate_groups(golden.at("scores").get<Numbers>(), golden.at("labels").get<Classes>(),
                                           golden.at("groups").get<Names>());
  REQUIRE(figures.size() == golden.at("figures").size());
  for (std::size_t i = 0; i < figures.size(); ++i) {
    const auto& expected = golden.at("figures").at(i);
    CHECK(figures[i].group == expected.at("group").get<std::string>());
    CHECK(figures[i].n == expected.at("n"));
    CHECK(figures[i].positives == expected.at("positives"));
    CHECK_THAT(*figures[i].auroc, WithinAbs(expected.at("auroc"), 1e-12));
    CHECK_THAT(figures[i].accuracy, WithinAbs(expected.at("accuracy"), 1e-12));
  }
}

TEST_CASE("What cannot be compared is refused") {
  const auto refused = [](const std::string& why, auto call) {
    INFO(why);
    CHECK_THROWS_MATCHES(call(), sm::InvalidArgument, MessageMatches(ContainsSubstring(why)));
  };
  const Numbers three{0.1, 0.2, 0.3};
  refused("1 harmful and 2 harmless", [&] { return sm::delong_interval(three, Classes{0, 0, 1}); });
  refused("2 harmful and 1 harmless", [&] { return sm::delong_test(three, three, Classes{1, 0, 1}); });
  refused("3 harmful and 0 harmless", [&] { return sm::delong_interval(three, Classes{1, 1, 1}); });
  refused("2 scores and 3 labels", [&] { return sm::delong_test(three, Numbers{1, 2}, Classes{0, 0, 1}); });
  refused("score 1 is nan", [&] { return sm::delong_test(three, Numbers{1, NAN, 2}, Classes{0, 0, 1}); });
  refused("no scores", [] { return sm::delong_interval(Numbers{}, Classes{}); });
  refused("level is 1", [&] { return sm::delong_interval(three, Classes{0, 0, 1}, 1); });
  refused("3 scores and 2 groups", [&] { return sm::evaluate_groups(three, Classes{0, 0, 1}, Names{"a", "b"}); });
  refused("label 2 is 2", [&] { return sm::evaluate_groups(three, Classes{0, 0, 2}, Names{"a", "b", "c"}); });
}
