#include <sslmeme/core/error.hpp>
#include <sslmeme/data/loader.hpp>

#include "data/batches.hpp"

#include <ATen/Parallel.h>
#include <torch/cuda.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace sslmeme {

namespace {

void check_options(const AnyDataset& data, const LoaderOptions& options) {
  const auto check = [](std::string_view name, std::int64_t value, std::int64_t low, std::int64_t high) {
    if (value < low || value > high) {
      throw InvalidArgument(fmt::format("DataLoader: .{} is {}: must be within {} and {}", name, value, low, high));
    }
  };
  check("batch_size", options.batch_size, 1, 1 << 20);
  check("workers", options.workers, 0, 256);
  check("prefetch", options.prefetch, 1, 1 << 10);
  if (options.tokenizer) check("max_tokens", options.max_tokens, 2, 1 << 20);
  check("ranks", options.ranks, 1, 1 << 16);
  check("rank", options.rank, 0, options.ranks - 1);
  if (options.pad_last && options.drop_last)
    throw InvalidArgument(
        "DataLoader: .pad_last fills up the batch that .drop_last leaves out: set .drop_last = false");
  if (options.unreadable.policy == UnreadablePolicy::leave_out &&
      (options.shuffle || options.drop_last || options.pad_last || options.sampler || options.ranks > 1)) {
    throw InvalidArgument(
        "DataLoader: UnreadablePolicy::leave_out is for samples in the dataset's order, all of them: set .shuffle, "
        ".drop_last and .pad_last = false, and give neither a sampler nor ranks");
  }
  if (!(options.unreadable.abort_above >= 0 && options.unreadable.abort_above <= 1)) {
    throw InvalidArgument(fmt::format("DataLoader: .unreadable.abort_above is {}: a share must be within 0 and 1",
                                      options.unreadable.abort_above));
  }
  if (options.pin_memory && !torch::cuda::is_available())
    throw InvalidArgument("DataLoader: .pin_memory is for a GPU, and this LibTorch sees none: leave it off");
  if (data.size() == 0) throw InvalidArgument("DataLoader: the dataset is empty: give it at least one sample");
  const auto draws = detail::sampler_of(options).draws(data.size());
  if (draws == 0) throw InvalidArgument("DataLoader: the sampler gives no sample: give it at least one to draw");
  if (detail::count_batches(draws, options) == 0) {
    throw InvalidArgument(fmt::format(
        "DataLoader: .batch_size is {}{}, but {} {} samples and .drop_last leaves none: make the batch smaller or set "
        ".drop_last = false",
        options.batch_size, options.ranks == 1 ? "" : fmt::format(" on each of {} ranks", options.ranks),
        options.sampler ? "the sampler draws" : "the dataset has", draws));
  }
}

/// Batches first, first + 1, … of an epoch, made by threads that stay at most `capacity` batches ahead.
class Workers {
 public:
  Workers(const detail::EpochBatches& epoch, std::int64_t first, int threads, std::int64_t capacity)
      : epoch_{epoch}, claimed_{first}, taken_{first}, slots_(static_cast<std::size_t>(capacity)) {
    // at::set_num_threads(1) keeps a dataset's or tokenizer's tensor operations from taking the cores of training. It
    // holds for the calling thread, but also sets what threads to come begin with: that is put back once every worker
    // has called it.
    const int before = at::get_num_threads();
    try {
      for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
    } catch (const std::exception& error) {
      stop();
      at::set_num_threads(before);
      throw IoError(fmt::format("DataLoader: {} of {} workers were started, then: {}: set .workers lower",
                                threads_.size(), threads, error.what()));
    }
    std::unique_lock lock{mutex_};
    ready_.wait(lock, [&] { return running_ == threads; });
    at::set_num_threads(before);
  }
  ~Workers() { stop(); }
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  /// The next batch in order.
  detail::MadeBatch take() {
    std::unique_lock lock{mutex_};
    auto& slot = slots_[static_cast<std::size_t>(taken_) % slots_.size()];
    ready_.wait(lock, [&] { return slot.has_value(); });
    auto made = std::move(*slot);
    slot.reset();
    ++taken_;
    room_.notify_one();
    return made;
  }

 private:
  void work() {
    std::unique_lock lock{mutex_};
    at::set_num_threads(1);  // not thread-safe itself
    ++running_;
    ready_.notify_one();
    const auto capacity = static_cast<std::int64_t>(slots_.size());
    while (true) {
      room_.wait(lock, [&] { return stopping_ || claimed_ == epoch_.count() || claimed_ < taken_ + capacity; });
      if (stopping_ || claimed_ == epoch_.count()) return;
      const auto index = claimed_++;
      lock.unlock();
      auto made = epoch_.make(index, stopping_);
      lock.lock();
      slots_[static_cast<std::size_t>(index) % slots_.size()] = std::move(made);
      ready_.notify_one();
    }
  }

  void stop() {
    {
      const std::lock_guard lock{mutex_};
      stopping_ = true;
    }
    room_.notify_all();
    for (auto& thread : threads_) thread.join();
  }

  const detail::EpochBatches& epoch_;
  std::mutex mutex_;
  std::condition_variable ready_, room_;
  std::atomic<bool> stopping_ = false;  // read between samples without the mutex
  int running_ = 0;
  std::int64_t claimed_, taken_;  // the next batch that a worker will make, and that take() will return
  std::vector<std::optional<detail::MadeBatch>> slots_;  // batch i waits in slot i modulo their number
  std::vector<std::thread> threads_;
};

}  // namespace

