// DataLoader: batches from a dataset, made ahead by worker threads. What comes out, and in which order, depends on the
// seed and the epoch alone, not on the number of workers or on where in the epoch it starts.
#pragma once

#include <sslmeme/core/batch.hpp>
#include <sslmeme/data/dataset.hpp>
#include <sslmeme/data/quarantine.hpp>
#include <sslmeme/data/sampler.hpp>
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
  bool pad_last = false;         ///< fill up the last batch with the first samples of the epoch, see Batch::padding
  int prefetch = 2;              ///< batches that each worker may be ahead
  std::shared_ptr<const Tokenizer> tokenizer = {};  ///< makes Batch::tokens and mask; none: they stay undefined
  std::int64_t max_tokens = 77;                     ///< longest row of tokens
  std::optional<AnySampler> sampler = {};           ///< which samples an epoch has, in place of `shuffle`
  Unreadable unreadable = {};                       ///< what to do with samples that cannot be read
  bool pin_memory = false;  ///< views in page-locked memory, which a GPU reads faster and unwatched; needs a GPU
  /// The share of this loader among `ranks` processes that train together, counted from 0. Each batch is a part of one
  /// large batch of ranks × batch_size samples, which the batches of all ranks make in order; so a sample comes on one
  /// rank only, and all have equally many batches, of equal size. Where drop_last is off the last ones are filled up
  /// like those of pad_last, with as few rows as that takes.
  std::int64_t rank = 0, ranks = 1;
};

/// The batches of a dataset, epoch by epoch. One thread may use a loader at a time.
///
///   DataLoader loader{data, cass_views({.size = 224}), {.batch_size = 32, .workers = 2, .seed = 7}};
///   loader.start_epoch(0);
///   while (const auto batch = loader.next()) { … }
///
/// The order comes from derive_seed({seed, epoch}), the dice of a view from derive_seed({seed, epoch, sample id,
/// view}); where an epoch has a sample again, also from how often it came before. That it is the same is told by its
/// id, and by its position for a dataset that tells ids with the pictures alone.
///
/// Unreadable samples: under UnreadablePolicy::substitute the one that takes the place is drawn from the epoch's by
/// dice from derive_seed({seed, epoch, id of the unreadable sample, repetition, try}), again until one can be read, and
/// at most 16 times. So batches do not depend on what was found unreadable before; quarantine() does: it starts empty
/// with the loader, and knows after a resume only what came since. Under UnreadablePolicy::leave_out the other rows of
/// the batch move up, and a batch of which nothing is left is not returned; needs shuffle, drop_last and pad_last off,
/// no sampler and one rank, so that rows are the dataset's samples in order but for those of quarantine().
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
  /// none was started, and DataError when more of the samples that this rank's epochs so far ask for are unreadable
  /// than Unreadable::abort_above allows.
  std::optional<Batch> next();

  /// What the batches that next() returned met with, whatever was prepared beyond them.
  const Quarantine& quarantine() const;

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
