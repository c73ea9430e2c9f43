#include <sslmeme/core/error.hpp>
#include <sslmeme/train/schedule.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <limits>
#include <string>

namespace sm = sslmeme;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using Catch::Matchers::WithinAbs;

TEST_CASE("The learning rate rises to its peak, then falls to its end") {
  const sm::Schedule schedule = sm::WarmupCosine{.warmup = sm::Epochs{1.5}, .final_factor = 0.1};
  double before = 0;
  for (int step = 0; step < 50; ++step) {  // 1.5 epochs of 5 steps end within step 7
    INFO(step);
    const auto factor = schedule.factor({step, 50, 5});
    CHECK((factor > 0 && factor <= 1));
    CHECK((step <= 8 ? factor > before : factor < before));
    before = factor;
  }
  CHECK_THAT(schedule.factor({0, 50, 5}), WithinAbs(1 / 8.5, 1e-12));
  CHECK_THAT(before, WithinAbs(0.1, 0.005));
  CHECK_THAT(schedule.factor({50, 50, 5}), WithinAbs(0.1, 1e-12));
  CHECK_THAT(schedule.factor({500, 50, 5}), WithinAbs(0.1, 1e-12));  // later steps stay at the end
}

TEST_CASE("Without warmup the first step is at the peak and the middle at half") {
  const sm::Schedule schedule;
  CHECK(schedule.factor({0, 20, 5}) == 1);
  CHECK_THAT(schedule.factor({10, 20, 5}), WithinAbs(0.5, 1e-12));
}

TEST_CASE("A warmup as long as the run only rises") {
  const sm::Schedule schedule = sm::WarmupCosine{.warmup = sm::Epochs{9}};
  for (int step = 1; step < 10; ++step) CHECK(schedule.factor({step, 10, 5}) > schedule.factor({step - 1, 10, 5}));
  CHECK(schedule.factor({9, 10, 5}) < 1);
}

TEST_CASE("Five steps are no five epochs") {
  const sm::Schedule steps = sm::Constant{.warmup = sm::Steps{5}}, epochs = sm::Constant{.warmup = sm::Epochs{5}};
  CHECK(steps.factor({5, 100, 10}) == 1);
  CHECK_THAT(epochs.factor({5, 100, 10}), WithinAbs(6 / 51.0, 1e-12));
  CHECK(epochs.factor({50, 100, 10}) == 1);
}

TEST_CASE("By epoch the rate stays within an epoch") {
  const sm::Schedule schedule{sm::WarmupCosine{.warmup = sm::Epochs{1}, .warmup_from = 0.25}, sm::Pace::by_epoch};
  for (int step = 0; step < 40; ++step) {
    INFO(step);
    CHECK(schedule.factor({step, 40, 10}) == schedule.factor({step / 10 * 10, 40, 10}));
  }
  CHECK(schedule.factor({0, 40, 10}) == 0.25);
  CHECK(schedule.factor({10, 40, 10}) == 1);
  CHECK_THAT(schedule.factor({20, 40, 10}), WithinAbs(0.75, 1e-12));
  const sm::Schedule steps{sm::Milestones{.at = {sm::Steps{20}}}, sm::Pace::by_epoch};
  CHECK(steps.factor({19, 40, 10}) == 1);
  CHECK_THAT(steps.factor({20, 40, 10}), WithinAbs(0.1, 1e-12));
}

TEST_CASE("Fields out of range are refused by name") {
  const auto refused = [](const sm::Schedule& schedule, const std::string& what) {
    CHECK_THROWS_MATCHES(schedule.check(), sm::InvalidArgument, MessageMatches(ContainsSubstring(what)));
  };
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  refused(sm::WarmupCosine{.warmup = sm::Epochs{nan}}, "WarmupCosine::warmup is nan; it must be zero or more");
  refused(sm::WarmupCosine{.warmup = sm::Steps{-1}}, "WarmupCosine::warmup is -1");
  refused(sm::WarmupCosine{.warmup_from = 2}, "WarmupCosine::warmup_from is 2; it must be at most 1");
  refused(sm::WarmupPolynomial{.power = 0}, "WarmupPolynomial::power is 0; it must be positive");
  refused(sm::Milestones{.at = {sm::Epochs{1}, sm::Epochs{-2}}}, "Milestones::at[1] is -2");
  refused(sm::Milestones{.factor = 2}, "Milestones::factor is 2; it must be in [0, 1]");
  refused(sm::CosineWave{.half_period = sm::Steps{0}}, "CosineWave::half_period is 0; it must be positive");
  refused(sm::CosineRestarts{.growth = 0.5}, "CosineRestarts::growth is 0.5; it must be at least 1");
}
