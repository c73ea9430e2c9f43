// SIGTERM and SIGINT: a checkpoint within seconds, an exit code of its own, and a run that goes on as if nothing was.
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <chrono>
#include <string>

#include "fault/process.hpp"
#include "files.hpp"
#include "train/checkpoint_store.hpp"

using namespace sslmeme::test;

TEST_CASE("A signal ends a run after its step, saved; resumed it ends as it would have") {
  const auto signal = GENERATE(SIGTERM, SIGINT);
  const auto when = GENERATE(1, 6, 11);
  INFO("signal " << signal << " at step " << when);
  const TemporaryFolder temporary;
  const auto whole = temporary / "whole", run = temporary / "run";
  REQUIRE(run_trainee({whole.string(), "cass", "every=100"}).code == 0);
  {
    Trainee trainee{{run.string(), "cass", "every=100", "pause=20"}};
    while (true) {
      const auto step = trainee.next_step();
      REQUIRE(step);
      if (*step == when) break;
    }
    const auto sent = std::chrono::steady_clock::now();
    trainee.send(signal);
    const auto end = trainee.wait();
    CHECK(end.code == 75);
    CHECK(std::chrono::steady_clock::now() - sent < std::chrono::seconds{5});
    const auto found = sslmeme::detail::checkpoints_in(run / "checkpoints");
    REQUIRE(found.size() == 1);
    CHECK(sslmeme::detail::read_progress(found.front()).step == std::max(end.last_step, when));
    CHECK_FALSE(std::filesystem::exists(run / "model.safetensors"));
  }
  CHECK(run_trainee({run.string(), "cass", "every=100", "resume=1"}).code == 0);
  CHECK((bytes_of(run / "model.safetensors") == bytes_of(whole / "model.safetensors")));
}
