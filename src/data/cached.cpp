#include <sslmeme/data/cached.hpp>

#include <sslmeme/core/error.hpp>

#include <mutex>
#include <utility>
#include <vector>

#include <fmt/format.h>

namespace sslmeme {

struct CachedDataset::Cache {
  std::int64_t max_bytes;
  std::mutex mutex;
  std::vector<std::shared_ptr<const Sample>> samples;  // by position
  std::size_t kept = 0;
  std::int64_t bytes = 0;
};

CachedDataset::CachedDataset(AnyDataset data, const CacheOptions& options)
    : data_{std::move(data)}, cache_{std::make_shared<Cache>()} {
  if (options.max_bytes < 0)
    throw InvalidArgument(fmt::format("CachedDataset: .max_bytes is {}: must be 0 or more", options.max_bytes));
  cache_->max_bytes = options.max_bytes;
  cache_->samples.resize(data_.size());
}

std::shared_ptr<const Sample> CachedDataset::find(std::size_t i) const {
  if (i >= cache_->samples.size()) return nullptr;  // data_ says what is wrong with it
  const std::lock_guard lock{cache_->mutex};
  return cache_->samples[i];
}

Sample CachedDataset::get(std::size_t i) const {
  if (const auto sample = find(i)) return *sample;
  auto sample = data_.get(i);
  const auto bytes = static_cast<std::int64_t>(sizeof(Sample) + sample.picture.pixels.size() + sample.text.size());
  if (bytes > cache_->max_bytes - kept_bytes()) return sample;
  auto copy = std::make_shared<const Sample>(sample);  // without the mutex
  const std::lock_guard lock{cache_->mutex};
  if (cache_->samples[i] || bytes > cache_->max_bytes - cache_->bytes) return sample;  // another thread was faster
  cache_->samples[i] = std::move(copy);
  cache_->bytes += bytes;
  ++cache_->kept;
  return sample;
}

std::int64_t CachedDataset::id(std::size_t i) const {
  const auto sample = find(i);
  return sample ? sample->id : data_.id(i);
}
std::optional<std::int64_t> CachedDataset::label(std::size_t i) const {
  const auto sample = find(i);
  return sample ? sample->label : data_.label(i);
}
std::string CachedDataset::text(std::size_t i) const {
  const auto sample = find(i);
  return sample ? sample->text : data_.text(i);
}

std::size_t CachedDataset::kept() const {
  const std::lock_guard lock{cache_->mutex};
  return cache_->kept;
}
std::int64_t CachedDataset::kept_bytes() const {
  const std::lock_guard lock{cache_->mutex};
  return cache_->bytes;
}

}  // namespace sslmeme
