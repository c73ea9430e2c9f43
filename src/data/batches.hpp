// One epoch's batches, made in any order and by any thread: the part of the loader that knows nothing of threads.
#pragma once

#include <sslmeme/data/loader.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sslmeme::detail {

/// Batches of one rank in an epoch of so many draws.
std::int64_t count_batches(std::size_t draws, const LoaderOptions& options);

/// LoaderOptions::sampler, or what `shuffle` stands for.
AnySampler sampler_of(const LoaderOptions& options);

/// For each position the first one whose sample has the same id; empty where no two have, or only pictures would tell.
std::vector<std::size_t> firsts_by_id(const AnyDataset& data);

/// "sample 42953 (img/42953.png): why", with the file only if `why` does not name it.
std::string with_name(const UnreadableSample& sample, std::string_view why);

/// A batch, or why there is none, and what could not be read on the way.
struct MadeBatch {
  Batch batch;
  std::vector<UnreadableSample> unreadable;  ///< in the order of rows and tries; may hold a sample several times
  std::int64_t substituted = 0;              ///< rows
  std::int64_t left_out = 0;                 ///< rows
  std::exception_ptr error;
};

/// The order and the views of one epoch. Immutable, so its batches can be made by several threads at once.
class EpochBatches {
 public:
  /// firsts: firsts_by_id of the dataset, by which it is told that an epoch has a sample again.
  EpochBatches(AnyDataset data, Views views, const LoaderOptions& options, std::int64_t epoch,
               std::span<const std::size_t> firsts);

  std::int64_t count() const { return count_; }
  /// The positions of the samples that this rank's batches ask for.
  std::vector<std::size_t> own_positions() const;
  /// Batch `index`. Its error is what went wrong with a sample, naming it. An unfinished batch once `stop` is set.
  MadeBatch make(std::int64_t index, const std::atomic<bool>& stop) const;

 private:
  /// Rows of a batch: the places from `first` on in the order.
  struct Rows {
    std::int64_t first, count, padding;
  };
  Rows rows_of(std::int64_t index) const;
  void fill(MadeBatch& made, const Rows& rows, const std::atomic<bool>& stop) const;
  /// False where the sample is left out.
  bool add_readable(std::size_t place, std::int64_t row, MadeBatch& made, std::vector<std::string>& texts) const;
  void add_substitute(std::size_t place, std::int64_t row, MadeBatch& made, std::vector<std::string>& texts) const;
  void add_sample(std::size_t position, std::uint64_t again, std::int64_t row, Batch& batch,
                  std::vector<std::string>& texts) const;
  std::uint64_t repetition(std::size_t place) const { return repetitions_.empty() ? 0 : repetitions_[place]; }

  AnyDataset data_;
  Views views_;
  LoaderOptions options_;
  std::int64_t epoch_, count_;
  std::vector<std::size_t> order_;          // of all ranks; after the draws what fills up the last batch
  std::size_t draws_;                       // how many there are without it
  std::vector<std::uint32_t> repetitions_;  // how often the same sample came before; empty where none ever did
};

}  // namespace sslmeme::detail
