// Killed at any moment, also while it writes a checkpoint, a run loses no more than what came after the last one.
#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <chrono>
#include <random>
#include <string>
#include <thread>

#include "fault/process.hpp"
#include "files.hpp"
#include "train/checkpoint_store.hpp"

namespace fs = std::filesystem;
using namespace sslmeme::test;
using std::chrono::microseconds;

namespace {

/// Whether a checkpoint is being written: "partial-old-…" is one that is being deleted.
bool write_goes_on(const fs::path& checkpoints) {
  std::error_code gone;  // names come and go while they are read
  for (fs::directory_iterator at{checkpoints, gone}, end; !gone && at != end; at.increment(gone)) {
    const auto name = at->path().filename().string();
    if (name.starts_with("partial-") && !name.starts_with("partial-old-")) return true;
  }
  return false;
}

/// Waits for the next write; not for ever, since it may be over between two looks.
void wait_for_write(const fs::path& checkpoints) {
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::milliseconds{500};
  while (!write_goes_on(checkpoints) && std::chrono::steady_clock::now() < give_up)
    std::this_thread::sleep_for(microseconds{20});
}

}  // namespace

TEST_CASE("Fifty kills within a write: the newest checkpoint is whole, and one interval is the most that is lost") {
  const TemporaryFolder temporary;
  const auto run = temporary / "run", checkpoints = run / "checkpoints";
  const std::vector<std::string> trained{run.string(), "cass", "every=1", "width=16"};  // 4 MB a checkpoint
  std::mt19937 dice{5};
  double longest = 6000;  // microseconds from a write's beginning to the kill; less where writes are over before
  int within_write = 0;
  for (int attempt = 0; within_write < 50; ++attempt) {
    REQUIRE(attempt < 200);
    sslmeme::remove_tree(run);  // a run is soon over, so each begins anew
    Trainee trainee{trained};
    int last = 0;
    const auto wait_until = std::uniform_int_distribution{1, 4}(dice);
    while (last < wait_until) {
      const auto step = trainee.next_step();
      REQUIRE(step);
      last = *step;
    }
    wait_for_write(checkpoints);
    const auto later = static_cast<std::int64_t>(std::uniform_real_distribution{0.0, longest}(dice));
    std::this_thread::sleep_for(microseconds{later});
    trainee.send(SIGKILL);
    const auto end = trainee.wait();
    if (end.signal != SIGKILL) continue;  // it was done before
    last = std::max(last, end.last_step);
    const bool hit = write_goes_on(checkpoints);
    within_write += hit ? 1 : 0;
    if (!hit) longest *= 0.8;
    const auto found = sslmeme::detail::checkpoints_in(checkpoints);
    if (last == 1 && found.empty()) continue;
    REQUIRE_FALSE(found.empty());
    for (const auto& path : found) CHECK_NOTHROW(sslmeme::detail::read_checkpoint(path));
    CHECK(sslmeme::detail::read_progress(found.front()).step >= last - 1);  // the write of `last` may not have ended
  }
  auto resumed = trained;
  resumed.emplace_back("resume=1");
  CHECK(run_trainee(resumed).code == 0);
  for (const auto& entry : fs::directory_iterator{checkpoints})
    CHECK(entry.path().filename().string().starts_with("step-"));
}
