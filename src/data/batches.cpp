#include "data/batches.hpp"

#include <sslmeme/core/error.hpp>
#include <sslmeme/core/random.hpp>

#include <algorithm>
#include <exception>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace sslmeme::detail {

namespace {

/// "sample 42953 (img/42953.png): why", with the file only if `why` does not name it.
std::string with_name(const AnyDataset& data, std::size_t position, std::string_view why) {
  std::string id = fmt::format("at position {}", position), source;
  try {
    source = data.source(position);
    id = std::to_string(data.id(position));
  } catch (const std::exception&) {  // a dataset without `id` has to read the very sample that failed
  }
  const bool named = source.empty() || why.find(source) != std::string_view::npos;
  return fmt::format("sample {}{}: {}", id, named ? "" : fmt::format(" ({})", source), why);
}

/// Rethrows the exception being handled as the same class of Error, with the sample's name in front.
[[noreturn]] void rethrow_named(const AnyDataset& data, std::size_t position) {
  try {
    throw;
  } catch (const DataError& error) {
    throw DataError(with_name(data, position, error.what()));
  } catch (const IoError& error) {
    throw IoError(with_name(data, position, error.what()));
  } catch (const InvalidArgument& error) {
    throw InvalidArgument(with_name(data, position, error.what()));
  } catch (const NonFiniteError& error) {
    throw NonFiniteError(with_name(data, position, error.what()));
  } catch (const std::exception& error) {
    throw Error(with_name(data, position, error.what()));
  }
}

}  // namespace

std::int64_t count_batches(std::size_t samples, const LoaderOptions& options) {
  const auto n = static_cast<std::int64_t>(samples);
  return options.drop_last ? n / options.batch_size : (n + options.batch_size - 1) / options.batch_size;
}

EpochBatches::EpochBatches(AnyDataset data, Views views, const LoaderOptions& options, std::int64_t epoch)
    : data_{std::move(data)}, views_{std::move(views)}, options_{options}, epoch_{epoch}, order_(data_.size()) {
  std::iota(order_.begin(), order_.end(), std::size_t{0});
  if (options_.shuffle)
    Rng{derive_seed({options_.seed, static_cast<std::uint64_t>(epoch)})}.shuffle(std::span<std::size_t>{order_});
}

Batch EpochBatches::make(std::int64_t index, const std::atomic<bool>& stop) const {
  const auto first = index * options_.batch_size;
  const auto n = std::min(options_.batch_size, static_cast<std::int64_t>(order_.size()) - first);
  Batch batch;
  for (const auto& view : views_) batch.views.push_back(torch::empty({n, 3, view.size, view.size}));
  batch.labels = torch::empty({n}, torch::kLong);
  batch.ids = torch::empty({n}, torch::kLong);
  std::vector<std::string> texts;
  for (std::int64_t row = 0; row < n; ++row) {
    if (stop.load(std::memory_order_relaxed)) return batch;
    const auto position = order_[static_cast<std::size_t>(first + row)];
    try {
      add_sample(position, row, batch, texts);
    } catch (const std::exception&) {
      rethrow_named(data_, position);
    }
  }
  if (options_.tokenizer) {
    auto [tokens, mask] = tokenize(*options_.tokenizer, texts, options_.max_tokens);
    batch.tokens = std::move(tokens);
    batch.mask = std::move(mask);
  }
  return batch;
}

void EpochBatches::add_sample(std::size_t position, std::int64_t row, Batch& batch,
                              std::vector<std::string>& texts) const {
  auto sample = data_.get(position);
  for (std::size_t v = 0; v < views_.size(); ++v) {
    const auto& view = views_[v];
    Rng rng{derive_seed({options_.seed, static_cast<std::uint64_t>(epoch_), static_cast<std::uint64_t>(sample.id), v})};
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
