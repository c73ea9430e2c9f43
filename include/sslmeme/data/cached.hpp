// CachedDataset: keeps decoded samples in memory, so that later epochs need not decode them again.
#pragma once

#include <sslmeme/data/dataset.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace sslmeme {

struct CacheOptions {
  std::int64_t max_bytes = std::int64_t{2} << 30;  ///< of decoded pictures and texts; width × height × 3 a picture
};

/// A dataset whose samples are decoded once, as long as they fit: the first that come are kept until max_bytes are
/// full, and stay. Nothing is thrown out for a newcomer, since an epoch asks for everything once and what was thrown
/// out would be asked for next. Copies share what is kept; threads may use them at the same time. Errors are not kept.
///
///   DataLoader loader{CachedDataset{MemeJsonl{root, "train"}, {.max_bytes = std::int64_t{8} << 30}}, train_views()};
class CachedDataset {
 public:
  /// Throws InvalidArgument for max_bytes < 0.
  explicit CachedDataset(AnyDataset data, const CacheOptions& options = {});

  std::size_t size() const { return data_.size(); }
  Sample get(std::size_t i) const;
  std::int64_t id(std::size_t i) const;
  bool knows_ids() const { return data_.knows_ids(); }
  std::optional<std::int64_t> label(std::size_t i) const;
  std::string text(std::size_t i) const;
  std::string source(std::size_t i) const { return data_.source(i); }
  /// The encoded file, which is not kept.
  std::vector<std::byte> bytes(std::size_t i) const { return data_.bytes(i); }

  /// Samples that are kept.
  std::size_t kept() const;
  /// What they take, at most max_bytes.
  std::int64_t kept_bytes() const;

 private:
  struct Cache;
  std::shared_ptr<const Sample> find(std::size_t i) const;

  AnyDataset data_;
  std::shared_ptr<Cache> cache_;
};

}  // namespace sslmeme
