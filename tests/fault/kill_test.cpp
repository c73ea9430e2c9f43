// Killed at any moment, also while it writes a checkpoint, a run loses no more than what came after the last one.
#include <catch2/catch_test_macros.hpp>

#include <chrono>
#include <random>
#include <string>
#include <thread>

#include "fault/process.hpp"
#include "files.hpp"
#include "train/checkpoint_store.hpp"

using namespace sslmeme::test;

TEST_CASE("Fifty kills: the newest checkpoint is always whole, and one interval is the most that is lost") {
  const TemporaryFolder temporary;
  const auto run = temporary / "run", checkpoints = run / "checkpoints";
  std::mt19937 dice{5};
  int kills = 0, in_write = 0;
  for (int attempt = 0; kills < 50; ++attempt) {
    REQUIRE(attempt < 200);
    std::filesystem::remove_all(run);  // a run is soon over, so each begins anew
    Trainee trainee{{run.string(), "cass", "every=1"}};
    int last = 0;
    const auto stop_after = std::uniform_int_distribution{1, 12}(dice);
    while (last < stop_after) {
      const auto step = trainee.next_step();
      REQUIRE(step);
      last = *step;
    }
    std::this_thread::sleep_for(std::chrono::microseconds{std::uniform_int_distribution{0, 8000}(dice)});
    trainee.send(SIGKILL);
    const auto end = trainee.wait();
    if (end.signal != SIGKILL) continue;  // it was done before
    ++kills;
    last = std::max(last, end.last_step);
    for (const auto& entry : std::filesystem::directory_iterator{checkpoints})
      in_write += entry.path().filename().string().starts_with("partial-") ? 1 : 0;
    const auto found = sslmeme::detail::checkpoints_in(checkpoints);
    if (last == 1 && found.empty()) continue;
    REQUIRE_FALSE(found.empty());
    for (const auto& path : found) CHECK_NOTHROW(sslmeme::detail::read_checkpoint(path));
    CHECK(sslmeme::detail::read_progress(found.front()).step >= last - 1);  // the write of `last` may not have ended
  }
  CHECK(in_write >= 5);  // kills did fall into writes
  CHECK(run_trainee({run.string(), "cass", "every=1", "resume=1"}).code == 0);
  for (const auto& entry : std::filesystem::directory_iterator{checkpoints})
    CHECK(entry.path().filename().string().starts_with("step-"));
}
