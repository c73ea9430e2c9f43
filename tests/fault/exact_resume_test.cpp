// A run whose process was killed, resumed, killed again and resumed again ends, byte by byte, as one that was not.
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <string>
#include <vector>

#include "fault/process.hpp"
#include "files.hpp"
#include "json_files.hpp"

namespace fs = std::filesystem;
using namespace sslmeme::test;

namespace {

/// What must be equal: weights, moments, every epoch's means and the log but for what tells of time and memory.
struct Outcome {
  std::string weights, average, optimizer;
  nlohmann::json history;
  std::vector<nlohmann::json> log;
  bool operator==(const Outcome&) const = default;
};

Outcome outcome_of(const fs::path& run) {
  Outcome outcome;
  outcome.weights = bytes_of(run / "model.safetensors");
  if (fs::exists(run / "average.safetensors")) outcome.average = bytes_of(run / "average.safetensors");
  std::string newest;
  for (const auto& entry : fs::directory_iterator{run / "checkpoints"})
    newest = std::max(newest, entry.path().filename().string());
  outcome.optimizer = bytes_of(run / "checkpoints" / newest / "optimizer.safetensors");
  outcome.history = json_of(run / "checkpoints" / newest / "manifest.json").at("history");
  outcome.log = timeless_log_of(run);
  for (auto& line : outcome.log) line.erase("note");  // names the run directory
  return outcome;
}

/// Runs it to its end, killed first at each of `kills` in turn.
Outcome killed(const fs::path& run, const std::string& method, std::vector<std::string> how,
               const std::vector<std::string>& kills) {
  how.insert(how.begin(), {run.string(), method});
  for (const auto& kill : kills) {
    auto arguments = how;
    arguments.push_back(kill);
    CHECK(run_trainee(arguments).signal == SIGKILL);
    if (how.back() != "resume=1") how.emplace_back("resume=1");
  }
  CHECK(run_trainee(how).code == 0);
  return outcome_of(run);
}

}  // namespace

TEST_CASE("Every method resumes exactly") {
  const std::string method = GENERATE("cass", "everything", "cass_mm", "cass_mm_fused", "edges", "clip", "supervised",
                                      "rgcl", "simclr", "simsiam", "byol", "moco", "moco_v3", "dino");
  INFO(method);
  const TemporaryFolder temporary;
  const auto expected = killed(temporary / "whole", method, {}, {});
  CHECK(expected.log.size() == 18);
  CHECK(expected.history.size() == 3);
  // After the last step of an epoch was saved, but not its end; and at the end of one before that step is saved.
  CHECK((killed(temporary / "cut", method, {}, {"kill_step=7", "kill_step=12"}) == expected));
}

TEST_CASE("So does a run with any number of workers, killed at any sample") {
  const TemporaryFolder temporary;
  const auto expected = killed(temporary / "whole", "cass_mm", {"accumulate=2"}, {});
  CHECK(expected.log.size() == 9);
  for (const std::string workers : {"workers=0", "workers=1", "workers=2"}) {
    INFO(workers);
    // With no worker sample 30 is read between the two batches of a step.
    CHECK((killed(temporary / workers, "cass_mm", {"accumulate=2", workers, "every=1"},
                  {"kill_sample=30", "kill_sample=22"}) == expected));
  }
}