struct DataLoader::State {
  AnyDataset data;
  Views views;
  LoaderOptions options;
  std::vector<std::size_t> firsts;  // by id
  std::optional<detail::EpochBatches> epoch;
  std::optional<Workers> workers;  // after `epoch`, which it refers to: destroyed first
  std::int64_t next = 0;
  std::chrono::steady_clock::duration waited{};
  Quarantine quarantine;
  std::set<std::size_t> quarantined;  // positions
  std::vector<bool> asked;            // of which positions the epochs so far wanted the sample on this rank
  std::size_t asked_count = 0;

  State(AnyDataset data_, Views views_, LoaderOptions options_)
      : data{std::move(data_)},
        views{std::move(views_)},
        options{std::move(options_)},
        firsts{detail::firsts_by_id(data)},
        asked(data.size()) {}

  void end_epoch() {
    workers.reset();
    epoch.reset();
  }

  void ask(std::size_t position) {
    if (!asked[position]) ++asked_count;
    asked[position] = true;
  }
  /// Of what this rank draws in the epoch. Where an unreadable sample is an error at once nobody wants to know.
  void ask_for_epoch() {
    if (options.unreadable.policy == UnreadablePolicy::fail || asked_count == asked.size()) return;
    for (const auto position : epoch->own_positions()) ask(position);
  }

  /// Throws once too many of the samples that this rank is asked for turned out unreadable.
  void note(detail::MadeBatch& made) {
    quarantine.substituted += made.substituted;
    quarantine.left_out += made.left_out;
    if (made.unreadable.empty()) return;
    for (auto& sample : made.unreadable) {
      ask(sample.position);  // as a substitute, perhaps, from another rank's share
      if (quarantined.insert(sample.position).second) quarantine.samples.push_back(std::move(sample));
    }
    const auto& samples = quarantine.samples;
    const auto share = static_cast<double>(samples.size()) / static_cast<double>(asked_count);
    if (share <= options.unreadable.abort_above) return;
    std::vector<std::string> counts;
    for (const auto& [name, n] : quarantine.counts()) counts.push_back(fmt::format("{} {}", n, name));
    throw DataError(fmt::format(
        "{} of {} samples cannot be read ({}), a larger share than .unreadable.abort_above = {}: repair or remove "
        "them; the last was {}",
        samples.size(), asked_count, fmt::join(counts, ", "), options.unreadable.abort_above,
        detail::with_name(samples.back(), samples.back().reason)));
  }
};

DataLoader::DataLoader(AnyDataset data, Views views, LoaderOptions options) {
  check_options(data, options);
  state_ = std::make_unique<State>(std::move(data), std::move(views), std::move(options));
}

DataLoader::~DataLoader() = default;
DataLoader::DataLoader(DataLoader&&) noexcept = default;
DataLoader& DataLoader::operator=(DataLoader&&) noexcept = default;

void DataLoader::start_epoch(std::int64_t epoch, std::int64_t first_batch, int views_required) {
  if (epoch < 0) throw InvalidArgument(fmt::format("DataLoader: epoch {}: count from 0", epoch));
  if (first_batch < 0 || first_batch > batches_per_epoch()) {
    throw InvalidArgument(fmt::format("DataLoader: first_batch {}: must be within 0 and the epoch's {} batches",
                                      first_batch, batches_per_epoch()));
  }
  auto& state = *state_;
  auto views = views_required == 0 ? state.views : state.views.repeated(views_required);
  state.end_epoch();
#ifdef __GLIBC__
  ::malloc_trim(
      0);  // decoding threads leave their arenas scattered: without this, memory creeps up from epoch to epoch
#endif
  state.epoch.emplace(state.data, std::move(views), state.options, epoch, state.firsts);
  state.ask_for_epoch();
  state.next = first_batch;
  if (state.options.workers == 0) return;
  try {
    state.workers.emplace(*state.epoch, first_batch, state.options.workers,
                          std::int64_t{state.options.workers} * state.options.prefetch);
  } catch (...) {
    state.end_epoch();
    throw;
  }
}

std::optional<Batch> DataLoader::next() {
  auto& state = *state_;
  if (!state.epoch)
    throw InvalidArgument("DataLoader: next() without an epoch: call start_epoch() first, and again after an error");
  while (state.next < state.epoch->count()) {
    const auto start = std::chrono::steady_clock::now();
    auto made = state.workers ? state.workers->take() : state.epoch->make(state.next, false);
    state.waited += std::chrono::steady_clock::now() - start;
    try {
      state.note(made);
      if (made.error) std::rethrow_exception(made.error);
    } catch (...) {
      state.end_epoch();
      throw;
    }
    ++state.next;
    if (made.batch.size() > 0) return std::move(made.batch);  // nothing may be left of it
  }
  return std::nullopt;
}

const Quarantine& DataLoader::quarantine() const {
  return state_->quarantine;
}
std::int64_t DataLoader::batches_per_epoch() const {
  return detail::count_batches(detail::sampler_of(options()).draws(samples()), options());
}
const AnyDataset& DataLoader::dataset() const {
  return state_->data;
}
const Views& DataLoader::views() const {
  return state_->views;
}
const LoaderOptions& DataLoader::options() const {
  return state_->options;
}
double DataLoader::wait_seconds() const {
  return std::chrono::duration<double>(state_->waited).count();
}

}  // namespace sslmeme
