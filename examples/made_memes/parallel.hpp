// A loop over independent pieces of work on several threads.
#pragma once

#include <functional>

namespace sslmeme {

/// Calls work(i) once for every i in 0 … count − 1 on up to `threads` threads (0: one a core), the caller's among them,
/// which alone calls progress(done, count). The first exception stops the loop and is thrown again.
void parallel_for(int count, int threads, const std::function<void(int)>& work,
                  const std::function<void(int, int)>& progress = {});

}  // namespace sslmeme
