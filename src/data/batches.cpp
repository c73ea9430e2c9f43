#include "data/batches.hpp"

#include <sslmeme/core/error.hpp>
#include <sslmeme/core/random.hpp>

#include "core/rethrow.hpp"

#include <algorithm>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace sslmeme::detail {

namespace {

constexpr std::uint64_t most_substitutes = 16;  // of 1 in 100 unreadable samples, all of 10^32 rows find one

/// Its position, id and source.
UnreadableSample sample_at(const AnyDataset& data, std::size_t position) {
  UnreadableSample sample;
  sample.position = position;
  try {
    sample.source = data.source(position);
    sample.id = data.id(position);
  } catch (const std::exception&) {  // a dataset without `id` has to read the very sample that failed
  }
  return sample;
}

/// Keeps the first `rows` rows.
void shorten(Batch& batch, std::int64_t rows) {
  for (auto& view : batch.views) view = view.narrow(0, 0, rows);
  batch.labels = batch.labels.narrow(0, 0, rows);
  batch.ids = batch.ids.narrow(0, 0, rows);
}

UnreadableSample described(const AnyDataset& data, std::size_t position, const DataError& error) {
  auto sample = sample_at(data, position);
  if (const auto* of_picture = dynamic_cast<const PictureError*>(&error)) sample.fault = of_picture->fault();
  sample.reason = error.what();
  return sample;
}

/// Within a catch clause: throws what is being handled again, with the sample's name in front.
[[noreturn]] void rethrow_of(const AnyDataset& data, std::size_t position) {
  rethrow_named([&](const char* why) { return with_name(sample_at(data, position), why); });
}

}  // namespace

std::string with_name(const UnreadableSample& sample, std::string_view why) {
  const auto id = sample.id ? std::to_string(*sample.id) : fmt::format("at position {}", sample.position);
  const bool named = sample.source.empty() || why.find(sample.source) != std::string_view::npos;
  return fmt::format("sample {}{}: {}", id, named ? "" : fmt::format(" ({})", sample.source), why);
}

std::int64_t count_batches(std::size_t draws, const LoaderOptions& options) {
  const auto n = static_cast<std::int64_t>(draws), step = options.batch_size * options.ranks;
  return options.drop_last ? n / step : (n + step - 1) / step;
}

AnySampler sampler_of(const LoaderOptions& options) {
  if (options.sampler) return *options.sampler;
  return options.shuffle ? AnySampler{Shuffled{}} : AnySampler{InOrder{}};
}

std::vector<std::size_t> firsts_by_id(const AnyDataset& data) {
  if (!data.knows_ids()) return {};
  std::vector<std::pair<std::int64_t, std::size_t>> ids;  // and positions
  ids.reserve(data.size());
  for (std::size_t i = 0; i < data.size(); ++i) ids.emplace_back(data.id(i), i);
  std::ranges::sort(ids);
  constexpr auto id_of = &std::pair<std::int64_t, std::size_t>::first;
  if (std::ranges::adjacent_find(ids, {}, id_of) == ids.end()) return {};
  std::vector<std::size_t> firsts(ids.size());
  auto first = ids.front();
  for (const auto& [id, position] : ids) {
    if (id != first.first) first = {id, position};
    firsts[position] = first.second;
  }
  return firsts;
}

EpochBatches::EpochBatches(AnyDataset data, Views views, const LoaderOptions& options, std::int64_t epoch,
                           std::span<const std::size_t> firsts)
    : data_{std::move(data)},
      views_{std::move(views)},
      options_{options},
      epoch_{epoch},
      order_{sampler_of(options).order({data_.size(), options.batch_size * options.ranks, options.seed, epoch})},
      draws_{order_.size()} {
  count_ = count_batches(draws_, options_);
  const auto last = rows_of(count_ - 1);
  const auto end = static_cast<std::size_t>(last.first + (options_.ranks - options_.rank) * last.count);
  for (std::size_t i = 0; order_.size() < end; ++i) order_.push_back(order_[i]);
  std::vector<std::uint32_t> seen(data_.size());
  bool any = false;
  for (const auto position : order_) {
    repetitions_.push_back(seen[firsts.empty() ? position : firsts[position]]++);
    any = any || repetitions_.back() > 0;
  }
  if (!any) repetitions_ = {};
}

EpochBatches::Rows EpochBatches::rows_of(std::int64_t index) const {
  const auto step = options_.batch_size * options_.ranks, first = index * step;
  const auto draws = static_cast<std::int64_t>(draws_), left = std::min(step, draws - first);
  const auto count = options_.pad_last ? options_.batch_size : (left + options_.ranks - 1) / options_.ranks;
  const auto begin = first + options_.rank * count;
  return {begin, count, std::clamp<std::int64_t>(begin + count - draws, 0, count)};
}

