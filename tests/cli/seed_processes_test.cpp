// Processes that a program forks: what fails in one is told, and LibTorch's threads work in each.
#include <sslmeme/core/error.hpp>

#include <ATen/Parallel.h>
#include <torch/torch.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>

#include <csignal>
#include <stdexcept>

#include "support/seed_processes.hpp"

using Catch::Matchers::Message;

namespace {

/// Starts LibTorch's threads: only ever in a child here, since a fork would leave their locks behind.
void multiply() {
  at::set_num_threads(2);
  const auto x = torch::ones({512, 512});
  if (torch::mm(x, x).sum().item<float>() != 512.0F * 512 * 512) throw std::runtime_error("a wrong product");
}

}  // namespace

TEST_CASE("Threads that were at work apart do not stop those of the seeds") {
  examples::run_apart(multiply);
  examples::run_seed_processes(2, [](int, examples::SeedProgress& progress) {
    progress.begin_fit("product");
    multiply();
  });
  examples::run_apart(multiply);
}

TEST_CASE("What fails in a process is told") {
  const auto fail = [] { throw std::runtime_error("no luck\nand a trace"); };
  CHECK_THROWS_MATCHES(examples::run_apart(fail), sslmeme::Error, Message("no luck"));
  CHECK_THROWS_MATCHES(examples::run_apart([] { std::raise(SIGKILL); }), sslmeme::Error,
                       Message("its process ended by signal 9"));
  CHECK_THROWS_MATCHES(examples::run_seed_processes(2,
                                                    [&](int seed, examples::SeedProgress&) {
                                                      if (seed == 1) fail();
                                                    }),
                       sslmeme::Error, Message("seed 1: no luck"));
}
