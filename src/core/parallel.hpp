// parallel_for on LibTorch's own threads.
#pragma once

#include <cstdint>
#include <functional>

namespace sslmeme::detail {

/// f(begin, end) for ranges that make up [0, n), on at::get_num_threads() threads, each with at least `grain`.
///
/// at::parallel_for, a template, runs on one thread unless the code that calls it is compiled with OpenMP, whose
/// runtime would then be a second one beside LibTorch's.
void parallel_for(std::int64_t n, std::int64_t grain, const std::function<void(std::int64_t, std::int64_t)>& f);

}  // namespace sslmeme::detail
