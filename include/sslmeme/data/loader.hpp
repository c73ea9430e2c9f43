// DataLoader: batches from a dataset, made ahead by worker threads. What comes out, and in which order, depends on the
// seed and the epoch alone, not on the number of workers or on where in the epoch it starts.
#pragma once

#include <sslmeme/core/batch.hpp>
#include <sslmeme/data/dataset.hpp>
#include <sslmeme/data/views.hpp>
#include <sslmeme/text/tokenizer.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

namespace sslmeme {

struct LoaderOptions {
  std::int64_t batch_size = 32;  ///< samples a batch
  int workers = 2;               ///< threads that prepare batches; 0: the calling thread does
  std::uint64_t seed = 0;        ///< order and augmentation
  bool shuffle = true;           ///< a new order each epoch; otherwise the dataset's
  bool drop_last = true;         ///< leave out a last, smaller batch: right for training, set false to evaluate
  int prefetch = 2;              ///< batches that each worker may be ahead
  std::shared_ptr<const Tokenizer> tokenizer = {};  ///< makes Batch::tokens and mask; none: they stay undefined
  std::int64_t max_tokens = 77;                     ///< longest row of tokens
};

/// The batches of a dataset, epoch by epoch. One thread may use a loader at a time.
///
///   DataLoader loader{data, cass_views({.size = 224}), {.batch_size = 32, .workers = 2, .seed = 7}};
///   loader.start_epoch(0);
///   while (const auto batch = loader.next()) { … }
///
/// The order comes from derive_seed({seed, epoch}), the dice of a view from derive_seed({seed, epoch, sample id,
/// view}).
class DataLoader {
 public:
  /// Takes any Dataset. Throws InvalidArgument for options that cannot work and for a dataset that gives no batch.
  DataLoader(AnyDataset data, Views views, LoaderOptions options = {});
  ~DataLoader();
  DataLoader(DataLoader&&) noexcept;
  DataLoader& operator=(DataLoader&&) noexcept;

  /// Begins an epoch at batch `first_batch`, giving up one that is under way. views_required: the views that a method
  /// wants, see Views::repeated; 0 for those of the loader. Throws InvalidArgument if first_batch is outside the epoch
  /// or the views do not fit.
  void start_epoch(std::int64_t epoch, std::int64_t first_batch = 0, int views_required = 0);

  /// The next batch, or none at the end of the epoch. Rethrows what went wrong with a sample, as the same class of
  /// sslmeme::Error and naming its id and picture; after that a new epoch can be started. Throws InvalidArgument if
  /// none was started.
  std::optional<Batch> next();

  std::int64_t batches_per_epoch() const;
  /// The size of the dataset.
  std::size_t samples() const { return dataset().size(); }
  const AnyDataset& dataset() const;
  const Views& views() const;
  const LoaderOptions& options() const;
  /// Seconds that next() has waited for data since the loader was made.
  double wait_seconds() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace sslmeme
