// A sample that cannot be read in the middle of a run: the error names it, nothing is lost, and once the sample is
// mended the same loader serves the resumed run, which ends as one that never failed.
#include <sslmeme/core/error.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <atomic>
#include <memory>

#include "tiny_run.hpp"

namespace fs = std::filesystem;
namespace sm = sslmeme;
using namespace sm::test;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

namespace {

/// Noise of which one sample is unreadable from the so many-th look at it on, until it is mended.
struct Failing {
  std::int64_t sample = 13;
  std::shared_ptr<std::atomic<int>> looks_left = std::make_shared<std::atomic<int>>(1);

  std::size_t size() const { return Noise{}.size(); }
  sm::Sample get(std::size_t i) const {
    if (std::cmp_equal(i, sample) && (*looks_left)-- <= 0) throw sm::DataError("the JPEG ends after 512 bytes");
    return Noise{}.get(i);
  }
};

}  // namespace

TEST_CASE("A worker's exception ends the run, named; the loader and the run go on once it is mended") {
  const int workers = GENERATE(0, 1, 2);
  INFO(workers);
  const TemporaryFolder temporary;
  const auto expected = train(options(temporary / "whole"));
  const auto run = temporary / "run";
  const Failing noise;
  sm::DataLoader loader{noise, sm::cass_views({.size = 16}), {.batch_size = 4, .workers = workers, .seed = 3}};
  const auto fit = [&](sm::ExistingRun existing) {
    sm::Trainer trainer{tiny_cass(), options(run, existing)};
    auto result = trainer.fit(loader, sm::Checkpoint{.every_steps = 1});
    return Trained{std::move(result), sm::state_of(*trainer.method().module())};
  };
  CHECK_THROWS_MATCHES(
      fit(sm::ExistingRun::refuse), sm::DataError,
      MessageMatches(ContainsSubstring("sample at position 13") && ContainsSubstring("the JPEG ends after 512 bytes")));
  const auto kept = checkpoints_of(run);
  REQUIRE_FALSE(kept.empty());
  // Epoch 1 has the second look at it; whatever came before that batch is trained on.
  CHECK(log_of(run).size() >= batches);
  CHECK(fs::exists(run / "checkpoints" / *kept.rbegin() / "manifest.json"));
  CHECK_FALSE(fs::exists(run / "model.safetensors"));

  // Not mended: the same again.
  CHECK_THROWS_AS(fit(sm::ExistingRun::resume), sm::DataError);

  noise.looks_left->store(1000);
  check_same(fit(sm::ExistingRun::resume), expected, run);
}
