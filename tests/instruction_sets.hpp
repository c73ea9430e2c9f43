// Runs tests of kernels on every instruction set that they were made for and this machine has.
#pragma once

#ifdef SSLMEME_HIGHWAY
#include <hwy/targets.h>
#endif

#include <catch2/catch_test_macros.hpp>

#include <functional>

namespace sslmeme::test {

/// body() with each in turn; once where the library was built without Highway.
inline void on_every_instruction_set(const std::function<void()>& body) {
#ifdef SSLMEME_HIGHWAY
  for (const auto target : hwy::SupportedAndGeneratedTargets()) {
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    INFO("instruction set " << hwy::TargetName(target));
    body();
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
#else
  body();
#endif
}

}  // namespace sslmeme::test
