// One epoch's batches, made in any order and by any thread: the part of the loader that knows nothing of threads.
#pragma once

#include <sslmeme/data/loader.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace sslmeme::detail {

/// Batches of a dataset with options.batch_size samples each.
std::int64_t count_batches(std::size_t samples, const LoaderOptions& options);

/// The order and the views of one epoch. Immutable, so its batches can be made by several threads at once.
class EpochBatches {
 public:
  EpochBatches(AnyDataset data, Views views, const LoaderOptions& options, std::int64_t epoch);

  std::int64_t count() const { return count_batches(data_.size(), options_); }
  /// Batch `index`. Throws what went wrong with a sample, naming it. Returns an unfinished batch once `stop` is set.
  Batch make(std::int64_t index, const std::atomic<bool>& stop) const;

 private:
  void add_sample(std::size_t position, std::int64_t row, Batch& batch, std::vector<std::string>& texts) const;

  AnyDataset data_;
  Views views_;
  LoaderOptions options_;
  std::int64_t epoch_;
  std::vector<std::size_t> order_;
};

}  // namespace sslmeme::detail
