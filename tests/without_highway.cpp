// Linked into tests of losses whose kernels are to be absent.
#include <catch2/catch_test_macros.hpp>

#include "loss/kernels.hpp"

TEST_CASE("The kernels are absent: the losses are made of plain tensor operations") {
  CHECK(sslmeme::detail::kernel_target() == nullptr);
}
