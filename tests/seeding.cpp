// Every test case begins with LibTorch's generator at the same seed: what passes once passes again.
#include <torch/types.h>
#include <torch/utils.h>
#include <catch2/reporters/catch_reporter_event_listener.hpp>
#include <catch2/reporters/catch_reporter_registrars.hpp>

namespace {

struct Seeding : Catch::EventListenerBase {
  using EventListenerBase::EventListenerBase;
  void testCasePartialStarting(const Catch::TestCaseInfo& /*info*/, std::uint64_t /*part*/) override {
    torch::manual_seed(1);
  }
};
CATCH_REGISTER_LISTENER(Seeding)

}  // namespace
