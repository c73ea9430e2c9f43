// Included by tests of tiny networks, which only wait when two threads share their work: LibTorch gets one thread.
#pragma once

#include <ATen/Parallel.h>

namespace sslmeme::test {

[[maybe_unused]] const bool one_thread = (at::set_num_threads(1), true);

}  // namespace sslmeme::test
