// Running the example programs.
#pragma once

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <string>

namespace sslmeme::test {

struct Outcome {
  int code = -1;
  std::string output;  ///< stdout and stderr together

  long lines() const { return std::count(output.begin(), output.end(), '\n'); }
};

/// Runs a command of the shell.
inline Outcome run_command(const std::string& command) {
  FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  REQUIRE(pipe != nullptr);
  Outcome outcome;
  std::array<char, 4096> buffer{};
  while (const auto n = std::fread(buffer.data(), 1, buffer.size(), pipe)) outcome.output.append(buffer.data(), n);
  const int status = ::pclose(pipe);
  outcome.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  INFO(outcome.output);
  return outcome;
}

/// Runs a program of ours. LibTorch gets one thread: tests run side by side.
inline Outcome run(const std::string& program, const std::string& arguments) {
  return run_command("OMP_NUM_THREADS=1 " + (std::filesystem::path{SSLMEME_PROGRAMS} / program).string() + " " +
                     arguments);
}

/// Exit code 1 and one line from the program, which has `part` in it.
inline void check_one_line(const Outcome& outcome, const std::string& program, const std::string& part) {
  INFO(outcome.output);
  CHECK(outcome.code == 1);
  CHECK(outcome.lines() == 1);
  CHECK_THAT(outcome.output, Catch::Matchers::StartsWith(program + ": "));
  CHECK_THAT(outcome.output, Catch::Matchers::ContainsSubstring(part));
}

}  // namespace sslmeme::test
