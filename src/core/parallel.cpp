#include "core/parallel.hpp"

#include <ATen/Parallel.h>
#include <ATen/TensorIterator.h>
#include <ATen/ops/empty.h>

namespace sslmeme::detail {

void parallel_for(std::int64_t n, std::int64_t grain, const std::function<void(std::int64_t, std::int64_t)>& f) {
  if (n <= 0) return;
  if (n <= grain || at::get_num_threads() == 1 || at::in_parallel_region()) return f(0, n);
  // An iterator over n bytes that are neither read nor written: where a range begins tells which one it is.
  const auto places = at::empty({n}, at::kByte);
  const auto* const first = static_cast<const char*>(places.const_data_ptr());
  auto iterator = at::TensorIterator::borrowing_nullary_op(places);
  iterator.for_each(
      [&](char** data, const std::int64_t* /*strides*/, std::int64_t count, std::int64_t /*of one dimension: 1*/) {
        const std::int64_t begin = data[0] - first;
        f(begin, begin + count);
      },
      grain);
}

}  // namespace sslmeme::detail
