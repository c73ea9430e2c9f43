#include <sslmeme/train/schedule.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>

namespace sm = sslmeme;
using Catch::Matchers::WithinAbs;

TEST_CASE("The learning rate rises to its peak, then falls to its end") {
  const sm::WarmupCosine schedule{.warmup_epochs = 1.5,
                                  .final_factor = 0.1};  // 1.5 epochs of 5 steps end within step 7
  double before = 0;
  for (int step = 0; step < 50; ++step) {
    INFO(step);
    const auto factor = schedule.factor(step, 50, 5);
    CHECK((factor > 0 && factor <= 1));
    CHECK((step <= 8 ? factor > before : factor < before));
    before = factor;
  }
  CHECK_THAT(schedule.factor(0, 50, 5), WithinAbs(1 / 8.5, 1e-12));
  CHECK_THAT(before, WithinAbs(0.1, 0.005));
  CHECK_THAT(schedule.factor(50, 50, 5), WithinAbs(0.1, 1e-12));
  CHECK_THAT(schedule.factor(500, 50, 5), WithinAbs(0.1, 1e-12));  // later steps stay at the end
}

TEST_CASE("Without warmup the first step is at the peak and the middle at half") {
  const sm::WarmupCosine schedule;
  CHECK(schedule.factor(0, 20, 5) == 1);
  CHECK_THAT(schedule.factor(10, 20, 5), WithinAbs(0.5, 1e-12));
}

TEST_CASE("A warmup as long as the run only rises") {
  const sm::WarmupCosine schedule{.warmup_epochs = 9};
  for (int step = 1; step < 10; ++step) CHECK(schedule.factor(step, 10, 5) > schedule.factor(step - 1, 10, 5));
  CHECK(schedule.factor(9, 10, 5) < 1);
}