std::vector<std::size_t> EpochBatches::own_positions() const {
  std::vector<std::size_t> positions;
  for (std::int64_t index = 0; index < count_; ++index) {
    const auto rows = rows_of(index);
    const auto begin = order_.begin() + rows.first;
    positions.insert(positions.end(), begin, begin + rows.count);
  }
  return positions;
}

MadeBatch EpochBatches::make(std::int64_t index, const std::atomic<bool>& stop) const {
  MadeBatch made;
  try {
    fill(made, rows_of(index), stop);
  } catch (...) {
    made.error = std::current_exception();
  }
  return made;
}

void EpochBatches::fill(MadeBatch& made, const Rows& rows, const std::atomic<bool>& stop) const {
  auto& batch = made.batch;
  const auto memory = torch::TensorOptions{}.pinned_memory(options_.pin_memory);
  for (const auto& view : views_) batch.views.push_back(torch::empty({rows.count, 3, view.size, view.size}, memory));
  batch.labels = torch::empty({rows.count}, torch::kLong);
  batch.ids = torch::empty({rows.count}, torch::kLong);
  batch.padding = rows.padding;
  std::vector<std::string> texts;
  std::int64_t row = 0;
  for (std::int64_t i = 0; i < rows.count; ++i) {
    if (stop.load(std::memory_order_relaxed)) return;
    if (add_readable(static_cast<std::size_t>(rows.first + i), row, made, texts)) ++row;
  }
  if (row < rows.count) shorten(batch, row);
  if (options_.tokenizer && row > 0) {
    auto [tokens, mask] = tokenize(*options_.tokenizer, texts, options_.max_tokens);
    batch.tokens = std::move(tokens);
    batch.mask = std::move(mask);
  }
}

bool EpochBatches::add_readable(std::size_t place, std::int64_t row, MadeBatch& made,
                                std::vector<std::string>& texts) const {
  const auto position = order_[place];
  try {
    add_sample(position, repetition(place), row, made.batch, texts);
    return true;
  } catch (const DataError& error) {
    if (options_.unreadable.policy == UnreadablePolicy::fail) rethrow_of(data_, position);
    made.unreadable.push_back(described(data_, position, error));
  } catch (const std::exception&) {
    rethrow_of(data_, position);
  }
  if (options_.unreadable.policy == UnreadablePolicy::leave_out) {
    ++made.left_out;
    return false;
  }
  add_substitute(place, row, made, texts);
  return true;
}

void EpochBatches::add_substitute(std::size_t place, std::int64_t row, MadeBatch& made,
                                  std::vector<std::string>& texts) const {
  const auto unreadable = made.unreadable.back();
  const auto id = static_cast<std::uint64_t>(unreadable.id.value_or(static_cast<std::int64_t>(unreadable.position)));
  for (std::uint64_t attempt = 1; attempt <= most_substitutes; ++attempt) {
    const auto dice = derive_seed({options_.seed, static_cast<std::uint64_t>(epoch_), id, repetition(place), attempt});
    const auto position = order_[Rng{dice}.below(draws_)];
    try {
      add_sample(position, dice, row, made.batch, texts);
      ++made.substituted;
      return;
    } catch (const DataError& error) {
      made.unreadable.push_back(described(data_, position, error));
    } catch (const std::exception&) {
      rethrow_of(data_, position);
    }
  }
  throw DataError(with_name(
      unreadable,
      fmt::format("{}; nor can any of {} samples drawn in its place be read: look whether the data are all there",
                  unreadable.reason, most_substitutes)));
}

/// again: 0 for the dice that a sample has where an epoch has it once.
void EpochBatches::add_sample(std::size_t position, std::uint64_t again, std::int64_t row, Batch& batch,
                              std::vector<std::string>& texts) const {
  auto sample = data_.get(position);
  for (std::size_t v = 0; v < views_.size(); ++v) {
    const auto& view = views_[v];
    const auto epoch = static_cast<std::uint64_t>(epoch_), id = static_cast<std::uint64_t>(sample.id);
    Rng rng{again == 0 ? derive_seed({options_.seed, epoch, id, v})
                       : derive_seed({options_.seed, epoch, id, v, again})};
    const auto picture = view.transform(sample.picture, rng);
    if (picture.width != view.size || picture.height != view.size) {
      throw InvalidArgument(
          fmt::format("view {} has .size {}, but its transform gave {} × {} pixels: end it with a Resize to .size", v,
                      view.size, picture.width, picture.height));
    }
    view.normalize.write(picture, batch.views[v].data_ptr<float>() + row * 3 * view.size * view.size);
  }
  batch.labels.data_ptr<std::int64_t>()[row] = sample.label.value_or(-1);
  batch.ids.data_ptr<std::int64_t>()[row] = sample.id;
  if (options_.tokenizer) texts.push_back(std::move(sample.text));
}

}  // namespace sslmeme::detail
